"""The gateway's memory on the simulated QQ: sessions, their numbered events, and who may identify. Pure.

Nothing is acknowledged on this platform. What a client has is what it says it has: the ``seq`` of
its heartbeats and of its RESUME. Times are monotonic seconds and come in by the door.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any, Iterator


@dataclass(frozen=True, slots=True)
class Event:
    """One numbered dispatch of one session. ``link``: only for that connection, never replayed (READY,
    RESUMED). ``message_id``: d.id, where the event is a message."""

    s: int
    t: str
    d: Any
    id: str = ""
    message_id: str = ""
    link: int | None = None

    def wire(self) -> str:
        """The frame."""
        frame: dict[str, Any] = {"op": 0, "s": self.s, "t": self.t, "d": self.d}
        if self.id:
            frame["id"] = self.id
        return json.dumps(frame, ensure_ascii=False)


class Session:
    """A session: it outlives its connection for a while and keeps its events for a RESUME.

    ``last``: the newest number given; ``acked``: the highest the client has stated; ``link``: the
    connection that has it, or None since ``dropped``; ``given_up``: its client has begun another;
    ``dead``: it cannot be resumed.
    """

    def __init__(self, intents: int, shard: tuple[int, int], limit: int) -> None:
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.shard = shard
        self.last = 0
        self.acked = 0
        self.link: Any = None
        self.dropped: float | None = None
        self.given_up = False
        self.dead = False
        self._limit = limit
        self._floor = 0
        self._events: list[Event] = []

    def append(self, t: str, d: Any, id: str = "", message_id: str = "", link: int | None = None) -> Event:
        """Give the next number; the oldest events beyond the limit are forgotten."""
        self.last += 1
        event = Event(self.last, t, d, id, message_id, link)
        self._events.append(event)
        if len(self._events) > 2 * self._limit:
            del self._events[: self._limit]
            self._floor += self._limit
        return event

    def next(self, seq: int, link: int) -> Event | None:
        """The first event after ``seq`` that this connection should get."""
        for event in self.after(seq):
            if event.link in (None, link):
                return event
        return None

    def after(self, seq: int) -> Iterator[Event]:
        """The events with s > seq, in order, transient ones included."""
        for i in range(max(0, seq - self._floor), len(self._events)):
            yield self._events[i]

    def ack(self, seq: int) -> list[str]:
        """The client has everything up to ``seq``: the ids of messages thereby known to have arrived."""
        events = islice(self.after(self.acked), max(0, seq - max(self.acked, self._floor)))
        fresh = [event.message_id for event in events if event.message_id]
        self.acked = max(self.acked, seq)
        return fresh

    def unacked(self) -> list[str]:
        """Ids of the messages of which the client has not stated that it has them."""
        return [e.message_id for e in self.after(self.acked) if e.message_id]

    def knows(self, seq: int) -> bool:
        """A RESUME from ``seq`` is possible."""
        return self._floor <= seq <= self.last


class Sessions:
    """All sessions that could still be resumed."""

    def __init__(self, ttl: float, limit: int) -> None:
        """``ttl``: seconds that a session outlives its connection; ``limit``: events kept at least."""
        self.ttl = ttl
        self.limit = limit
        self._all: dict[str, Session] = {}

    def open(self, intents: int, shard: tuple[int, int]) -> Session:
        """A new session."""
        session = Session(intents, shard, self.limit)
        self._all[session.id] = session
        return session

    def find(self, id: str) -> Session | None:
        """A session that may be resumed."""
        session = self._all.get(id)
        return None if session is None or session.dead else session

    def valid(self) -> list[Session]:
        """The sessions that get events, connected or not."""
        return list(self._all.values())

    def forget(self, session: Session) -> None:
        """It cannot be resumed any more."""
        self._all.pop(session.id, None)

    def expire(self, now: float) -> list[Session]:
        """Forget the sessions without a connection for too long; those."""
        old = [s for s in self._all.values() if s.dropped is not None and now - s.dropped > self.ttl]
        for session in old:
            self.forget(session)
        return old


class Identifies:
    """Who may identify: ``total`` in a day, ``concurrency`` within ``interval`` seconds."""

    DAY = 86400.0

    def __init__(self, total: int, concurrency: int, interval: float) -> None:
        self.total = total
        self.concurrency = concurrency
        self.interval = interval
        self.count = 0
        self._used: deque[float] = deque()

    def remaining(self, now: float) -> int:
        """Session starts left in this day."""
        while self._used and now - self._used[0] > self.DAY:
            self._used.popleft()
        return max(0, self.total - len(self._used))

    def leave(self, remaining: int, now: float) -> None:
        """Change the day's total so that so many are left."""
        self.total += remaining - (self.total - len(self._used))

    def reset_after(self, now: float) -> int:
        """Milliseconds until the oldest use is forgotten."""
        return int(1000 * (self.DAY - (now - self._used[0]))) if self._used else 0

    def take(self, now: float) -> str:
        """Use one; empty when granted, else why not."""
        if not self.remaining(now):
            return "no session starts left today"
        if sum(now - at < self.interval for at in self._used) >= self.concurrency:
            return f"more than {self.concurrency} identify in {self.interval:g} s"
        self.count += 1
        self._used.append(now)
        return ""
