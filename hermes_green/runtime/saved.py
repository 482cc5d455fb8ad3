"""Saved: small state of the runtime's own that outlives the process, kept with the store's memos."""

from __future__ import annotations

from typing import Any, Callable

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import StoreError
from hermes_green.core.ports import Intake, Store
from hermes_green.runtime.pairing import Pairing

# Under the name of a child that cannot be configured.
OWNER = "@access"
PAIRING = "pairing"
LIMITS = "limits"


def read(store: Store, name: str) -> Any:
    """What was saved last, or None. Raises StoreAway."""
    return store.memo(OWNER, name)


def write(store: Store, clock: Clock, name: str, state: Any) -> None:
    """Save it; waits for the commit. Raises StoreAway."""
    store.accept(OWNER, [Intake(None, "", {name: state})], clock.wall())


def pairing(store: Store, clock: Clock) -> Pairing:
    """Who was let in, as it stands in the store. Raises StoreAway."""
    return Pairing(clock, read(store, PAIRING), lambda state: write(store, clock, PAIRING, state))


# Seconds that the last save may take.
CLOSE = 1.0


class Later:
    """Saves ``state()`` at most once in ``every`` seconds, however often it changes; a crash costs the
    changes since."""

    def __init__(
        self, store: Store, clock: Clock, log: Any, name: str, state: Callable[[], Any], every: float = 30.0
    ) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._name = name
        self._state = state
        self._every = every
        self._greenlet: gevent.Greenlet | None = None

    def touch(self) -> None:
        """It has changed."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn_later(self._every, self._write)
            self._greenlet.name = f"save-{self._name}"

    def close(self) -> None:
        """Save what has changed, now or never."""
        if self._greenlet is None:
            return
        self._greenlet.kill(timeout=CLOSE)
        self._greenlet = None
        with gevent.Timeout(CLOSE, False):
            self._save()

    def _write(self) -> None:
        self._greenlet = None
        if not self._save():
            self.touch()

    def _save(self) -> bool:
        try:
            write(self._store, self._clock, self._name, self._state())
        except StoreError as error:
            self._log.debug("{} could not be saved now: {}", self._name, error)
            return False
        return True
