"""A store that somebody else holds for a while: nothing is lost, links stay up, everybody is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator

import gevent
import gevent.subprocess

from tests.support.scene import Scene, hermes
from tests.support.stage import PATIENCE, clean_env, until

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
"""


@contextmanager
def held(scene: Scene) -> Iterator[None]:
    """Another process has the database for itself; in WAL mode that keeps writers out."""
    path = scene.stage.home / "var" / "gateway.sqlite3"
    argv = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    process = gevent.subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=clean_env())
    try:
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.communicate(timeout=PATIENCE)


def test_a_locked_store_makes_intake_wait_and_nothing_else_and_all_are_answered_once_it_is_back(
    stage, long_run, seed, pulse
):
    pace = {"ping_interval": 1, "ping_timeout": 5}
    # A store that says it is away lives: the watchdog must not take the wait for it for a hang.
    scene = Scene(stage, files={"feishu": pace, "qq": pace}, gateway={"supervisor": {"stall_kill": 8}})
    for platform in scene.sims:
        scene.say(platform, "before", "before")
        scene.expect(platform, "before", ["before"], settle=0)
    asked = {platform: [f"{platform} {number}" for number in range(20 if long_run else 5)] for platform in scene.sims}
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        with held(scene):
            began = time.time()
            for platform, questions in asked.items():
                for number, text in enumerate(questions):
                    scene.say(platform, f"chat{number}", text)
            asking = gevent.spawn(told, scene)
            away = until(lambda: (h := scene.gateway.get("/healthz"))[1]["store"] != "ok" and h, what="healthz away")
            assert away[0] == 200 and away[1]["store"].startswith("away")
            lag = away[1]["hub_lag_ms"] / 1000
            assert lag < 1 + pulse.late(began - 5), "the hub does not wait in the database"
            asking.get(timeout=PATIENCE)  # while the other process still holds it
            gevent.sleep(max(0, began + (40 if long_run else 10) - time.time()))
            assert [scene.texts(platform) for platform in scene.sims] == [["before"], ["before"]]
        for platform, questions in asked.items():
            for number, text in enumerate(questions):
                scene.expect(platform, f"chat{number}", [text], settle=0)
        gevent.sleep(1)
        for platform, questions in asked.items():
            assert sorted(scene.texts(platform)) == sorted(["before", *questions])
        until(lambda: scene.gateway.get("/healthz")[1]["store"] == "ok")
    assert scene.gateway.status()["dead"] == 0
    scene.no_violations()


def told(scene: Scene) -> None:
    """Nobody who asks is left waiting for the store, or told that something was taken."""
    code, said = scene.gateway.post("/api/send", {"child": "feishu", "chat": "user:ou_a", "text": "no"})
    assert code == 503, said
    status = hermes(scene.stage, "status")
    assert status.code == 0, status


def test_a_gateway_told_to_stop_while_its_store_is_away_ends_in_time_and_the_next_one_answers(stage, seed, pulse):
    scene = Scene(stage, gateway={"supervisor": {"drain_seconds": 1}})
    with held(scene):
        for platform in scene.sims:
            scene.say(platform, "stop", f"still there, {platform}?")
        gevent.sleep(1)
        began = time.time()
        assert scene.gateway.kill(signal.SIGTERM) == 0
        took = time.time() - began
        print(f"gone {took:.1f} s after SIGTERM")
        assert took < 1 + 5 + pulse.late(began)
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    scene.sims["feishu"].fault("redeliver")
    for platform in scene.sims:
        scene.expect(platform, "stop", [f"still there, {platform}?"])
