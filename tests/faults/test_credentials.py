"""A bot whose credentials are wrong is halted at once, says what to mend, and bothers nobody else."""

from __future__ import annotations

from datetime import datetime

import gevent
import pytest

from tests.support.scene import Scene, hermes
from tests.support.stage import until

WRONG = "no-such-secret-at-all"
KEYS = {"feishu": ("app_secret", "feishu.yaml"), "qq": ("client_secret", "qq.yaml")}


@pytest.mark.parametrize("platform", ["feishu", "qq"])
def test_a_wrong_secret_halts_that_bot_within_ten_seconds_with_a_sentence_that_names_the_key(stage, seed, platform):
    key, file = KEYS[platform]
    # The command applies what is mended, and not the file's being saved a moment before.
    scene = Scene(stage, files={platform: {key: WRONG}}, gateway={"watch": False}, ready=False)
    seen = []

    def halted() -> bool:
        seen.append(scene.gateway.child(platform))
        return bool(seen[-1]["state"] == "HALTED")

    until(halted)
    took = wall(seen[-1]["since"]) - wall(scene.gateway.status()["started_at"])
    assert took < 10, f"{took:.1f} s"
    assert not any(status["connected"] or status["state"] == "READY" for status in seen)
    reason = seen[-1]["reason"]
    assert key in reason["action"] and file in reason["action"], reason
    sibling = scene.other(platform)
    scene.until_state(sibling, "READY")
    refused(scene, platform, key)
    with scene.undisturbed(sibling):
        scene.say(sibling, "fine", "you still work")
        scene.expect(sibling, "fine", ["you still work"])
        dials = len(scene.sims[platform].record("dial"))
        gevent.sleep(1)
        assert len(scene.sims[platform].record("dial")) == dials, "a halted bot dials no more"
        mended(scene, platform, key)
    assert WRONG not in scene.gateway.log.read_text()


def wall(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def refused(scene: Scene, platform: str, key: str) -> None:
    """What probes and the command line say of the halted bot."""
    code, said = scene.gateway.get("/readyz")
    assert code == 503
    assert [each["child"] for each in said["not_ready"]] == [platform]
    assert key in said["not_ready"][0]["action"]
    assert scene.gateway.get(f"/readyz?child={platform}")[0] == 503
    assert scene.gateway.get(f"/readyz?child={scene.other(platform)}")[0] == 200
    shown = hermes(scene.stage, "status")
    assert shown.code == 1 and key in shown.out
    assert hermes(scene.stage, "status", "--wait", "READY", "--timeout", "0.5").code == 1


def mended(scene: Scene, platform: str, key: str) -> None:
    """The way out: the right secret and a reload."""
    scene.change(platform, **{key: right(platform)})
    done = hermes(scene.stage, "reload")
    assert done.code == 0 and platform in done.out
    scene.gateway.until_ready()
    scene.say(platform, "again", "and you")
    scene.expect(platform, "again", ["and you"], settle=0.3)


def right(platform: str) -> str:
    return {"feishu": "sim-feishu-secret", "qq": "sim-client-secret"}[platform]


def test_a_credential_that_worked_before_is_tried_again_by_itself_and_the_status_says_when(stage, seed):
    scene = Scene(stage, platforms=("feishu",))
    scene.sims["feishu"].fault("refuse", status=514)
    scene.sims["feishu"].fault("rst")
    halted = scene.until_state("feishu", "HALTED")
    assert "next try at" in halted["reason"]["action"]
    assert "app_secret" in halted["reason"]["action"]
    scene.sims["feishu"].clear()
    done = hermes(stage, "adapters", "restart", "feishu")
    assert done.code == 0, done
    until(lambda: scene.state("feishu") == "READY")
