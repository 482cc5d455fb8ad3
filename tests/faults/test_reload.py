"""A changed configuration changes what it is about, and nothing else; a broken one changes nothing."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any, Callable

import gevent
import gevent.event
import pytest

from tests.support.load import Load, beside
from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import credentials, until


def by_post(scene: Scene) -> tuple[bool, Any]:
    code, said = scene.gateway.post("/api/reload")
    return code == 200, said


def by_command(scene: Scene) -> tuple[bool, Any]:
    done = hermes(scene.stage, "reload", "--json")
    assert done.code in (0, 78), done
    return done.code == 0, done.json()


def by_signal(scene: Scene) -> tuple[bool, Any]:
    """The answer stands in the log only."""
    before = scene.gateway.log.stat().st_size
    os.kill(scene.gateway.pid, signal.SIGHUP)

    def said() -> str:
        return scene.gateway.log.read_bytes()[before:].decode()

    until(lambda: "reloaded" in said(), what="the log tells of the reload")
    return "was not reloaded" not in said(), {"log": said()}


WAYS = {"post": by_post, "command": by_command, "signal": by_signal}


@pytest.mark.parametrize("way", WAYS)
def test_each_kind_of_change_touches_exactly_what_it_is_about(stage, seed, way):
    scene = Scene(stage, gateway={"supervisor": QUICK, "watch": False})
    reload = WAYS[way]
    only_its_own_child(scene, reload)
    live_keys(scene, reload)
    disable_and_enable(scene, reload)
    broken(scene, reload)
    only_a_restart(scene, reload)
    scene.no_violations()


def applied(answer: tuple[bool, Any]) -> Any:
    assert answer[0], answer[1]
    return answer[1]


def only_its_own_child(scene: Scene, reload: Callable[[Scene], tuple[bool, Any]]) -> None:
    before = scene.gateway.child("feishu")
    links = scene.sims["feishu"].state()["links"]
    with scene.undisturbed("qq"):
        scene.change("feishu", ping_interval=2)
        said = applied(reload(scene))
        assert said.get("changed", ["feishu"]) == ["feishu"]
        until(lambda: scene.sims["feishu"].state()["links"] not in (links, []), what="another link")
        after = scene.until_state("feishu", "READY")
        assert after["restarts"] == before["restarts"] + 1
        close = scene.sims["feishu"].record("close")[-1]
        assert close["how"] == "client" and close["code"] == 1000


def live_keys(scene: Scene, reload: Callable[[Scene], tuple[bool, Any]]) -> None:
    scene.say("feishu", "live", "let in")
    scene.expect("feishu", "live", ["let in"], settle=0)
    with scene.undisturbed("qq"), scene.undisturbed("feishu"):
        scene.change("feishu", access={"dm": "closed"}, dial_budget=[[50, 60]])
        applied(reload(scene))
        scene.say("feishu", "live", "kept out")
        scene.say("qq", "live", "let in")
        scene.expect("qq", "live", ["let in"], settle=0.5)
        assert scene.texts("feishu", "live") == ["let in"]
        scene.change("feishu", access={})
        applied(reload(scene))
        scene.say("feishu", "live", "let in again")
        scene.expect("feishu", "live", ["let in", "let in again"], settle=0)


def disable_and_enable(scene: Scene, reload: Callable[[Scene], tuple[bool, Any]]) -> None:
    with scene.undisturbed("feishu"):
        scene.change("qq", enabled=False)
        applied(reload(scene))
        assert [child["id"] for child in scene.gateway.status()["children"]] == ["feishu", "web"]
        until(lambda: not scene.sims["qq"].state()["links"], what="the link to end")
        close = scene.sims["qq"].record("close")[-1]
        assert close["how"] == "client" and close["code"] is not None
        dials = len(scene.sims["qq"].record("dial"))
        gevent.sleep(1.2)
        assert len(scene.sims["qq"].record("dial")) == dials
        assert scene.gateway.get("/readyz")[0] == 200
        scene.change("qq", enabled=True)
        applied(reload(scene))
        scene.until_state("qq", "READY")
        scene.say("qq", "back", "and back")
        scene.expect("qq", "back", ["and back"], settle=0)


def broken(scene: Scene, reload: Callable[[Scene], tuple[bool, Any]]) -> None:
    right = scene.files["qq"]
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        (scene.stage.conf / "qq.yaml").write_text("enabled: true\napp_id: '1'\nclient_secret: x\nping_intervall: 3\n")
        done, said = reload(scene)
        assert not done
        text = str(said)
        assert "qq.yaml:4:1" in text and "ping_interval" in text, text
        scene.write("qq", right)
        nothing_changed(reload(scene))


def nothing_changed(answer: tuple[bool, Any]) -> None:
    said = applied(answer)
    assert said.get("changed", []) == [] and ("log" not in said or "nothing has changed" in said["log"])


def only_a_restart(scene: Scene, reload: Callable[[Scene], tuple[bool, Any]]) -> None:
    home: Path = scene.stage.home
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        log = {"file": str(home / "other.log"), "format": "json", "level": "DEBUG"}
        scene.change("gateway", http={"port": 1}, log=log)
        wanted = ["http.port", "log.file", "log.format"]
        if reload is not by_command:  # which looks for the gateway where the file says that its data is
            scene.change("gateway", data_dir=str(home / "elsewhere"))
            wanted.insert(0, "data_dir")
        for changed in (["log"], []):  # a second time, nothing changes and it is still said
            said = applied(reload(scene))
            assert said.get("changed", changed) == changed
            assert sorted(said.get("restart_required", wanted)) == wanted
            assert all(key in str(said) for key in wanted)
        assert not (home / "elsewhere").exists() and not (home / "other.log").exists()


def test_reloads_that_restart_a_child_in_the_middle_of_its_work_lose_and_double_nothing(stage, long_run, seed):
    scene = Scene(stage, gateway={"supervisor": QUICK})
    count, rate = (400, 20) if long_run else (100, 20)
    load = Load(list(scene.sims.values()), chats=20, messages=count, rate=rate, seed=seed)
    draw = random.Random(seed)
    done = gevent.event.Event()

    def write() -> None:
        load.drive()
        done.set()

    def change() -> None:
        number = 0
        while not done.wait(draw.uniform(0.3, 0.9)):
            number += 1
            for platform in draw.sample(["feishu", "qq"], draw.choice([1, 2])):
                scene.change(platform, ping_interval=10 + number)
            assert by_post(scene)[0]
        print(f"reloads: {number}")

    beside(write, change)
    load.until_answered()
    gevent.sleep(1)
    assert load.judge() == ""
    assert scene.gateway.status()["dead"] == 0
    scene.no_violations()


def test_a_platform_added_to_a_running_gateway_comes_up_and_a_bot_owned_elsewhere_halts_alone(stage, seed, tmp_path):
    scene = Scene(stage, platforms=("feishu",), gateway={"watch": False})
    sim = stage.sim("qq", "--heartbeat-interval", "5")
    scene.sims["qq"] = sim
    owner = type(stage)(tmp_path / "owner")
    owner.state = stage.state
    owner.write("qq", credentials(sim))
    other = owner.gateway()
    try:
        other.until_ready()
        with scene.undisturbed("feishu"), scene.undisturbed_links(sim):
            scene.write("qq", credentials(sim))
            said = applied(by_command(scene))
            assert f"process {other.pid}" in str(said["errors"])
            halted = scene.until_state("qq", "HALTED")
            assert f"process {other.pid}" in halted["reason"]["text"]
        other.kill(signal.SIGTERM)
        assert hermes(stage, "adapters", "restart", "qq").code == 0
        scene.until_state("qq", "READY")
    finally:
        owner.close()
