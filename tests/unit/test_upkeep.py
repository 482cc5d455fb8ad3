"""Upkeep tells a store that is slow from one that hangs."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import StoreAway
from hermes_green.core.ports import Counts, Retention
from hermes_green.runtime import upkeep
from hermes_green.runtime.upkeep import Upkeep
from tests.support.children import eventually


class Store:
    """Answers a ping after ``seconds``, or with an error."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds, self.error = seconds, error

    def ping(self) -> None:
        gevent.sleep(self.seconds)
        if self.error is not None:
            raise self.error

    def counts(self, now: float) -> Counts:
        return Counts()


class Deaf:
    """Nobody manages this service."""

    def watchdog(self) -> None: ...

    def status(self, text: str) -> None: ...


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(upkeep, "STORE_DEADLINE", 0.008)
    kept: list[Upkeep] = []

    def start(store: Store, patience: float, **more: Any) -> tuple[Upkeep, list[int]]:
        alive: list[int] = []
        kept.append(
            Upkeep(
                store=store,  # type: ignore[arg-type]
                clock=SystemClock(),
                log=logger,
                notifier=Deaf(),
                turning=more.pop("turning", lambda: None),
                summary=lambda: "",
                retention=Retention,
                broken=lambda error: None,
                sweep=lambda: 0,
                alive=lambda: alive.append(1),
                pulse=lambda: 0.001,
                patience=lambda: patience,
                **more,
            )
        )
        return kept[-1], alive

    yield start
    for each in kept:
        each.close()


def test_a_store_that_is_late_is_called_away_and_lives(keep: Any) -> None:
    made, alive = keep(Store(0.024), 1.0)
    eventually(lambda: made.store_state.startswith("away: no answer"))
    eventually(lambda: alive and made.store_state == "ok")


def test_a_store_that_says_it_is_away_lives(keep: Any) -> None:
    made, alive = keep(Store(error=StoreAway("full")), 1.0)
    eventually(lambda: alive and made.store_state == "away: full")


def test_a_store_that_says_nothing_at_all_does_not_live(keep: Any) -> None:
    made, alive = keep(Store(600), 0.012)
    eventually(lambda: made.store_state.startswith("away: no answer"))
    gevent.sleep(0.036)
    assert not alive


def test_a_bug_that_a_pulse_meets_is_not_the_end_of_all_pulses(keep: Any) -> None:
    bugs: list[Exception] = [ZeroDivisionError("bug")]

    def turning() -> None:
        if bugs:
            raise bugs.pop()

    made, alive = keep(Store(), 1.0, turning=turning)
    eventually(lambda: alive and not bugs)


@pytest.mark.parametrize("away", [Store(0.024), Store(error=StoreAway("full"))], ids=["late", "full"])
def test_a_store_that_is_back_is_told_of_once(keep: Any, away: Store) -> None:
    back: list[int] = []
    made, alive = keep(away, 1.0, back=lambda: back.append(1))
    eventually(lambda: made.store_state.startswith("away"))
    away.seconds, away.error = 0.0, None
    eventually(lambda: back)
    eventually(lambda: len(alive) > 3)
    assert made.store_state == "ok" and len(back) == 1
