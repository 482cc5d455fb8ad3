"""Fair: lets others run while one connection has more data than we can take."""

from __future__ import annotations

import time

import gevent

_SLICE = 0.001  # seconds one greenlet may work without letting others run
_TURN = 1e-9  # not 0: sleep(0) keeps the loop among its ready greenlets, and timers come up to 50 ms late


class Fair:
    """gevent does not switch while data is waiting, so a peer that floods us would starve everybody;
    who reads calls ``breathe`` for each item, and ``rested`` after a wait."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    def breathe(self) -> None:
        """Let other greenlets run if a slice of time is used up."""
        if time.monotonic() - self._since > _SLICE:
            gevent.sleep(_TURN)
            self._since = time.monotonic()

    def rested(self, before: float) -> None:
        """A read that began at ``before`` (monotonic) is done; if it waited, the others have run."""
        now = time.monotonic()
        if now - before > _SLICE / 2:
            self._since = now
