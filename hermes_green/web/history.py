"""History: the last hour of what ``/metrics`` tells, kept in memory for the page's charts."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Callable, Mapping

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.ports import Counts

INTERVAL = 10.0  # seconds between points
POINTS = 360  # an hour
LOOKS = 2  # at the hub's lag, per point: it is remembered for 5 s only

# Upper bound of a bucket (s) -> how many so far took no longer, as in a histogram of ``/metrics``.
Spread = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in the ``INTERVAL`` that ended at wall time ``at``; ``n`` counts from 1 and never again.

    ``lag_ms``: the hub's worst. ``turns`` and ``deliveries`` ended meanwhile; their durations in seconds, None
    when there were none. ``inbox`` and ``outbox`` wait at the end.
    """

    n: int
    at: float
    lag_ms: float
    turns: int
    turn_p50: float | None
    turn_p95: float | None
    deliveries: int
    delivery_p50: float | None
    delivery_p95: float | None
    inbox: int
    outbox: int


class History:
    """``spreads`` are the durations of turns and deliveries so far; ``lag_ms`` the hub's worst lag of late."""

    def __init__(
        self,
        spreads: Callable[[], Mapping[str, Spread]],
        lag_ms: Callable[[], float],
        counts: Callable[[], Counts],
        clock: Clock,
    ) -> None:
        self._spreads = spreads
        self._lag_ms = lag_ms
        self._counts = counts
        self._clock = clock
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._taken = 0
        self._before: Mapping[str, Spread] = spreads()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to sample."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = "history"

    def stop(self) -> None:
        """End the greenlet."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill(timeout=1.0)

    def since(self, n: int = 0) -> list[dict[str, Any]]:
        """The points after ``n``, oldest first; all of them where ``n`` is not one of ours yet."""
        asked = n if n <= self._taken else 0
        return [asdict(point) for point in self._points if point.n > asked]

    def take(self, lag_ms: float) -> Point:
        """Add a point; ``lag_ms``: the worst since the last one."""
        spreads, counts = self._spreads(), self._counts()
        fresh = {name: _difference(spreads[name], self._before.get(name, {})) for name in ("turn", "delivery")}
        self._before = spreads
        self._taken += 1
        turn, delivery = fresh["turn"], fresh["delivery"]
        point = Point(
            n=self._taken,
            at=round(self._clock.wall(), 3),
            lag_ms=lag_ms,
            turns=_all(turn),
            turn_p50=quantile(turn, 0.5),
            turn_p95=quantile(turn, 0.95),
            deliveries=_all(delivery),
            delivery_p50=quantile(delivery, 0.5),
            delivery_p95=quantile(delivery, 0.95),
            inbox=counts.inbox,
            outbox=counts.outbox,
        )
        self._points.append(point)
        return point

    def _run(self) -> None:
        while True:
            worst = 0.0
            for _ in range(LOOKS):
                gevent.sleep(INTERVAL / LOOKS)
                worst = max(worst, self._lag_ms())
            self.take(worst)


def quantile(spread: Spread, part: float) -> float | None:
    """The duration (s) that ``part`` of all stayed below, as Prometheus estimates it: evenly spread within a
    bucket, and beyond the last bound that bound. None when there were none."""
    wanted, lower, below = part * _all(spread), 0.0, 0.0
    if not wanted:
        return None
    for bound in sorted(spread):
        count = spread[bound]
        if count >= wanted:
            if bound == float("inf"):
                return lower
            share = (wanted - below) / (count - below)
            return round(lower + (bound - lower) * share, 4)
        lower, below = bound, count
    return lower


def _difference(now: Spread, before: Spread) -> dict[float, float]:
    # A child that is gone takes its counts along; what it leaves is no negative traffic.
    return {bound: max(0.0, count - before.get(bound, 0.0)) for bound, count in now.items()}


def _all(spread: Spread) -> int:
    return int(spread.get(float("inf"), 0))
