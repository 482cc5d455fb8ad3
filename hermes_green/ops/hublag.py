"""HubLag: how late the hub runs its timers, which is what every heartbeat suffers."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Callable

import gevent

from hermes_green.core.clock import Clock, SystemClock

LATELY = 5.0


class HubLag:
    """A greenlet that sleeps ``interval`` seconds again and again and measures how much longer it took."""

    def __init__(
        self,
        observe: Callable[[float], None] | None = None,
        *,
        clock: Clock | None = None,
        interval: float = 0.05,
        memory: float = 30.0,
    ) -> None:
        """``observe`` is called with each sample, in seconds; ``memory``: how long it can look back."""
        self._observe = observe
        self._clock = clock or SystemClock()
        self._interval = interval
        self._samples: deque[float] = deque(maxlen=max(1, round(memory / interval)))
        self._greenlet: gevent.Greenlet | None = None

    @property
    def current_ms(self) -> float:
        """The worst of the last seconds, in milliseconds."""
        return self.worst_ms(LATELY)

    def worst_ms(self, seconds: float) -> float:
        """The worst of so many seconds, in milliseconds."""
        samples = islice(reversed(self._samples), max(1, round(seconds / self._interval)))
        return round(max(samples, default=0.0) * 1000, 1)

    def start(self) -> None:
        """Begin to sample."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = "hub-lag"

    def stop(self) -> None:
        """End the greenlet."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill(timeout=1.0)

    def _run(self) -> None:
        while True:
            before = self._clock.monotonic()
            gevent.sleep(self._interval)
            late = max(0.0, self._clock.monotonic() - before - self._interval)
            self._samples.append(late)
            if self._observe is not None:
                self._observe(late)
