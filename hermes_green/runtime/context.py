"""AdapterContext: what an adapter may ask of the gateway for as long as it lives."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.errors import HermesError
from hermes_green.core.ports import Store


class AdapterContext:
    """See ``core.ports.Context``. ``rekeyed(child, old, new)`` is told what the store knows; it returns at once.
    ``beside(fn, *values)`` computes off the hub."""

    def __init__(
        self,
        *,
        child: str,
        account: str,
        log: Any,
        store: Store,
        halt: Callable[[str, HermesError], None],
        count: Callable[[str, str, str], None],
        hide: Callable[[str], None],
        rekeyed: Callable[[str, str, str], None] = lambda child, old, new: None,
        beside: Callable[..., Any] = lambda compute, *values: compute(*values),
    ) -> None:
        self.child = child
        self.account = account
        self.log = log
        self._store = store
        self._halt = halt
        self._count = count
        self._hide = hide
        self._rekeyed = rekeyed
        self._beside = beside

    def memo(self, name: str) -> Any:
        """The last committed value under ``name``, or None."""
        return self._store.memo(self.child, name)

    def count(self, name: str, outcome: str = "") -> None:
        """Count something worth seeing."""
        self._count(self.child, name, outcome)

    def reject(self, error: Exception) -> None:
        """A credential was refused during a send: halt the child."""
        halting = error if isinstance(error, HermesError) else HermesError(repr(error))
        self._halt(self.child, halting)

    def rekey(self, old: str, new: str) -> None:
        """A chat has changed its id: sessions and undelivered rows follow."""
        self._store.rekey(self.child, old, new)
        self._rekeyed(self.child, old, new)

    def hide(self, secret: str) -> None:
        """A token has been fetched: nothing shows it from now on."""
        self._hide(secret)

    def beside(self, compute: Callable[..., Any], *values: Any) -> Any:
        """What a pure function answers; meanwhile every link goes on."""
        return self._beside(compute, *values)
