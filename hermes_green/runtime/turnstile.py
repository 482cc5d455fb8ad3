"""Turnstile: lets a crowd through one by one, so that timers run in between.

gevent looks at its timers after each fifty greenlets that are ready. Fifty sends that begin at once
take a millisecond each, and every heartbeat would wait for all of them.
"""

from __future__ import annotations

import gevent
from gevent.lock import BoundedSemaphore

from hermes_green.core.clock import Clock

# Who comes this many seconds after the one before need not wait for a round of the hub.
CLOSE = 0.002
_ROUND = 1e-9  # not 0: that would not let timers run


class Turnstile:
    """``enter`` returns at once for who comes alone, and once a round of the hub in a crowd."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one = BoundedSemaphore(1)
        self._last = float("-inf")

    def enter(self) -> None:
        """Wait for the own turn; in order of arrival."""
        with self._one:
            if self._clock.monotonic() - self._last < CLOSE:
                gevent.sleep(_ROUND)
            self._last = self._clock.monotonic()
