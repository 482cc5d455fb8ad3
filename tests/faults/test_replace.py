"""``run --replace`` on all six platforms, under load, and where the old process cannot do as it is asked."""

from __future__ import annotations

import os
import signal
import time

import gevent
import pytest

from tests.faults.test_kills import Deaths, judge, staged
from tests.support.load import Load, beside
from tests.support.scene import QUICK
from tests.support.six import six
from tests.support.stage import PATIENCE, until

DRAIN = 2.0


def test_replace_under_load_loses_and_doubles_nothing_on_any_platform(stage, long_run, seed) -> None:
    scene = staged(stage, supervisor={"drain_seconds": 5, **QUICK})
    times = 10 if long_run else 2
    load = Load(list(scene.sims.values()), chats=48, messages=24 * times, rate=8, seed=seed)

    def replace() -> None:
        for _ in range(times):
            gevent.sleep(1.5)
            old, scene.gateway = scene.gateway, stage.gateway("--replace")
            assert old.popen.wait(timeout=PATIENCE) == 0, "the old one drained and left by itself"
            scene.gateway.until_ready()

    beside(load.drive, replace)
    judge(scene, load, times, Deaths())


@pytest.mark.parametrize("how", ["stopped", pytest.param("hung", marks=pytest.mark.long)])
def test_an_owner_that_is_stopped_drains_once_it_goes_on_and_one_that_hangs_is_killed(
    stage, seed, pulse, how
) -> None:
    model = stage.model()
    model.behave(hold=True)
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    if how == "hung":
        agent = {"type": "python", "target": "tests.support.doomed:answer", "isolation": "greenlet"}
    supervisor = {"drain_seconds": DRAIN, "stall_kill": 0, **QUICK}
    scene = six(stage, gateway={"agent": agent, "supervisor": supervisor}, platforms=("feishu", "qq"))
    scene.say("qq", "turn", "wait 600 turn")
    until(lambda: scene.gateway.status()["turns"] == 1 and (how == "hung" or model.record()), what="a turn")
    old = scene.gateway
    if how == "stopped":
        os.kill(old.pid, signal.SIGSTOP)
        model.release()  # what it waits for is there once it goes on
    else:
        scene.say("feishu", "hang", "loop 3600")
        gevent.sleep(0.5)
    began = time.time()
    scene.gateway = stage.gateway("--replace")
    took = time.time() - began - pulse.late(began)
    code = old.popen.wait(timeout=PATIENCE)
    print(f"{how}: taken over after {took:.1f} s, the old one ended with {code}")
    assert code == (0 if how == "stopped" else -signal.SIGKILL)
    assert took < (DRAIN + 5 if how == "stopped" else DRAIN + 20)
    scene.gateway.until_ready()
    scene.expect("qq", "turn", ["echo: wait 600 turn"])
    if how == "hung":
        scene.expect("feishu", "hang", ["echo: loop 3600"])
    for sim in scene.sims.values():
        until(lambda sim=sim: len(sim.state()["links"]) == 1, what="one link for each bot")
