"""Weight: a process that has grown too large asks for a fresh one; seldom, for the next may need as much."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError
from hermes_green.runtime.notes import Ledger

AGAIN_AFTER = 3600.0
ABOVE = "{:.0f} MB are more than max_rss_mb {:.0f}"


class Weight:
    """``most`` answers supervisor.max_rss_mb (0: no limit), ``resident`` what there is; ``restart()`` drains and
    ends with 75, at most once an hour, over all processes."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        offhub: Callable[..., Any],
        most: Callable[[], float],
        resident: Callable[[], float],
        restart: Callable[[], None],
        clock: Clock,
        log: Any,
    ) -> None:
        self._ledger = ledger
        self._offhub = offhub
        self._most = most
        self._resident = resident
        self._restart = restart
        self._clock = clock
        self._log = log
        self._quiet_until = 0.0

    def look(self) -> None:
        """Ask for a restart where it has to be."""
        most = self._most()
        if not most or self._clock.monotonic() < self._quiet_until:
            return
        resident = self._resident()
        if resident <= most:
            return
        try:
            left = self._offhub(self._booked)
        except (HermesError, OSError) as error:
            # A restart that nobody would remember might be followed by another, and so on.
            self._log.warning(f"{ABOVE}, and that cannot be noted: {{}}", resident, most, error)
            left = AGAIN_AFTER / 60
        else:
            if not left:
                self._log.warning(f"{ABOVE}: asking for a restart", resident, most)
                self._restart()
                left = AGAIN_AFTER
            else:
                ago = (AGAIN_AFTER - left) / 60
                text = f"{ABOVE}, and it was restarted for it {{:.0f}} min ago: raise max_rss_mb"
                self._log.warning(text, resident, most, ago)
        self._quiet_until = self._clock.monotonic() + left

    def _booked(self) -> float:
        """Seconds until a restart may be asked for; 0.0: now, and it is noted."""
        last = self._ledger.last("max_rss")
        if last is not None and last["age"] < AGAIN_AFTER:
            return float(max(1.0, AGAIN_AFTER - last["age"]))
        self._ledger.note("max_rss")
        return 0.0
