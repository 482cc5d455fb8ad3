"""Courier: what platforms have in common that push an event again until somebody acknowledges it."""

from __future__ import annotations

import random
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, Sequence, TypeVar

import gevent
from gevent.event import AsyncResult, Event as Signal
from gevent.pool import Pool

from hermes_green.sim.kit_ws import Link

if TYPE_CHECKING:
    from hermes_green.sim.kit_server import Server

_REMEMBERED = 20_000
_HAPPENED_AGAIN = 5


class Errand(Protocol):
    """What is pushed: ``finished`` once it was acknowledged in time, ``pushes`` counts the attempts."""

    finished: Signal
    pushes: int

    @property
    def id(self) -> str:
        """The same on every push."""


@dataclass(slots=True)
class Push:
    """One attempt on one link; ``parts`` is the platform's own."""

    id: str
    event: Any
    link: Link
    parts: Any = None
    at: float = field(default_factory=time.monotonic)
    answered: bool = False
    outcome: AsyncResult = field(default_factory=AsyncResult)


E = TypeVar("E", bound=Errand)


class Courier(Generic[E]):
    """Pushes errands on live links at random, waits ``deadline`` seconds for each answer and tries again.

    A platform overrides ``prepare`` and ``write`` (one attempt on one link), ``facts`` (what the record
    says of an errand), ``takes`` (may this link have it) and ``over`` (an errand has ended, well or not).
    """

    def __init__(self, sim: Server, deadline: float, seed: int = 0) -> None:
        self._server = sim
        self._deadline = deadline
        self._pool = Pool()
        self._random = random.Random(seed)
        self._pushes: OrderedDict[str, Push] = OrderedDict()
        self._open: OrderedDict[int, E] = OrderedDict()
        self._recent: deque[E] = deque(maxlen=_HAPPENED_AGAIN)

    def prepare(self, event: E, link: Link) -> Push:
        """The next attempt, with an id of its own."""
        raise TypeError("a platform says how it pushes")

    def write(self, push: Push) -> None:
        """Put an attempt on the wire."""
        raise TypeError("a platform says how it pushes")

    def takes(self, link: Link) -> bool:
        """Whether this link gets errands."""
        return link.usable

    def facts(self, event: E) -> dict[str, Any]:
        """Fields of the record that tell which errand it was."""
        return {"event_id": event.id}

    def over(self, event: E) -> None:
        """An errand has ended: it was acknowledged or given up."""

    def begin(self, event: E, waits: Sequence[float]) -> None:
        """Push it now, and once more after each of ``waits`` seconds until it is acknowledged."""
        self._open[id(event)] = event
        self._recent.append(event)
        self._pool.spawn(self._deliver, event, waits)

    def unacked(self) -> list[str]:
        """The ids of errands that wait for an acknowledgement, oldest first."""
        return [event.id for event in self._open.values()]

    def again(self) -> None:
        """Push what is not acknowledged once more, or else the last few errands."""
        for event in list(self._open.values()) or list(self._recent):
            self.push(event)

    def lost(self, link: Link) -> None:
        """A link is gone: what it had not acknowledged has failed."""
        for push in list(self._pushes.values()):
            if push.link is link and not push.outcome.ready():
                push.outcome.set("link lost")

    def stop(self) -> None:
        """End every attempt."""
        self._pool.kill(timeout=2)

    def push(self, event: E) -> Push | None:
        """One attempt, whatever came before."""
        event.pushes += 1
        links = [link for link in self._server.links if self.takes(link)]
        if not links:
            self._server.log.add("push", link=None, attempt=event.pushes, **self.facts(event))
            return None
        push = self.prepare(event, self._random.choice(links))
        self._pushes[push.id] = push
        while len(self._pushes) > _REMEMBERED:
            self._pushes.popitem(last=False)
        self._server.log.add("push", link=push.link.id, attempt=event.pushes, push_id=push.id, **self.facts(event))
        self.write(push)
        return push

    def acknowledge(self, push: Push, good: bool, verdict: Any, **more: Any) -> None:
        """Note an acknowledgement; what comes too late or is not ``good`` ends nothing."""
        push.answered = True
        took = time.monotonic() - push.at
        late = took > self._deadline
        ms = round(took * 1000, 1)
        self._server.log.add("ack", push_id=push.id, late=late, ms=ms, **self.facts(push.event), **more)
        if not push.outcome.ready():
            push.outcome.set("late" if late else verdict)
        if good and not late:
            push.event.finished.set()

    def _deliver(self, event: E, waits: Sequence[float]) -> None:
        for wait in (*waits, None):
            if self._attempt(event) or event.finished.wait(wait or 0):
                break
        else:
            self._server.log.add("given_up", **self.facts(event))
        self._open.pop(id(event), None)
        self.over(event)

    def _attempt(self, event: E) -> bool:
        push = self.push(event)
        if push is None:
            return False
        if self._server.faults.take("duplicate") is not None:
            self.push(event)
        try:
            outcome = push.outcome.get(timeout=self._deadline)
        except gevent.Timeout:
            outcome = "no ack in time"
        if event.finished.is_set():
            return True
        self._server.log.add("push_failed", why=str(outcome), **self.facts(event))
        return False
