"""Servers that close whatever is opened: dials follow the back-off, and neither CPU nor log runs away."""

from __future__ import annotations

import random
import time

import gevent
import psutil

from tests.support.scene import Scene
from tests.support.six import PLATFORMS, six

# Full jitter below 1, 2, 4, ... 60 s: more dials than an unlucky draw makes in the short storm.
MOST = 14
STALL = 4.0  # seconds of a hub that stands still of which the log tells: less than the outage, more than the machine


def storm(scene: Scene, seconds: float) -> None:
    """Close each link as soon as it is there."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for sim in scene.sims.values():
            if sim.state()["links"]:
                sim.fault("close", code=1000, reason="storm")
        gevent.sleep(0.05)


def test_a_storm_of_closes_is_met_with_back_off_little_cpu_and_few_lines(stage, long_run, seed) -> None:
    # The shipped back-off, and the shipped budget where that is the narrower of the two.
    scene = six(stage, gateway={"supervisor": {}}, files={"dingtalk": {"dial_budget": None}})
    process = psutil.Process(scene.gateway.pid)
    gevent.sleep(0.5)
    dials = {name: len(sim.record("dial")) for name, sim in scene.sims.items()}
    lines = len(scene.gateway.log.read_text().splitlines())
    cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
    seconds = 60 if long_run else 5
    storm(scene, seconds)
    took = time.monotonic() - began
    share = (sum(process.cpu_times()[:2]) - cpu) / took
    written = len(scene.gateway.log.read_text().splitlines()) - lines
    made = {name: len(sim.record("dial")) - dials[name] for name, sim in scene.sims.items()}
    print(f"in {took:.0f} s: dials {made}, {share:.1%} of a core, {written} lines of log")
    most = MOST * (2 if long_run else 1)
    assert max(made.values()) <= most, made
    assert len(scene.sims["dingtalk"].record("dial")) <= 4, "in 120 s"
    assert share < 0.25
    assert written <= 6 * sum(made.values()) + 20
    assert all(child["restarts"] == 0 for child in scene.gateway.status()["children"])


def test_an_outage_of_twenty_back_off_ceilings_restarts_nothing_and_ends_ready(stage, long_run, seed) -> None:
    ceiling = 3.0 if long_run else 0.3
    quick = {"backoff_min": ceiling / 10, "backoff_max": ceiling, "healthy_after": 1, "escalate_after": 30}
    quick["stall_warn"] = STALL
    scene = six(stage, gateway={"supervisor": quick, "log": {"format": "json"}})
    draw = random.Random(seed)
    for name in PLATFORMS:
        scene.sims[name].fault("refuse", **({"status": 503} if draw.random() < 0.5 else {"status": "tcp"}))
        scene.sims[name].fault("rst")
    gevent.sleep(20 * ceiling)
    down = {child["id"]: child["state"] for child in scene.gateway.status()["children"] if child["id"] != "web"}
    assert set(down.values()) <= {"WAITING", "STARTING"}, down
    for sim in scene.sims.values():
        sim.clear()
    scene.gateway.until_ready()
    assert scene.gateway.popen.poll() is None
    log = scene.gateway.log.read_text()
    assert "has been blocked for" not in log and "does not turn" not in log, scene.gateway.tail()
    assert "asking for a restart" not in log
    if long_run:
        (told,) = [line["message"] for line in scene.log() if "lost their links within" in line["message"]]
        assert all(name in told for name in PLATFORMS) and "the hub was at most" in told, "one event"
    for name in PLATFORMS:
        scene.say(name, "after", "after")
    for name in PLATFORMS:
        scene.expect(name, "after", ["after"], settle=0)
    assert all(child["restarts"] == 0 for child in scene.gateway.status()["children"])
