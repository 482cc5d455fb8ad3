"""How Slack pushes an event until somebody acknowledges it: one live link at random, and three more tries."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

import gevent
from gevent.event import AsyncResult, Event as Signal
from gevent.pool import Pool

from hermes_green.sim.kit import Link
from hermes_green.sim.kit_turns import Turns

if TYPE_CHECKING:
    from hermes_green.sim.slack_gate import SlackGate

_REMEMBERED = 20_000
_HAPPENED_AGAIN = 5


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


@dataclass(slots=True)
class Push:
    """One envelope on one link."""

    id: str
    event: Event
    link: Link
    at: float = field(default_factory=time.monotonic)
    answered: bool = False
    outcome: AsyncResult = field(default_factory=AsyncResult)


class Courier:
    """Pushes events and judges their acknowledgements; everything is in the simulator's record."""

    def __init__(self, sim: SlackGate, waits: tuple[float, ...], deadline: float, hold_order: bool) -> None:
        self._sim = sim
        self._waits = waits
        self._deadline = deadline
        self._turns = Turns(hold_order)
        self._pool = Pool()
        self._random = random.Random(0)
        self._pushes: OrderedDict[str, Push] = OrderedDict()
        self._open: OrderedDict[int, Event] = OrderedDict()
        self._recent: deque[Event] = deque(maxlen=_HAPPENED_AGAIN)

    def take(self, post: Post) -> bool:
        """Push a post's events now (True), or when its chat's earlier ones are over."""
        if post.turn and not self._turns.may_go(post.chat, post.message_id, post):
            return False
        self._begin(post)
        return True

    @property
    def held(self) -> int:
        """Messages that wait for the one before them."""
        return self._turns.held

    def unacked(self) -> list[str]:
        """The ids of events that wait for an acknowledgement, oldest first."""
        return [event.id for event in self._open.values()]

    def again(self) -> None:
        """Push what is not acknowledged once more, or else the last few events."""
        for event in list(self._open.values()) or list(self._recent):
            self._push(event)

    def lost(self, link: Link) -> None:
        """A link is gone: what it had not acknowledged has failed."""
        for push in list(self._pushes.values()):
            if push.link is link and not push.outcome.ready():
                push.outcome.set("link lost")

    def stop(self) -> None:
        """End every attempt."""
        self._pool.kill(timeout=2)

    # -- attempts

    def _begin(self, post: Post) -> None:
        for event in post.events:
            self._open[id(event)] = event
            self._recent.append(event)
        for event in post.events:
            self._pool.spawn(self._deliver, event)

    def _deliver(self, event: Event) -> None:
        waits = self._waits if event.kind == "events_api" else ()
        for wait in (*waits, None):
            if self._attempt(event) or event.finished.wait(wait or 0):
                break
        else:
            self._note("given_up", event)
        event.finished.set()
        self._open.pop(id(event), None)
        self._over(event.post)

    def _over(self, post: Post) -> None:
        if post.turn and all(event.finished.is_set() for event in post.events):
            following = self._turns.over(post.chat, post.message_id)
            if isinstance(following, Post):
                self._begin(following)

    def _attempt(self, event: Event) -> bool:
        push = self._push(event)
        if push is None:
            return False
        if self._sim.faults.take("duplicate") is not None:
            self._push(event)
        try:
            outcome = push.outcome.get(timeout=self._deadline)
        except gevent.Timeout:
            outcome = "timeout"
        if event.finished.is_set():
            return True
        self._note("push_failed", event, why=str(outcome))
        return False

    def _push(self, event: Event) -> Push | None:
        event.pushes += 1
        links = [link for link in self._sim.links if link.usable and link.memo.get("hello")]
        if not links:
            self._note("push", event, link=None, attempt=event.pushes)
            return None
        push = Push(str(uuid.uuid4()), event, self._random.choice(links))
        self._pushes[push.id] = push
        while len(self._pushes) > _REMEMBERED:
            self._pushes.popitem(last=False)
        envelope: dict[str, Any] = {
            "envelope_id": push.id,
            "type": event.kind,
            "accepts_response_payload": event.kind != "events_api",
            "payload": event.payload,
        }
        if event.kind == "events_api":
            envelope |= {"retry_attempt": event.pushes - 1, "retry_reason": "timeout" if event.pushes > 1 else ""}
        self._note("push", event, link=push.link.id, attempt=event.pushes, envelope=push.id)
        push.link.send(json.dumps(envelope, ensure_ascii=False))
        return push

    def _note(self, kind: str, event: Event, **more: Any) -> None:
        post = event.post
        self._sim.log.add(
            kind, chat=post.chat, message_id=post.message_id, event_id=event.id, event_type=event.name, **more
        )

    # -- acknowledgements

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
        push.answered = True
        took = time.monotonic() - push.at
        late = took > self._deadline
        ms = round(took * 1000, 1)
        self._note("ack", push.event, link=link.id, envelope=envelope, late=late, ms=ms, payload=payload)
        if not push.outcome.ready():
            push.outcome.set("late" if late else "acked")
        if not late:
            push.event.finished.set()
