"""Starts: all bots are dialled side by side, so that one whose platform is silent delays nobody; and no storms."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time

import gevent.subprocess
import pytest

from tests.support.scene import QUICK, Scene
from tests.support.six import PLATFORMS, six
from tests.support.stage import ROOT, clean_env, until


def moved(scene: Scene, since: float, child: str, how: str) -> float:
    """When a child changed its state so for the first time, by the gateway's log; infinity: it did not."""
    lines = scene.log(since, child=child)
    return min((float(line["t"]) for line in lines if line["message"].startswith(how)), default=math.inf)


@pytest.mark.parametrize("silent", ["feishu", "dingtalk"])
def test_a_platform_that_does_not_answer_at_the_start_delays_no_other_and_no_answer(stage, seed, silent) -> None:
    scene = six(stage, gateway={"supervisor": QUICK, "log": {"format": "json"}})
    assert scene.gateway.kill(signal.SIGTERM) == 0
    scene.sims[silent].fault("hang")
    began = time.time()
    scene.gateway = stage.gateway()
    others = [name for name in PLATFORMS if name != silent]
    until(lambda: all(scene.state(name) == "READY" for name in others), what="all others READY")
    ready = max(moved(scene, began, name, "STARTING -> READY") for name in others)
    print(f"five platforms were READY {ready - began:.2f} s after the start; {silent} was {scene.state(silent)}")
    assert ready < moved(scene, began, silent, "STARTING -> WAITING"), "its first step alone has ten seconds"
    code, said = scene.gateway.get("/readyz")
    assert code == 503 and [each["child"] for each in said["not_ready"]] == [silent]
    for name in others:
        scene.say(name, "hello", "hello")
        scene.expect(name, "hello", ["hello"], settle=0)
    scene.sims[silent].clear()
    scene.gateway.until_ready()


def test_a_bug_that_ends_each_start_makes_no_storm_of_starts(stage, seed) -> None:
    """Managers such as the shipped supervisord begin again at once: the pause is ours."""
    stage.write("gateway", {"http": {"port": 0}})
    argv = [sys.executable, "-m", "tests.support.faulty", "run", "--conf", str(stage.conf)]
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state), "HERMES_GREEN_BUG": "1"}
    began = time.monotonic()
    done = gevent.subprocess.run(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert time.monotonic() - began > 5 and done.returncode == 1
    assert b"a bug of the start" in done.stderr.splitlines()[0] and b"Traceback" in done.stderr, done.stderr
