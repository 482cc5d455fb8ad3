"""How fast, how often, how soon again: Backoff, Window and Bucket. Seconds are monotonic."""

from __future__ import annotations

import random
from collections import deque
from typing import Callable, Sequence


class Backoff:
    """Exponential waits with full jitter between two bounds.

    The n-th wait in a row is drawn evenly from ``0 .. min(maximum, minimum * 2**n)``, so that many
    clients of one server that came back do not dial in step; the first is at most ``minimum``.
    """

    def __init__(
        self, minimum: float, maximum: float, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self._draw = draw
        self._failures = 0

    @property
    def failures(self) -> int:
        """Waits handed out since the last reset."""
        return self._failures

    def next(self) -> float:
        """The next wait, in seconds."""
        # 2**30 minima exceed any bound; the cap keeps the power from growing for ever.
        ceiling = min(self.maximum, self.minimum * 2 ** min(self._failures, 30))
        self._failures += 1
        return self._draw(0.0, ceiling)

    def reset(self) -> None:
        """A healthy run has been seen: start from the minimum again."""
        self._failures = 0


class Window:
    """At most ``limit`` events within any ``seconds``: the crash limiter."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._events: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count one event; True when the limit is now reached."""
        self._events.append(now)
        return self.count(now) >= self.limit

    def count(self, now: float) -> int:
        """Events within the last ``seconds``."""
        while self._events and self._events[0] <= now - self.seconds:
            self._events.popleft()
        return len(self._events)

    def clear(self) -> None:
        """Forget the past (an operator started the child again)."""
        self._events.clear()


class Bucket:
    """A rate gate: ``count`` sends per ``seconds``, which learns from the platform's Retry-After.
    ``drafts``: it holds for a draft's updates too."""

    def __init__(self, count: int, seconds: float, drafts: bool = True) -> None:
        self.count = count
        self.seconds = seconds
        self.drafts = drafts
        self._spent: deque[float] = deque()
        self._closed_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a send is allowed; 0.0 when it is allowed now."""
        while self._spent and self._spent[0] <= now - self.seconds:
            self._spent.popleft()
        waits = [0.0, self._closed_until - now]
        if len(self._spent) >= self.count:
            waits.append(self._spent[-self.count] + self.seconds - now)
        return max(waits)

    def spend(self, now: float) -> None:
        """Book one send."""
        self._spent.append(now)

    def refund(self) -> None:
        """The send booked last did not happen."""
        if self._spent:
            self._spent.pop()

    def close(self, now: float, seconds: float) -> None:
        """The platform asked for ``seconds`` of silence."""
        self._closed_until = max(self._closed_until, now + seconds)

    def idle(self, now: float) -> bool:
        """True when the gate holds no memory and may be forgotten."""
        return self.wait(now) <= 0 and not self._spent


def enter(buckets: Sequence[Bucket], now: float) -> float:
    """Book one send in each of them and answer 0, or book nothing and answer the seconds until one is allowed."""
    wait = max((bucket.wait(now) for bucket in buckets), default=0.0)
    if wait <= 0:
        for bucket in buckets:
            bucket.spend(now)
    return wait
