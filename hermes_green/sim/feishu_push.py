"""How Feishu pushes an event until somebody acknowledges it: one live link at random, a deadline, a schedule."""

from __future__ import annotations

import base64
import json
import random
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Sequence

import gevent
from gevent.event import AsyncResult, Event as Signal
from gevent.pool import Pool

from hermes_green.sim import feishu_frames as frames
from hermes_green.sim.feishu_events import millis
from hermes_green.sim.kit import Link

if TYPE_CHECKING:
    from hermes_green.sim.feishu_gate import FeishuGate

_REMEMBERED = 20_000
_HAPPENED_AGAIN = 5


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


@dataclass(slots=True)
class Push:
    """One attempt on one link."""

    id: str
    event: Event
    link: Link
    parts: list[frames.Part]
    at: float = field(default_factory=time.monotonic)
    answered: bool = False
    outcome: AsyncResult = field(default_factory=AsyncResult)


class Courier:
    """Pushes events and judges their acknowledgements; everything is recorded in the simulator's log."""

    def __init__(self, sim: FeishuGate, seed: int = 0) -> None:
        self._sim = sim
        self._rules = sim.rules
        self._pool = Pool()
        self._random = random.Random(seed)
        self._pushes: OrderedDict[str, Push] = OrderedDict()
        self._open: OrderedDict[str, Event] = OrderedDict()
        self._recent: deque[Event] = deque(maxlen=_HAPPENED_AGAIN)
        self._held: dict[str, deque[Event]] = {}
        self._seq = 0

    def take(self, event: Event) -> None:
        """Push ``event`` now, or when its chat's earlier ones are acknowledged (rule ``hold_order``)."""
        if self._rules.hold_order and event.chat and not event.once:
            waiting = self._held.setdefault(event.chat, deque())
            waiting.append(event)
            if len(waiting) > 1:
                return
        self._begin(event)

    def unacked(self) -> list[str]:
        """The ids of events that wait for an acknowledgement, oldest first."""
        return list(self._open)

    def held(self) -> int:
        """How many messages the users have not sent yet, because of ``hold_order``."""
        return sum(max(0, len(waiting) - 1) for waiting in self._held.values())

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

    def _begin(self, event: Event) -> None:
        now = millis()
        event.body["header"]["create_time"] = now
        message = event.body["event"].get("message")
        if message is not None:
            message["create_time"] = message["update_time"] = now
        self._open[event.id] = event
        self._recent.append(event)
        self._pool.spawn(self._deliver, event)

    def _deliver(self, event: Event) -> None:
        waits: Sequence[float] = () if event.once else self._rules.redelivery
        for wait in (*waits, None):
            if self._attempt(event) or event.finished.wait(wait or 0):
                break
        else:
            self._sim.log.add("given_up", event_id=event.id, message_id=event.message_id, chat=event.chat)
        self._open.pop(event.id, None)
        self._release(event)

    def _attempt(self, event: Event) -> bool:
        push = self._push(event)
        if push is None:
            return False
        if self._sim.faults.take("duplicate") is not None:
            self._push(event)
        try:
            outcome = push.outcome.get(timeout=self._rules.ack_deadline)
        except gevent.Timeout:
            outcome = "no ack in time"
        if event.finished.is_set():
            return True
        self._sim.log.add("push_failed", event_id=event.id, message_id=event.message_id, why=str(outcome))
        return False

    def _push(self, event: Event) -> Push | None:
        event.pushes += 1
        links = [link for link in self._sim.links if link.usable]
        if not links:
            self._note(event, None, "")
            return None
        link = self._random.choice(links)
        payload = json.dumps(event.body, ensure_ascii=False, separators=(",", ":")).encode()
        count = event.parts or -(-len(payload) // self._rules.part_bytes)
        push_id = f"push_{self._random.getrandbits(64):016x}"
        self._seq += count
        trace = f"{self._random.getrandbits(64):016x}{millis()}"
        parts = frames.parts_of(self._sim.service_id, push_id, payload, count, trace, self._seq)
        push = Push(push_id, event, link, parts)
        self._pushes[push_id] = push
        while len(self._pushes) > _REMEMBERED:
            self._pushes.popitem(last=False)
        self._note(event, link, push_id)
        order = list(parts)
        if event.shuffled:
            order.reverse()
        for part in order:
            link.send(part.data)
        return push

    def _note(self, event: Event, link: Link | None, push_id: str) -> None:
        self._sim.log.add(
            "push",
            link=link.id if link else None,
            event_id=event.id,
            message_id=event.message_id,
            chat=event.chat,
            push_id=push_id,
            attempt=event.pushes,
            event_type=event.body["header"]["event_type"],
        )

    def _release(self, event: Event) -> None:
        waiting = self._held.get(event.chat)
        if not waiting or waiting[0] is not event:
            return
        waiting.popleft()
        if waiting:
            self._begin(waiting[0])
        else:
            del self._held[event.chat]

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
        push.answered = True
        took = time.monotonic() - push.at
        late = took > self._rules.ack_deadline
        event = push.event
        self._sim.log.add(
            "ack",
            link=link.id,
            event_id=event.id,
            message_id=event.message_id,
            chat=event.chat,
            push_id=push.id,
            code=answer["code"],
            ms=round(took * 1000, 1),
            late=late,
            data=_decoded(answer.get("data")),
        )
        if not push.outcome.ready():
            push.outcome.set("late" if late else answer["code"])
        if answer["code"] == 200:
            if not late:
                event.finished.set()
            self._release(event)

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
