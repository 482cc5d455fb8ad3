"""StandingTime: for rules that count seconds, and tests that must not be held to how long they take themselves."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

import pytest


class StandingTime:
    """Stands in for the module ``time`` in others; its clocks move only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """``modules``: those that ask it from now on, and no others."""
        self._monotonic, self._wall = time.monotonic(), time.time()
        for module in modules:
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._monotonic += seconds
        self._wall += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
