"""Upkeep: the slow loops that keep a gateway fit for months: the store's pulse, retention, the
service manager's watchdog."""

from __future__ import annotations

from typing import Any, Callable, Protocol

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError, StoreBroken
from hermes_green.core.ports import Counts, Retention, Store
from hermes_green.runtime.closing import end_all

PULSE = 2.0
PRUNE_EVERY = 600.0
PRUNE_PAUSE = 0.2
STORE_DEADLINE = 5.0


class Notifier(Protocol):
    """The service manager's ear."""

    def watchdog(self) -> None: ...

    def status(self, text: str) -> None: ...


class Upkeep:
    """``turning()`` proves that the supervisor's loop turns (it raises when it does not); ``broken``
    is told of a store that cannot be trusted any more;
    ``sweep`` deletes old files. ``alive`` is told after each round in which everything answered, ``back`` of a
    store that was away; they return at once. ``pulse`` says how many seconds lie between rounds, ``patience`` how
    many a store may be silent."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: Any,
        notifier: Notifier,
        turning: Callable[[], None],
        summary: Callable[[], str],
        retention: Callable[[], Retention],
        broken: Callable[[StoreBroken], None],
        sweep: Callable[[], int],
        alive: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
        pulse: Callable[[], float] = lambda: PULSE,
        patience: Callable[[], float] = lambda: STORE_DEADLINE,
    ) -> None:
        self.store_state = "ok"
        self._was_away = False
        self.counts = Counts()
        self._store = store
        self._clock = clock
        self._log = log
        self._notifier = notifier
        self._turning = turning
        self._summary = summary
        self._retention = retention
        self._broken = broken
        self._sweep = sweep
        self._alive = alive
        self._back = back
        self._beat = pulse
        self._patience = patience
        self._greenlets = [gevent.spawn(self._pulse), gevent.spawn(self._prune)]
        for greenlet, name in zip(self._greenlets, ("pulse", "prune")):
            greenlet.name = name

    def close(self) -> None:
        """End both loops."""
        end_all(self._greenlets, 2.0)

    def _pulse(self) -> None:
        while True:
            try:
                self._turning()
                if self._ask_store():
                    if self._was_away and self.store_state == "ok":
                        self._was_away = False
                        self._back()
                    self._alive()
                    self._notifier.watchdog()
                self._notifier.status(self._summary())
            except gevent.Timeout:
                # Nobody is told that we live: whoever waits for it will see that we hang.
                self._log.error("the supervisor's loop does not turn")
            except Exception:  # border: one bad round is no reason to end a process that works
                self._log.exception("the pulse failed: this is a bug")
            gevent.sleep(self._beat())

    def _ask_store(self) -> bool:
        """A round trip through the writer. A store that says it is away lives, and so does one that is
        late; one that says nothing for ``patience`` does not (False)."""
        trip = gevent.spawn(self._round_trip)
        trip.name = "store-ping"
        try:
            trip.join(STORE_DEADLINE)
            if not trip.ready():
                self._is_away(f"no answer in {STORE_DEADLINE:.0f} s")
                # A disk that takes seconds for each commit is slow, and a restart would not mend it.
                trip.join(max(0.0, self._patience() - STORE_DEADLINE))
            if not trip.ready():
                return False
            trip.get()
            return True
        finally:
            trip.kill(block=False)

    def _round_trip(self) -> None:
        try:
            self._store.ping()
            self.counts = self._store.counts(self._clock.wall())
            self.store_state = "ok"
        except StoreBroken as error:
            self.store_state = f"broken: {error}"
            self._broken(error)
        except HermesError as error:
            self._is_away(str(error))

    def _is_away(self, why: str) -> None:
        self.store_state, self._was_away = f"away: {why}", True

    def _prune(self) -> None:
        while True:
            gevent.sleep(PRUNE_EVERY)
            try:
                while self._store.prune(self._retention(), self._clock.wall()):
                    gevent.sleep(PRUNE_PAUSE)
                self._sweep()
            except (HermesError, OSError) as error:
                self._log.warning("what is old could not be deleted now: {}", error)
            except Exception:  # border: a gateway that never deletes anything fills its disk
                self._log.exception("what is old could not be deleted: this is a bug")
