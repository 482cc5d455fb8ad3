"""How Slack pushes an event until somebody acknowledges it: one live link at random, and three more tries."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from gevent.event import Event as Signal

from hermes_green.sim.kit import Link
from hermes_green.sim.kit_courier import Courier, Push
from hermes_green.sim.kit_turns import Turns

if TYPE_CHECKING:
    from hermes_green.sim.slack_gate import SlackGate


@dataclass(slots=True)
class Post:
    """One thing that happened, told in one or several events; ``turn``: its chat waits for it."""

    chat: str
    message_id: str
    events: list[Event] = field(default_factory=list)
    turn: bool = False


@dataclass(slots=True)
class Event:
    """One envelope's content on its way, of the kind ``kind``; commands and clicks are told once only."""

    post: Post
    payload: Mapping[str, Any]
    kind: str = "events_api"
    pushes: int = 0
    finished: Signal = field(default_factory=Signal)

    @property
    def id(self) -> str:
        """The event_id, the same on every push."""
        return str(self.payload.get("event_id") or "")

    @property
    def name(self) -> str:
        """What happened, in one word."""
        event = self.payload.get("event")
        return str(event.get("type")) if isinstance(event, dict) else self.kind


class Envelopes(Courier[Event]):
    """Pushes events and judges their acknowledgements; everything is in the simulator's record."""

    def __init__(self, sim: SlackGate, waits: tuple[float, ...], deadline: float, hold_order: bool) -> None:
        super().__init__(sim, deadline)
        self._sim = sim
        self._waits = waits
        self._turns = Turns(hold_order)

    def tell(self, post: Post) -> bool:
        """Push a post's events now (True), or when its chat's earlier ones are over."""
        if post.turn and not self._turns.may_go(post.chat, post.message_id, post):
            return False
        self._tell(post)
        return True

    @property
    def held(self) -> int:
        """Messages that wait for the one before them."""
        return self._turns.held

    def acknowledged(self, link: Link, envelope: str, payload: Any) -> None:
        """The client has answered an envelope, on whichever of its links."""
        push = self._pushes.get(envelope)
        if push is None:
            self._sim.violation("acknowledgement of an envelope that never was", link=link)
            return
        if push.answered:
            self._sim.violation("the same envelope acknowledged twice", link=link, envelope=envelope)
            return
        if payload and push.event.kind == "events_api":
            self._sim.violation("an event acknowledged with a payload", link=link, envelope=envelope)
        self.acknowledge(push, True, "acked", link=link.id, payload=payload)

    # -- what the courier asks

    def prepare(self, event: Event, link: Link) -> Push:
        return Push(str(uuid.uuid4()), event, link)

    def write(self, push: Push) -> None:
        """One envelope; a repeat says so."""
        event: Event = push.event
        envelope: dict[str, Any] = {
            "envelope_id": push.id,
            "type": event.kind,
            "accepts_response_payload": event.kind != "events_api",
            "payload": event.payload,
        }
        if event.kind == "events_api":
            envelope |= {"retry_attempt": event.pushes - 1, "retry_reason": "timeout" if event.pushes > 1 else ""}
        push.link.send(json.dumps(envelope, ensure_ascii=False))

    def takes(self, link: Link) -> bool:
        """After hello, and until the very end."""
        return link.usable and bool(link.memo.get("hello"))

    def facts(self, event: Event) -> dict[str, Any]:
        post = event.post
        return {"chat": post.chat, "message_id": post.message_id, "event_id": event.id, "event_type": event.name}

    def over(self, event: Event) -> None:
        """The chat's next message may go once all that was told of this one is over."""
        event.finished.set()
        post = event.post
        if post.turn and all(each.finished.is_set() for each in post.events):
            following = self._turns.over(post.chat, post.message_id)
            if isinstance(following, Post):
                self._tell(following)

    def _tell(self, post: Post) -> None:
        for event in post.events:
            self.begin(event, self._waits if event.kind == "events_api" else ())
