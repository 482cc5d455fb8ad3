"""All bots are dialled side by side at the start: one whose platform does not answer delays nobody."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.scene import QUICK
from tests.support.six import PLATFORMS, six
from tests.support.stage import until


@pytest.mark.parametrize("silent", ["feishu", "dingtalk"])
def test_a_platform_that_does_not_answer_at_the_start_delays_no_other_and_no_answer(stage, seed, silent) -> None:
    scene = six(stage, gateway={"supervisor": QUICK})
    assert scene.gateway.kill(signal.SIGTERM) == 0
    scene.sims[silent].fault("hang")
    began = time.monotonic()
    scene.gateway = stage.gateway()
    others = [name for name in PLATFORMS if name != silent]
    until(lambda: all(scene.state(name) == "READY" for name in others), what="all others READY")
    took = time.monotonic() - began
    print(f"five platforms were READY {took:.2f} s after the start; {silent} was {scene.state(silent)}")
    assert scene.state(silent) == "STARTING" and took < 9, "its first step alone has ten seconds"
    code, said = scene.gateway.get("/readyz")
    assert code == 503 and [each["child"] for each in said["not_ready"]] == [silent]
    for name in others:
        scene.say(name, "hello", "hello")
        scene.expect(name, "hello", ["hello"], settle=0)
    scene.sims[silent].clear()
    scene.gateway.until_ready()
