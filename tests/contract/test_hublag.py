"""The hub's lateness is seen when something blocks it."""

import gevent
import gevent.monkey

from hermes_green.ops.hublag import HubLag


def test_a_blocked_hub_shows_and_an_idle_one_does_not():
    samples = []
    lag = HubLag(samples.append, interval=0.01)
    lag.start()
    gevent.sleep(0.1)
    gevent.monkey.get_original("time", "sleep")(0.3)
    gevent.sleep(0.05)
    lag.stop()
    assert lag.current_ms >= 200
    assert max(samples) >= 0.2
    assert sum(sample < 0.2 for sample in samples) >= 2


def test_what_is_long_ago_counts_for_who_looks_back_so_far():
    lag = HubLag(interval=0.01)
    lag.start()
    gevent.sleep(0.02)
    gevent.monkey.get_original("time", "sleep")(0.3)
    gevent.sleep(0.2)
    lag.stop()
    assert lag.worst_ms(10) >= 200 > lag.worst_ms(0.05)
