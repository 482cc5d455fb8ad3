"""What platforms have in common that look after their links by a clock of their own."""

from __future__ import annotations

import time
from typing import Any

import gevent

from hermes_green.sim.kit import Link, Simulator


class Watchful(Simulator):
    """Looks at each usable link again and again, from the start to the end.

    A platform overrides ``look_every`` and ``look``. A link's memo says ``stalled`` once it was: what such a
    link owes is no fault of the client's.
    """

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self._watch: gevent.Greenlet | None = None

    def look_every(self) -> float:
        """Seconds between two looks."""
        raise TypeError("a platform says how often it looks")

    def look(self, link: Link, now: float) -> None:
        """Do what is due on a link; ``now``: by the monotonic clock."""
        raise TypeError("a platform says what it looks for")

    def started(self) -> None:
        """Watch the links."""
        self._watch = gevent.spawn(self._watching)

    def stopping(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.kill(timeout=2)

    def _watching(self) -> None:
        while True:
            gevent.sleep(self.look_every())
            now = time.monotonic()
            for link in [link for link in self.links if link.usable]:
                if link.stalled:
                    link.memo["stalled"] = True
                self.look(link, now)
