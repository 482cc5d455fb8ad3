"""How Feishu pushes an event until somebody acknowledges it: one live link at random, a deadline, a schedule."""

from __future__ import annotations

import base64
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gevent.event import Event as Signal

from hermes_green.sim import feishu_frames as frames
from hermes_green.sim.feishu_events import millis
from hermes_green.sim.kit import Link
from hermes_green.sim.kit_courier import Courier, Push

if TYPE_CHECKING:
    from hermes_green.sim.feishu_gate import FeishuGate


@dataclass(slots=True)
class Event:
    """One event on its way; ``once`` marks callbacks, which are never redelivered."""

    body: dict[str, Any]
    chat: str
    message_id: str
    parts: int = 0
    shuffled: bool = False
    once: bool = False
    pushes: int = 0
    finished: Signal = field(default_factory=Signal)

    @property
    def id(self) -> str:
        """The event_id, the same on every push."""
        return str(self.body["header"]["event_id"])


class Pushes(Courier[Event]):
    """Pushes events and judges their acknowledgements; everything is recorded in the simulator's log."""

    def __init__(self, sim: FeishuGate, seed: int = 0) -> None:
        super().__init__(sim, sim.rules.ack_deadline, seed)
        self._sim = sim
        self._rules = sim.rules
        self._held: dict[str, deque[Event]] = {}
        self._seq = 0

    def take(self, event: Event) -> None:
        """Push ``event`` now, or when its chat's earlier ones are acknowledged (rule ``hold_order``)."""
        if self._rules.hold_order and event.chat and not event.once:
            waiting = self._held.setdefault(event.chat, deque())
            waiting.append(event)
            if len(waiting) > 1:
                return
        self._tell(event)

    def held(self) -> int:
        """How many messages the users have not sent yet, because of ``hold_order``."""
        return sum(max(0, len(waiting) - 1) for waiting in self._held.values())

    def _tell(self, event: Event) -> None:
        now = millis()
        event.body["header"]["create_time"] = now
        message = event.body["event"].get("message")
        if message is not None:
            message["create_time"] = message["update_time"] = now
        self.begin(event, () if event.once else self._rules.redelivery)

    def _release(self, event: Event) -> None:
        waiting = self._held.get(event.chat)
        if not waiting or waiting[0] is not event:
            return
        waiting.popleft()
        if waiting:
            self._tell(waiting[0])
        else:
            del self._held[event.chat]

    # -- what the courier asks

    def prepare(self, event: Event, link: Link) -> Push:
        """A push, cut into parts."""
        payload = json.dumps(event.body, ensure_ascii=False, separators=(",", ":")).encode()
        count = event.parts or -(-len(payload) // self._rules.part_bytes)
        push_id = f"push_{self._random.getrandbits(64):016x}"
        self._seq += count
        trace = f"{self._random.getrandbits(64):016x}{millis()}"
        parts = frames.parts_of(self._sim.service_id, push_id, payload, count, trace, self._seq)
        return Push(push_id, event, link, parts)

    def write(self, push: Push) -> None:
        order = list(push.parts)
        if push.event.shuffled:
            order.reverse()
        for part in order:
            push.link.send(part.data)

    def facts(self, event: Event) -> dict[str, Any]:
        kind = event.body["header"]["event_type"]
        return {"event_id": event.id, "message_id": event.message_id, "chat": event.chat, "event_type": kind}

    def over(self, event: Event) -> None:
        """The chat's next message may go."""
        self._release(event)

    # -- acknowledgements

    def acknowledged(self, link: Link, frame: Any) -> None:
        """A DATA frame came from the client."""
        push = self._pushes.get(frames.headers_of(frame).get("message_id", ""))
        if push is None:
            self._sim.violation("acknowledgement of a push that never was", link=link)
            return
        wrong = self._wrong(push, link, frame)
        if wrong:
            self._sim.violation(f"acknowledgement: {wrong}", link=link, push_id=push.id)
            return
        answer = frames.ack_payload(frame)
        code, data = answer["code"], _decoded(answer.get("data"))
        self.acknowledge(push, code == 200, code, link=link.id, code=code, data=data)
        if code == 200:
            self._release(push.event)

    def _wrong(self, push: Push, link: Link, frame: Any) -> str:
        if push.link is not link:
            return f"it came on link {link.id}, the push went out on link {push.link.id}"
        if push.answered:
            return "the same push acknowledged twice"
        seq = frames.headers_of(frame).get("seq", "")
        part = next((part for part in push.parts if ("seq", seq) in part.headers), None)
        if part is None:
            return f"no part {seq!r}"
        return frames.fault_of_ack(frame, part, self._sim.service_id)


def _decoded(data: Any) -> Any:
    """A callback's answer inside an acknowledgement: base64 of JSON; None when there is none."""
    if not data:
        return None
    try:
        return json.loads(base64.b64decode(data))
    except ValueError:
        return {"undecodable": str(data)}
