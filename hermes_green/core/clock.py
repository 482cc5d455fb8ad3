"""Time comes in by the door: every part that needs a clock is handed one of these."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol

# Seconds; a wall clock that gains more than this on one that only runs was put forward.
STEP = 5.0
# Two readings so far apart are of two moments.
_APART = 0.1
_MOST = 16
# Runs on while the machine sleeps, as what platforms and people call time does.
_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Wall time for what outlives the process, monotonic time for what does not; both seconds."""

    def wall(self) -> float: ...

    def ago(self, seconds: float) -> float:
        """What ``wall`` answered so many seconds ago: what is stamped with less is older than that, though
        somebody (NTP that found the machine's clock wrong) has put the clock forward since."""

    def monotonic(self) -> float: ...


class _Steps:
    """How far a wall clock was put forward, and what it showed before; what it is put back is taken off again."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._steps: list[tuple[float, float]] = []

    def read(self, wall: float, steady: float) -> None:
        """Two clocks at one moment."""
        before, self._ahead = self._ahead, wall - steady
        gained = 0.0 if before is None else self._ahead - before
        if gained > STEP:
            self._steps = [*self._steps[1 - _MOST :], (wall - gained, gained)]
        while gained < -STEP and self._steps:
            showed, step = self._steps.pop()
            gained += step
            if gained > STEP:
                self._steps.append((showed, gained))

    def ago(self, now: float, seconds: float) -> float:
        then = now - seconds
        for showed, step in reversed(self._steps):
            if then >= showed + step:
                break
            then -= step
        return then


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._steps = _Steps()

    def wall(self) -> float:
        steady = time.clock_gettime(_STEADY)
        wall = time.time()
        if time.clock_gettime(_STEADY) - steady < _APART:
            self._steps.read(wall, steady)
        return wall

    def ago(self, seconds: float) -> float:
        return self._steps.ago(self.wall(), seconds)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; for tests and replays."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._steps = _Steps()

    def wall(self) -> float:
        self._steps.read(self._wall, self._monotonic)
        return self._wall

    def ago(self, seconds: float) -> float:
        return self._steps.ago(self.wall(), seconds)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock off by ``seconds``, as NTP or an operator would."""
        self.wall()
        self._wall += seconds
        self.wall()


def rfc3339(wall: float) -> str:
    """``2026-11-20T07:00:00.123Z`` for wall seconds since the epoch."""
    stamp = datetime.fromtimestamp(wall, timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def clock_time(wall: float) -> str:
    """Local ``HH:MM:SS``, for sentences that people read."""
    return datetime.fromtimestamp(wall).strftime("%H:%M:%S")
