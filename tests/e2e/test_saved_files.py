"""Saving a file of the configuration applies it: to what it is about, and to nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gevent

from hermes_green.ops.watch import SETTLED
from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import Stage, until

BROKEN = "enabled: true\napp_id: '1'\nclient_secret: x\nping_intervall: 3\n"


def told(scene: Scene) -> Any:
    return scene.gateway.status()["config"]


def log_of(scene: Scene) -> str:
    return scene.gateway.log.read_text()


def test_a_saved_file_touches_what_it_is_about_and_a_broken_one_nothing(stage: Stage) -> None:
    scene = Scene(stage, gateway={"supervisor": QUICK})
    only_its_own_child(scene)
    access_restarts_nobody(scene)
    half_written(scene)
    broken(scene)
    scene.no_violations()


def only_its_own_child(scene: Scene) -> None:
    links = scene.sims["feishu"].state()["links"]
    with scene.undisturbed("qq"):
        scene.change("feishu", ping_interval=2)
        until(lambda: scene.sims["feishu"].state()["links"] not in (links, []), what="a new link")
        scene.until_state("feishu", "READY")
        assert scene.gateway.child("feishu")["restarts"] == 1
        assert scene.gateway.child("qq")["restarts"] == 0


def access_restarts_nobody(scene: Scene) -> None:
    before = told(scene)["at"]
    with scene.undisturbed("qq"), scene.undisturbed("feishu"):
        scene.change("feishu", access={"dm": "closed"})
        until(lambda: told(scene)["at"] != before, what="the file is read")
        scene.say("feishu", "live", "kept out")
        scene.say("qq", "live", "let in")
        scene.expect("qq", "live", ["let in"], settle=0.5)
        assert scene.texts("feishu", "live") == []
    scene.change("feishu", access={})


def half_written(scene: Scene) -> None:
    with scene.undisturbed("qq"):
        for _ in range(20):
            before = len(log_of(scene))
            longest = write_slowly(scene.stage.conf / "feishu.yaml")
            gevent.sleep(1.5)
            if longest < SETTLED:
                break  # else it was at rest for so long that whoever looked then may have taken it for whole
        else:
            raise AssertionError(f"this machine does not write twice within {SETTLED} s")
    assert "was not reloaded" not in log_of(scene)[before:]
    assert told(scene)["ok"]


def write_slowly(path: Path) -> float:
    """Write a file anew, piece by piece; the longest time in seconds for which it was at rest."""
    text = path.read_text()
    longest, last = 0.0, time.monotonic()
    with path.open("w") as file:
        for start in range(0, len(text), 12):
            file.write(text[start : start + 12])
            file.flush()
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            gevent.sleep(0.2)
    return max(longest, time.monotonic() - last - 0.2)


def broken(scene: Scene) -> None:
    right = scene.files["qq"]
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        (scene.stage.conf / "qq.yaml").write_text(BROKEN)
        until(lambda: not told(scene)["ok"], what="the mistake is told of")
        assert "qq.yaml:4:1" in str(told(scene)["errors"]) and "ping_interval" in str(told(scene)["errors"])
        assert "qq.yaml:4:1" in log_of(scene)
        status = hermes(scene.stage, "status")
        assert status.code == 0 and "qq.yaml:4:1" in status.out and "was not applied" in status.out
        scene.write("qq", right)
        until(lambda: told(scene)["ok"], what="it is mended")
        assert "was not applied" not in hermes(scene.stage, "status").out


def test_files_are_left_alone_where_that_is_wanted(stage: Stage) -> None:
    scene = Scene(stage, platforms=(), gateway={"watch": False})
    at = told(scene)["at"]
    scene.change("gateway", locale="zh")
    gevent.sleep(2.5)
    assert told(scene)["at"] == at
    scene.change("gateway", watch=True)
    assert hermes(stage, "reload").code == 0
    scene.change("gateway", locale="en")
    until(lambda: "reloaded: locale\n" in log_of(scene), what="now it is applied")
    scene.change("gateway", watch=False)
    until(lambda: "reloaded: watch\n" in log_of(scene), what="the last one")
    at = told(scene)["at"]
    scene.change("gateway", locale="zh")
    gevent.sleep(2.5)
    assert told(scene)["at"] == at


def test_a_change_that_only_a_restart_applies_is_told_until_then(stage: Stage) -> None:
    scene = Scene(stage, platforms=())
    scene.change("gateway", http={"port": 1})
    until(lambda: told(scene)["restart_required"] == ["http.port"])
    assert told(scene)["ok"]
