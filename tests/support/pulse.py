"""A greenlet that only sleeps, and remembers how late it woke: what a limit in seconds owes to a busy machine.

A limit is for the gateway. What somebody who does nothing at all is late by, beside it, is the machine's; and
what this process is late by, it is late by as well when it looks at the clock.
"""

from __future__ import annotations

import time
from types import TracebackType

import gevent

PAUSE = 0.02


class Pulse:
    """Beats from ``with`` on."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, float]] = []  # when it woke, in wall time, and how late that was

    def __enter__(self) -> Pulse:
        self._greenlet = gevent.spawn(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._greenlet.kill()

    def late(self, since: float, until: float | None = None) -> float:
        """Seconds of a span of wall time in which it wanted to run and did not."""
        until = time.time() if until is None else until
        gevent.sleep(max(0.0, until + 2 * PAUSE - time.time()))  # so that the last stall is written down
        spans = ((max(woke - late, since), min(woke, until)) for woke, late in self._beats)
        return sum(end - begin for begin, end in spans if end > begin)

    def _run(self) -> None:
        while True:
            asleep = time.monotonic()
            gevent.sleep(PAUSE)
            self._beats.append((time.time(), time.monotonic() - asleep - PAUSE))
