"""Outage: several links lost at about the same time are one event, and it is asked whether it was us."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

import gevent

TOGETHER = 15.0
# What makes a link break may have been some seconds before it does.
BEFORE = 5.0


class Outage:
    """Told once, when the window that began with its first loss is over: whoever was hit is known by then.

    ``worst_lag_ms(seconds)`` tells the hub's worst lag of so long: losses beside a late hub are our own.
    ``later(seconds, function)`` calls it then.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        worst_lag_ms: Callable[[float], float],
        tell: Callable[[list[str], float], None],
        later: Callable[[float, Callable[[], None]], Any] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._lag = worst_lag_ms
        self._tell = tell
        self._later = later or _later
        self._losses: deque[tuple[float, str]] = deque(maxlen=256)
        self._open = False

    def lost(self, child: str) -> None:
        """A READY child has lost its link."""
        now = self._monotonic()
        self._losses.append((now, child))
        if self._open:
            return
        while self._losses[0][0] < now - TOGETHER:
            self._losses.popleft()
        if len({name for _, name in self._losses}) > 1:
            self._open = True
            self._later(self._losses[0][0] + TOGETHER - now, self._over)

    def _over(self) -> None:
        self._open = False
        children = sorted({name for _, name in self._losses})
        self._losses.clear()
        self._tell(children, self._lag(TOGETHER + BEFORE))


def _later(seconds: float, function: Callable[[], None]) -> None:
    gevent.spawn_later(seconds, function).name = "outage"
