"""A crowd passes one by one, and timers run in between."""

import time

import gevent

from hermes_green.runtime.turnstile import Turnstile


def test_a_timer_runs_between_two_of_a_crowd_however_slow_they_are():
    turnstile, passed, seen = Turnstile(), [], []

    def work(number):
        turnstile.enter()
        passed.append(number)
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass

    timer = gevent.get_hub().loop.timer(1e-9)

    def look():
        seen.append(len(passed))
        timer.start(look)

    timer.start(look)
    gevent.joinall([gevent.spawn(work, number) for number in range(20)], timeout=10)
    timer.stop()
    assert passed == list(range(20)), "in order of arrival"
    between = [later - earlier for earlier, later in zip([0, *seen], seen)]
    assert max(between) == 1, "the timer waits for one of them at a time"


def test_who_comes_alone_does_not_wait():
    turnstile = Turnstile()
    for _ in range(2):
        rounds = []
        gevent.spawn(rounds.append, 1)
        turnstile.enter()
        assert not rounds, "nobody else has run meanwhile"
        gevent.sleep(0.01)
