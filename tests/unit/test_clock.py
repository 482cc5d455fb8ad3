"""Time comes in by the door, and is written as the contract says."""

from __future__ import annotations

import re
import time

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


def test_rfc3339_is_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_clock_time_is_short() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", clock_time(1_700_000_000))
