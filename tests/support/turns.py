"""Turns: whether one greenlet leaves the others theirs, told by counting and not by how long a machine takes."""

from __future__ import annotations

import gevent

TICK = 0.01


class Turns:
    """Counts what somebody does between two turns of a timer of 10 ms.

    Whoever has more to do than there is time for, and starves the others, does nearly all of it between two turns;
    whoever is fair does little. Neither a busy machine nor one that stops the whole process changes that.
    """

    def __init__(self) -> None:
        self.done = 0
        self.most = 0
        self.ticks = 0
        self._since = 0
        self._greenlet = gevent.spawn(self._tick)
        gevent.sleep(0)

    def did(self) -> None:
        """One more."""
        self.done += 1
        self._since += 1
        self.most = max(self.most, self._since)

    def stop(self) -> None:
        """Count no more turns."""
        self._greenlet.kill()

    def fair(self) -> bool:
        """Whether the others had turns all the while."""
        return self.most <= self.done / 2

    def __str__(self) -> str:
        return f"at most {self.most} of {self.done} between two of {self.ticks} turns"

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK)
            self.ticks += 1
            self._since = 0
