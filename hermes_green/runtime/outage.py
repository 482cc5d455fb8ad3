"""Outage: several links lost at about the same time are one event, and it is asked whether it was us."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

TOGETHER = 15.0


class Outage:
    """``worst_lag_ms`` tells the hub's lag of the last seconds: losses during a late hub are our own."""

    def __init__(
        self, monotonic: Callable[[], float], worst_lag_ms: Callable[[], float], tell: Callable[..., Any]
    ) -> None:
        self._monotonic = monotonic
        self._lag = worst_lag_ms
        self._tell = tell
        self._losses: deque[tuple[float, str, float]] = deque(maxlen=256)
        self._told: frozenset[str] = frozenset()

    def lost(self, child: str) -> None:
        """A READY child has lost its link."""
        now = self._monotonic()
        self._losses.append((now, child, self._lag()))
        while self._losses and self._losses[0][0] < now - TOGETHER:
            self._losses.popleft()
        children = frozenset(name for _, name, _ in self._losses)
        if len(children) < 2:
            self._told = frozenset()
        elif children != self._told:
            self._told = children
            self._tell(sorted(children), max(lag for _, _, lag in self._losses))
