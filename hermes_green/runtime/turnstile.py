"""Turnstile: lets a crowd through one by one, so that timers run in between.

gevent looks at its timers after each fifty greenlets that are ready. Fifty sends that begin at once
take a millisecond each, and every heartbeat would wait for all of them.
"""

from __future__ import annotations

import gevent
from gevent.lock import BoundedSemaphore

_ROUND = 1e-9  # not 0: that would not let timers run


class Turnstile:
    """``enter`` returns at once for who comes alone, and once a round of the hub in a crowd."""

    def __init__(self) -> None:
        self._one = BoundedSemaphore(1)
        # Whether timers have had no turn since somebody entered, which our own timer tells.
        self._crowd = False
        self._timer = gevent.get_hub().loop.timer(_ROUND)

    def enter(self) -> None:
        """Wait for the own turn; in order of arrival."""
        with self._one:
            if self._crowd:
                gevent.sleep(_ROUND)
            self._crowd = True
            self._timer.start(self._timers_ran)

    def _timers_ran(self) -> None:
        self._crowd = False
