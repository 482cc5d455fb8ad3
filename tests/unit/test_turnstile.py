"""A crowd passes one by one, and timers run in between."""

import gevent

from hermes_green.core.clock import ManualClock
from hermes_green.runtime.turnstile import Turnstile


def test_a_timer_runs_between_two_of_a_crowd():
    """The clock stands still: all come at once, however slow the machine is."""
    turnstile, passed, seen = Turnstile(ManualClock()), [], []

    def work(number):
        turnstile.enter()
        passed.append(number)

    timer = gevent.get_hub().loop.timer(1e-9)
    timer.start(lambda: seen.append(len(passed)))
    gevent.joinall([gevent.spawn(work, number) for number in range(40)], timeout=10)
    timer.stop()
    assert passed == list(range(40)), "in order of arrival"
    assert seen and seen[0] < 40, "the timer did not wait for all of them"


def test_who_comes_alone_does_not_wait():
    clock = ManualClock()
    turnstile = Turnstile(clock)
    turnstile.enter()
    clock.advance(1)
    rounds = []
    gevent.spawn(rounds.append, 1)
    turnstile.enter()
    assert not rounds, "nobody else has run meanwhile"
