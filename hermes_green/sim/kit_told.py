"""Refusals that a test dictates: which calls are refused, for how long, how often."""

from __future__ import annotations

import time
from typing import Any


class Told:
    """One fault of the kind ``api_error``: what is answered, to which paths, until when, how many times."""

    def __init__(self) -> None:
        self._what: Any = None
        self._path = ""
        self._until = 0.0
        self._left: int | None = 0

    def set(self, what: Any, path: str, seconds: float | None, count: int | None) -> None:
        """Answer ``what`` to calls whose path contains ``path``."""
        self._what, self._path = what, path
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self._left = count

    def clear(self) -> None:
        """No more."""
        self._what = None

    def names(self, path: str) -> bool:
        """Whether it was told for such a path, and not for all."""
        return bool(self._path) and self._path in path

    def take(self, path: str) -> Any:
        """What to answer to a call of ``path``, or None; uses up one of its times."""
        if self._what is None or self._left == 0 or time.monotonic() > self._until or self._path not in path:
            return None
        if self._left is not None:
            self._left -= 1
        return self._what
