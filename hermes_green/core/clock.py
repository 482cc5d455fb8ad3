"""Time comes in by the door: every part that needs a clock is handed one of these."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """Wall time for what outlives the process, monotonic time for what does not; both seconds."""

    def wall(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; for tests and replays."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock off by ``seconds``, as NTP or an operator would."""
        self._wall += seconds


def rfc3339(wall: float) -> str:
    """``2026-11-20T07:00:00.123Z`` for wall seconds since the epoch."""
    stamp = datetime.fromtimestamp(wall, timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def clock_time(wall: float) -> str:
    """Local ``HH:MM:SS``, for sentences that people read."""
    return datetime.fromtimestamp(wall).strftime("%H:%M:%S")
