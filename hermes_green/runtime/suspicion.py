"""Suspicion: after a burst of dials some platforms accept a link and route nothing to it for long.

Nothing proves that state from here, so it changes only one thing: the distance to the next dial
grows, until a message shows that the bot is heard. It never dials by itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable

from hermes_green.core.clock import Clock, clock_time
from hermes_green.core.errors import HermesError, Throttled
from hermes_green.runtime.notes import Ledger

FIRST = 300.0
LONGEST = 3600.0


class Suspicion:
    """``remedy``: the sentence that names what else helps; "" for platforms that do not do this, and
    then nothing here ever happens."""

    def __init__(self, ledger: Ledger, offhub: Callable[..., Any], clock: Clock, remedy: str) -> None:
        self._ledger = ledger
        self._offhub = offhub
        self._clock = clock
        self._remedy = remedy
        self._level: int | None = None if remedy else 0
        self._listening = False

    @property
    def level(self) -> int:
        """How many bursts there were without a message since; 0: not suspect, or not known yet."""
        return self._level or 0

    def check(self) -> None:
        """Keep the distance that the suspicion asks for.

        Raises:
            Throttled: with code ``suspect``, until when, and the other remedy.
        """
        self._listening = bool(self._remedy)
        if self._level is None:
            self._level = self._offhub(self._recall)
        if not self._level:
            return
        last = self._offhub(self._ledger.last, "dial")
        wait = min(LONGEST, FIRST * 2 ** (self._level - 1)) - (last["age"] if last is not None else LONGEST)
        if wait > 0:
            until = clock_time(self._clock.wall() + wait)
            raise Throttled(
                f"cooling down until {until}: dialled often and nothing heard since, the routing may be stuck",
                after=wait,
                code="suspect",
                action=self._remedy,
            )

    def opened(self) -> None:
        """The platform has accepted a link, and not the first of this process, which is written down as ``ready``."""
        if self._remedy:
            with suppress(OSError, HermesError):  # a link is up: it must not end over a note
                self._offhub(lambda: self._ledger.note("opened"))

    def burst(self) -> None:
        """A budget was spent: once per burst of which links came, the suspicion grows. Where none came, whatever keeps
        dials from the platform keeps them from harm, too."""
        if not self._remedy:
            return
        heard = self._offhub(self._ledger.last, "heard")
        if heard is not None and heard["age"] < FIRST:
            return  # the burst did not make it deaf
        last = self._offhub(self._ledger.last, "suspect")
        links = [self._offhub(self._ledger.last, kind) for kind in ("ready", "opened")]
        opened = min((link["age"] for link in links if link is not None), default=None)
        if opened is None or (last is not None and last["age"] <= opened):
            return  # no link since it last grew
        self._level = self._offhub(self._recall) + 1
        self._offhub(lambda: self._ledger.note("suspect", level=self._level))

    @property
    def listening(self) -> bool:
        """True until the first message after a dial."""
        return self._listening

    def heard(self) -> None:
        """A message came in: the bot is routed to. Written down once a link; where the disk does not take it
        now, with the next message."""
        if self._listening:
            self._listening, self._level = False, 0
            try:
                self._offhub(lambda: self._ledger.note("heard"))
            except (OSError, HermesError):
                self._listening = True

    def _recall(self) -> int:
        suspect, heard = self._ledger.last("suspect"), self._ledger.last("heard")
        if suspect is None or (heard is not None and heard["age"] < suspect["age"]):
            return 0
        return int(suspect.get("level", 1))
