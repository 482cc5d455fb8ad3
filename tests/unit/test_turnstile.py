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
    timer.start(lambda: seen.append(len(passed)))
    gevent.joinall([gevent.spawn(work, number) for number in range(20)], timeout=10)
    timer.stop()
    assert passed == list(range(20)), "in order of arrival"
    assert seen and seen[0] < 3, "the timer did not wait for all of them"


def test_who_comes_alone_does_not_wait():
    turnstile = Turnstile()
    turnstile.enter()
    gevent.sleep(0.01)
    rounds = []
    gevent.spawn(rounds.append, 1)
    turnstile.enter()
    assert not rounds, "nobody else has run meanwhile"
