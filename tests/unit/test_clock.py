"""Time comes in by the door, and is written as the contract says."""

from __future__ import annotations

import re
import time

import pytest

from hermes_green.core.clock import ManualClock, SystemClock, clock_time, rfc3339


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(wall=100, monotonic=5)
    clock.advance(2.5)
    assert (clock.wall(), clock.monotonic()) == (102.5, 7.5)


def test_a_jump_of_the_wall_clock_leaves_monotonic_time_alone() -> None:
    clock = ManualClock(wall=100, monotonic=5)
    clock.jump(-3600)
    assert (clock.wall(), clock.monotonic()) == (-3500, 5)


def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.wall() - time.time()) < 5
    first = clock.monotonic()
    assert clock.monotonic() >= first


class Machine:
    """The machine's clocks, as the module ``time`` shows them; ``slow``: seconds between a reading and the next."""

    def __init__(self) -> None:
        self.now, self.up, self.slow = 1_000_000.0, 50.0, 0.0

    def time(self) -> float:
        self.pass_(self.slow)
        return self.now

    def clock_gettime(self, which: int) -> float:
        self.pass_(self.slow)
        return self.up

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.up += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("hermes_green.core.clock.time", machine)
    return machine


def test_what_the_clock_showed_some_time_ago_does_not_move_when_it_is_put_forward(machine: Machine) -> None:
    clock = SystemClock()
    stamp = clock.wall()
    machine.pass_(100)
    assert clock.ago(100) == stamp
    clock.wall()
    machine.now += 86_400
    assert clock.wall() == machine.now, "whoever asks for the time is told the machine's"
    assert clock.ago(0) == machine.now
    assert clock.ago(99) == stamp + 1 and clock.ago(101) == stamp - 1
    machine.pass_(200)
    assert clock.ago(199) == machine.now - 199, "that was after it"
    assert clock.ago(300) == stamp
    machine.now += 3600  # once more
    assert clock.ago(300) == stamp and clock.ago(250) == stamp + 50


def test_a_clock_that_is_put_forward_and_back_again_has_shown_what_it_shows(machine: Machine) -> None:
    clock = SystemClock()
    clock.wall()
    for step in (86_400, -86_000, -400):
        machine.pass_(10)
        machine.now += step
        clock.wall()
    assert clock.ago(3600) == machine.now - 3600


@pytest.mark.parametrize("step", [-86_400, 3])
def test_a_clock_that_is_put_back_or_a_little_forward_makes_nothing_older(machine: Machine, step: float) -> None:
    clock = SystemClock()
    stamp = clock.wall()
    machine.pass_(10)
    machine.now += step
    assert clock.ago(10) == machine.now - 10 <= stamp + 3


def test_a_machine_that_stands_still_between_two_readings_has_not_put_its_clock_forward(machine: Machine) -> None:
    clock = SystemClock()
    clock.wall()
    for slow in (0.0, 30.0, 0.0, 0.0):
        machine.slow = slow
        machine.pass_(1)
        clock.wall()
    assert clock.ago(5) == machine.now - 5


def test_a_manual_clock_shows_its_past_as_the_machines_does() -> None:
    clock = ManualClock(wall=1000)
    clock.jump(86_400)
    clock.advance(50)
    assert clock.ago(100) == 950 and clock.ago(20) == 1000 + 86_400 + 30


def test_rfc3339_is_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_clock_time_is_short() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", clock_time(1_700_000_000))
