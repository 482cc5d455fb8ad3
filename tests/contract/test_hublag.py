"""The hub's lateness is seen when something blocks it."""

import gevent.monkey

from hermes_green.ops.hublag import HubLag
from tests.support.port import wait_for


def test_a_blocked_hub_shows_and_an_idle_one_does_not():
    samples = []
    lag = HubLag(samples.append, interval=0.01)
    lag.start()
    wait_for(lambda: sum(sample < 0.2 for sample in samples) >= 2, what="samples of an idle hub")
    before = len(samples)
    gevent.monkey.get_original("time", "sleep")(0.3)
    wait_for(lambda: len(samples) > before, what="the sample of the blocked one")
    lag.stop()
    assert lag.current_ms >= 200
    assert max(samples[before:]) >= 0.2
