"""Losses of several children within 15 s are told as one, with the hub's lag of that time."""

from hermes_green.core.clock import ManualClock
from hermes_green.runtime.outage import TOGETHER, Outage


def stage(lags=None):
    clock, told = ManualClock(), []
    lag = iter(lags or [])
    outage = Outage(clock.monotonic, lambda: next(lag, 1.0), lambda children, worst: told.append((children, worst)))
    return clock, outage, told


def test_one_child_that_flaps_is_its_own_affair():
    clock, outage, told = stage()
    for _ in range(5):
        outage.lost("a")
        clock.advance(1)
    assert told == []


def test_two_children_within_the_window_are_one_event_told_once_with_the_worst_lag():
    clock, outage, told = stage([2.0, 350.0, 4.0])
    outage.lost("a")
    clock.advance(TOGETHER - 1)
    outage.lost("b")
    outage.lost("a")
    assert told == [(["a", "b"], 350.0)]


def test_a_third_child_widens_the_event_and_the_next_outage_is_told_anew():
    clock, outage, told = stage()
    for name in ("a", "b", "c"):
        outage.lost(name)
    clock.advance(TOGETHER + 1)
    outage.lost("a")
    outage.lost("b")
    assert [children for children, _ in told] == [["a", "b"], ["a", "b", "c"], ["a", "b"]]


def test_losses_far_apart_have_nothing_to_do_with_each_other():
    clock, outage, told = stage()
    outage.lost("a")
    clock.advance(TOGETHER + 1)
    outage.lost("b")
    assert told == []
