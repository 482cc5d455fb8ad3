"""Escalation: after very many failed dials, ask whether the fault is ours; only then is a restart a cure.

A fresh process performs the child's own dial. Fresh process READY and ours still failing: something
in this process is broken, so it drains and asks to be restarted, at most once in six hours. Anything
else (the platform is down, the network is) is not cured by a restart, and none is asked for.
"""

from __future__ import annotations

from typing import Any, Callable

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError
from hermes_green.core.machine import State
from hermes_green.runtime.child import Child
from hermes_green.runtime.notes import Ledger

AGAIN_AFTER = 6 * 3600.0


class Escalation:
    """``book(child)`` books a dial (Throttled: not now); ``probe(child)`` runs it in a fresh process and
    answers whether it became READY, and what it said; ``restart()`` drains and ends with 75."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        offhub: Callable[..., Any],
        book: Callable[[str], None],
        probe: Callable[[str], tuple[bool, str]],
        restart: Callable[[], None],
        clock: Clock,
        log: Any,
    ) -> None:
        self._ledger = ledger
        self._offhub = offhub
        self._book = book
        self._probe = probe
        self._restart = restart
        self._clock = clock
        self._log = log
        self._asking: gevent.Greenlet | None = None

    def consider(self, child: Child) -> None:
        """A child has failed very often in a row; returns at once. One question at a time."""
        if self._asking is None or self._asking.dead:
            self._asking = gevent.spawn(self._ask, child)
            self._asking.name = f"escalation-{child.id}"

    def close(self) -> None:
        """Drop a question in flight."""
        if self._asking is not None:
            self._asking.kill(timeout=2)

    def _ask(self, child: Child) -> None:
        try:
            self._asked(child)
        except (HermesError, OSError) as error:
            self._log.info("{}: whether the fault is ours could not be asked now: {}", child.id, error)

    def _asked(self, child: Child) -> None:
        self._book(child.id)
        ready, said = self._probe(child.id)
        if not ready:
            self._log.warning("{}: a fresh process fails as well ({}): a restart would not help", child.id, said)
            return
        if child.state is State.READY:
            return
        last = self._offhub(self._ledger.last, "escalation")
        if last is not None and last["age"] < AGAIN_AFTER:
            self._log.error("{}: a fresh process connects, ours does not; a restart was tried before", child.id)
            return
        self._offhub(lambda: self._ledger.note("escalation", child=child.id))
        self._log.error("{}: a fresh process connects and ours does not: asking for a restart", child.id)
        self._restart()
