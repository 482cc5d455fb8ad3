"""Links that look alive and are not: noticed by their unanswered beat, and replaced, one at a time."""

from __future__ import annotations

import random

import gevent
import pytest

from tests.support.pulse import Pulse
from tests.support.scene import QUICK, Scene
from tests.support.stage import until

DEBUG = {"level": "DEBUG", "format": "json"}


def first_unanswered(scene: Scene, platform: str, since: float) -> tuple[float, float]:
    """When the first beat left that nothing answered, and when the link was declared lost, by our own log."""
    lines = scene.log(since, child=platform)
    lost = next(line["t"] for line in lines if line["message"].startswith("READY -> WAITING: heartbeat"))
    beats = [line for line in scene.log(0, child=platform) if line["t"] <= lost]
    asked = 0.0
    for line in beats:
        if line["message"] == "heartbeat answered":
            asked = 0.0
        elif line["message"] == "heartbeat sent" and not asked:
            asked = line["t"]
    return asked, lost


@pytest.mark.parametrize("fault", ["half_open", "mute_acks", "stop_reading"])
def test_a_dead_link_is_declared_lost_in_time_and_replaced_while_its_sibling_never_notices(
    stage, long_run, seed, fault, pulse
):
    # A peer that stops reading takes our small beats into its socket's buffer: it is the beat without
    # an answer that shows it, as with the others. (A write that blocks: tests/contract/test_websocket.)
    pace = {"ping_interval": 1, "ping_timeout": 1}
    scene = Scene(stage, gateway={"supervisor": QUICK, "log": DEBUG}, files={"feishu": pace, "qq": pace})
    draw = random.Random(f"{seed} {fault}")
    rounds = 6 if long_run else 1
    for number in range(rounds):
        for platform in ("feishu", "qq"):
            gevent.sleep(draw.uniform(0.1, 1.1))
            asleep(scene, pulse, platform, fault, f"chat{number}x")
    gevent.sleep(1)
    for platform in scene.sims:
        assert scene.texts(platform) == [f"during {fault}"] * rounds
    scene.no_violations()


def asleep(scene: Scene, pulse: Pulse, platform: str, fault: str, chat: str) -> None:
    """One round: the fault, the loss, the replacement, and a message that was written in the middle."""
    sim = scene.sims[platform]
    before = scene.gateway.child(platform)
    missed = scene.metric("heartbeats_total", child=platform, outcome="missed")
    links = sim.state()["links"]
    with scene.undisturbed(scene.other(platform)):
        at = sim.fault_at(fault)
        scene.say(platform, chat, f"during {fault}")
        lost = until(lambda: (now := scene.gateway.child(platform))["losses"] > before["losses"] and now)
        assert lost["state"] == "READY" or not lost["connected"]  # it may be back by now
        asked, declared = first_unanswered(scene, platform, at)
        print(f"{platform} {fault}: lost {declared - asked:.2f} s after its first unanswered beat")
        assert asked and declared - asked <= 1 + 1 + pulse.late(asked, declared)
        assert declared - at <= 1 + 1 + 1 + pulse.late(at, declared), "interval, timeout and a second of grace"
        assert scene.metric("heartbeats_total", child=platform, outcome="missed") == missed + 1
        sim.clear()
        again = scene.until_state(platform, "READY")
        assert again["connected"] and again["losses"] == before["losses"] + 1
        until(lambda: sim.state()["links"] and not set(links) & set(sim.state()["links"]), what="the old link is gone")
        scene.expect(platform, chat, [f"during {fault}"], settle=0)


def test_platforms_that_go_deaf_again_and_again_end_in_ready_and_never_in_failed(stage, long_run, seed):
    pace = {"ping_interval": 1, "ping_timeout": 1}
    quick = {"supervisor": {**QUICK, "crashes": 2}}
    scene = Scene(stage, gateway=quick, files={"feishu": pace, "qq": pace})
    for number in range(8 if long_run else 2):
        losses = {name: scene.gateway.child(name)["losses"] for name in scene.sims}
        for sim in scene.sims.values():
            sim.fault("half_open" if number % 2 else "rst")
        until(lambda: all(scene.gateway.child(name)["losses"] > losses[name] for name in losses))
        for sim in scene.sims.values():
            sim.clear()
        scene.gateway.until_ready()
    assert [scene.gateway.child(name)["restarts"] for name in scene.sims] == [0, 0]
