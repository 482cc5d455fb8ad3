"""DialBook: the durable budget of one child's credential, asked before every dial, off the hub."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator, Mapping, Protocol, Sequence

import gevent

from hermes_green.core.errors import HermesError, Throttled
from hermes_green.runtime import notes
from hermes_green.runtime.suspicion import Suspicion

Windows = tuple[tuple[float, float], ...]
DISK_RETRY = 30.0


class Ledger(notes.Ledger, Protocol):
    """The fsynced record of one credential; every method blocks."""

    def book(self, kind: str, budget: Windows, *, reserve: int = 0) -> None: ...

    def check(self, kind: str, budget: Windows, *, reserve: int = 0) -> None: ...

    def usage(self, kind: str, budget: Windows) -> Sequence[Mapping[str, Any]]: ...

    def boot_wait(self, seconds: float) -> float: ...

    def was_ready(self, fingerprint: str) -> bool: ...

    def fingerprint(self, secret: str) -> str: ...


class DialBook:
    """See ``runtime.child.Dials``.

    ``budgets``: kind -> ((count, seconds), ...), the default of the platform; ``override`` answers
    the operator's ``dial_budget`` for kind ``dial`` (None: the platform's own; empty: no limit).
    """

    BOOT_WINDOW = 300.0

    def __init__(
        self,
        ledger: Ledger,
        offhub: Callable[..., Any],
        budgets: Mapping[str, Windows],
        override: Callable[[], Windows | None],
        secret: str,
        reserve: int,
        count: Callable[[str], None],
        suspicion: Suspicion,
    ) -> None:
        self._ledger = ledger
        self._offhub = offhub
        self._budgets = budgets
        self._override = override
        self._secret = secret
        self._reserve = reserve
        self._count = count
        self._suspicion = suspicion
        self._noted = False
        self._accepted: bool | None = None
        self._booted = False
        self._usage: list[Mapping[str, Any]] = []
        self._look: gevent.Greenlet | None = None

    def before_dial(self, *, handover: bool) -> None:
        """Book one dial. The first of a process also keeps its distance from the starts before it.

        Raises:
            Throttled: with code ``budget_spent``, ``suspect``, ``ledger_away`` or ``boot_spacing``, and how long.
        """
        reserve = 0 if handover else self._reserve
        try:
            with _disk():
                # A child that dials nobody (the page) has no distance to keep.
                if not self._booted and self._budgets:
                    self._booted = True
                    self._space_boots()
                if not handover:
                    self._suspicion.check()
                self._book("dial", reserve)
        except Throttled as refusal:
            self._count("refused")
            raise self._longest(refusal, handover, reserve) from None
        self._count("made")
        if self._accepted is None:
            # Asked here, where waiting costs no more than a later dial; whoever needs it must not wait.
            with suppress(OSError, HermesError):
                known = bool(self._offhub(self._recall))
                self._accepted = self._accepted or known

    def _space_boots(self) -> None:
        try:
            wait = self._offhub(self._ledger.boot_wait, self.BOOT_WINDOW)
        except OSError:
            return  # the booking that follows says what is wrong with the disk
        if wait > 0:
            raise Throttled(
                f"several starts in {self.BOOT_WINDOW:.0f} s without a link: the first dial waits {wait:.0f} s",
                after=wait,
                code="boot_spacing",
            )

    def _longest(self, refusal: Throttled, handover: bool, reserve: int) -> Throttled:
        """Of all that forbids a dial now what does so longest: people are told its time, and may rely on it. A spent
        budget may be what makes it suspect."""
        if refusal.code not in ("budget_spent", "suspect", "boot_spacing"):
            return refusal
        spent = lambda: self._ledger.check("dial", self.windows("dial"), reserve=reserve)  # noqa: E731
        refusal = _longer(refusal, lambda: self._offhub(spent))
        if refusal.code != "boot_spacing":
            with suppress(OSError, HermesError):  # the refusal is what counts
                self._suspicion.burst()
        return refusal if handover else _longer(refusal, self._suspicion.check)

    @property
    def suspect(self) -> bool:
        """True after a burst of dials without a message since."""
        return self._suspicion.level > 0

    def heard(self) -> None:
        """A message came in."""
        if self._suspicion.listening:
            gevent.spawn(self._suspicion.heard).name = "heard"

    def spend(self, kind: str) -> None:
        """Book one of another kind; a kind without a budget is free."""
        try:
            with _disk():
                self._book(kind, 0)
        except Throttled:
            self._count("refused")
            raise

    def accepted(self) -> None:
        """The platform accepted this secret; remembered by a keyed fingerprint, not by itself."""
        if self._noted:
            self._suspicion.opened()
        else:
            self._accepted = self._noted = True
            try:
                self._offhub(self._remember)
            except (OSError, HermesError):
                pass  # a link is up: it must not end because only the next process would miss this

    def was_accepted(self) -> bool:
        """True when this secret was READY before, in this process or an earlier one, as far as the last dial
        could tell."""
        return bool(self._accepted)

    def usage(self) -> list[Mapping[str, Any]]:
        """``[{window, used, limit}]`` of the dial budget as it was last read, ``window`` in seconds; and of what else
        the platform counts, with its ``kind``."""
        return self._usage

    def look(self) -> gevent.Greenlet | None:
        """Begin to read the usage anew; it is read once the greenlet has ended. None: the disk has not
        answered the last time yet, and there is nothing to wait for."""
        if self._look is not None and not self._look.dead:
            return None
        self._look = gevent.spawn(self._read_usage)
        self._look.name = "dial-usage"
        return self._look

    def _read_usage(self) -> None:
        # What cannot be read now stays as it was: it is shown, and no dial depends on it.
        with suppress(OSError, HermesError):
            self._usage = self._offhub(self._used)

    def _used(self) -> list[Mapping[str, Any]]:
        used = list(self._ledger.usage("dial", self.windows("dial")))
        for kind in self._budgets:
            if kind != "dial":
                used += [{**each, "kind": kind} for each in self._ledger.usage(kind, self.windows(kind))]
        return used

    def windows(self, kind: str) -> Windows:
        """The budget in force."""
        override = self._override() if kind == "dial" else None
        return override if override is not None else self._budgets.get(kind, ())

    def _book(self, kind: str, reserve: int) -> None:
        self._offhub(lambda: self._ledger.book(kind, self.windows(kind), reserve=reserve))

    def _remember(self) -> None:
        self._ledger.note("ready", fp=self._ledger.fingerprint(self._secret))

    def _recall(self) -> bool:
        return self._ledger.was_ready(self._ledger.fingerprint(self._secret))


def _longer(refusal: Throttled, look: Callable[[], Any]) -> Throttled:
    """``refusal``, or that of ``look`` where it holds longer."""
    try:
        look()
    except Throttled as other:
        return other if other.after > refusal.after else refusal
    except (OSError, HermesError):
        pass  # what is known already is reason enough
    return refusal


@contextmanager
def _disk() -> Iterator[None]:
    """A record that cannot be read or written now, or not in time, is a reason to wait and no crash."""
    try:
        yield
    except Throttled:
        raise
    except (OSError, HermesError) as error:
        raise Throttled(
            f"the dial ledger does not answer: {error}",
            after=DISK_RETRY,
            code="ledger_away",
            action="free disk space or make the directory writable; without a record no dial is made",
        ) from error
