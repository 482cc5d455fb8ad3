"""Redial: when does a child dial again, after which end of a run; the one place that decides it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable

from hermes_green.core.errors import ConfError, Displaced, HermesError, Throttled
from hermes_green.core.pacing import Backoff

# A clean close after this long is the platform's planned cycle, not a failure.
PLANNED_AFTER = 5.0
# The first dial after a healthy link must be seen by the platform within 1 s, handshake included.
FIRST_REDIAL = 0.4
FAILED_RETRY = 3600.0
REJECTED_RETRIES = (300.0, 1800.0, 21600.0)
DISPLACED_RETRIES = (900.0, 3600.0, 21600.0)
# Waits of our own making say exactly when; no back-off comes on top of them.
EXACT = frozenset({"budget_spent", "suspect", "ledger_away", "store_away", "boot_spacing"})


@dataclass(frozen=True, slots=True)
class Pace:
    """The supervisor's numbers for one child, in seconds (gateway.yaml ``supervisor``)."""

    backoff_min: float = 1.0
    backoff_max: float = 60.0
    healthy_after: float = 30.0
    crashes: int = 5
    crash_window: float = 300.0
    escalate_after: int = 30


class Redial:
    """The waits of one child; ``draw`` is replaceable for tests."""

    def __init__(self, pace: Pace, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._pace = pace
        self._draw = draw
        self._backoff = Backoff(pace.backoff_min, pace.backoff_max, draw)
        self._rejections = 0

    @property
    def failures(self) -> int:
        """Dials in a row that did not lead to a healthy link."""
        return self._backoff.failures

    def repace(self, pace: Pace) -> None:
        """Obey other numbers from the next wait on."""
        self._pace = pace
        self._backoff.minimum, self._backoff.maximum = pace.backoff_min, pace.backoff_max

    def reset(self) -> None:
        """The operator asked for a dial now."""
        self._backoff.reset()

    def accepted(self) -> None:
        """The platform took the credential: rejections are counted from the start again."""
        self._rejections = 0

    def after_failure(self) -> float:
        """Seconds after a dial or a run that failed."""
        return self._backoff.next()

    def after_run(self, lived: float | None, error: BaseException | None) -> float:
        """Seconds after a run that was READY for ``lived`` seconds (None: never) and ended by ``error``."""
        healthy = lived is not None and lived >= self._pace.healthy_after
        planned = error is None and lived is not None and lived >= PLANNED_AFTER
        if healthy:
            self._backoff.reset()
        if isinstance(error, Throttled):
            return error.after if error.code in EXACT else max(error.after, self._backoff.next())
        if not (healthy or planned):
            return self._backoff.next()
        if healthy:
            self._backoff.next()
        return self._draw(0.0, min(FIRST_REDIAL, self._pace.backoff_min))

    def after_rejection(self, error: HermesError, accepted_before: bool) -> float | None:
        """Seconds until a halted child tries by itself, or None: a human must act.

        A credential that worked before may suffer from the vendor's bad five minutes; one that was
        displaced must not be silent for ever, nor kick back at once.
        """
        displaced = isinstance(error, Displaced)
        if isinstance(error, ConfError) or not (displaced or accepted_before):
            return None
        waits = DISPLACED_RETRIES if displaced else REJECTED_RETRIES
        wait = waits[min(self._rejections, len(waits) - 1)]
        self._rejections += 1
        return wait * self._draw(0.75, 1.25) if displaced else wait
