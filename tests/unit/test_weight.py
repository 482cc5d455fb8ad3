"""A process that has grown too large is restarted, and not again and again."""

from __future__ import annotations

from typing import Any

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.ops.ledger import Ledger
from hermes_green.runtime.weight import AGAIN_AFTER, Weight


class Process:
    """One process after the other, on one record; ``restarts``: how often one was asked for."""

    def __init__(self, path: Any) -> None:
        self.clock, self.restarts, self.mb, self.most, self.lines = ManualClock(), 0, 100.0, 0.0, []  # type: ignore
        self.ledger = Ledger(path, self.clock, "boot")
        self.broken = False
        self.begin()

    def begin(self) -> None:
        self.weight = Weight(
            ledger=self.ledger, offhub=self._offhub, most=lambda: self.most, resident=lambda: self.mb,
            restart=self._restart, clock=self.clock, log=self,
        )  # fmt: skip

    def warning(self, text: str, *values: Any) -> None:
        self.lines.append(text.format(*values))

    def _offhub(self, work: Any, *args: Any) -> Any:
        if self.broken:
            raise OSError(28, "No space left on device")
        return work(*args)

    def _restart(self) -> None:
        self.restarts += 1


@pytest.fixture
def process(tmp_path) -> Process:
    return Process(tmp_path / "ledger")


def test_without_a_limit_or_below_it_nothing_is_asked_for(process):
    process.weight.look()
    process.most = 100.0
    process.weight.look()
    assert process.restarts == 0 and process.lines == []


def test_above_its_limit_it_asks_once_and_the_next_one_only_after_an_hour(process):
    process.most = 50.0
    for _ in range(3):
        process.weight.look()
    assert process.restarts == 1
    process.clock.advance(600)
    process.begin()
    for _ in range(3):
        process.weight.look()
    assert process.restarts == 1 and len(process.lines) == 2
    assert "for it 10 min ago: raise max_rss_mb" in process.lines[-1]
    process.clock.advance(AGAIN_AFTER - 599)
    process.weight.look()
    assert process.restarts == 2


def test_what_cannot_be_noted_is_not_done(process):
    process.most, process.broken = 50.0, True
    for _ in range(3):
        process.weight.look()
    assert process.restarts == 0 and len(process.lines) == 1
    process.broken = False
    process.clock.advance(AGAIN_AFTER)
    process.weight.look()
    assert process.restarts == 1
