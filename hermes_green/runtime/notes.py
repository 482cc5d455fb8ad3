"""Notes: what this process writes down for the next one."""

from __future__ import annotations

from typing import Any, Mapping, Protocol


class Ledger(Protocol):
    """The part of a record that outlives the process which most need; every method blocks."""

    def last(self, kind: str) -> Mapping[str, Any] | None: ...

    def note(self, kind: str, **data: Any) -> None: ...
