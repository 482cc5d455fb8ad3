"""A disk that is full for longer than a hub may hang: nothing is taken in, nothing restarted, all is well after it."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator

import gevent
import gevent.subprocess
import pytest

from tests.support.scene import QUICK, Scene
from tests.support.six import PLATFORMS, six
from tests.support.stage import PATIENCE, ROOT, clean_env, until

STALL_KILL = 4.0  # more than a busy machine stands still


@contextmanager
def full(scene: Scene, what: str) -> Iterator[None]:
    """No file of the gateway grows, its log included; or only the database does not, so that the log can tell."""
    if what == "database":
        control = scene.stage.home / "control"
        control.write_text("full")
        yield
        control.write_text("0")
        return
    soft, hard = resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE, (1, hard))
    yield
    resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("what", [pytest.param("disk", marks=pytest.mark.long), "database"])
def test_what_is_full_refuses_intake_restarts_nothing_and_ends_ready_with_all_answered(
    stage, long_run, seed, what
) -> None:
    stage.program = "tests.support.faulty"
    stage.env = {"HERMES_GREEN_FAULTY": str(stage.home / "control")}
    scene = six(stage, gateway={"supervisor": {**QUICK, "stall_kill": STALL_KILL, "stall_warn": 3.5}})
    gateway = scene.gateway
    dials = {name: len(sim.record("dial")) for name, sim in scene.sims.items()}
    with full(scene, what):
        began = time.monotonic()
        for name in PLATFORMS:
            scene.say(name, "full", "full")
        until(lambda: gateway.get("/healthz")[1]["store"].startswith("away"), what="a store that is away")
        assert gateway.post("/api/send", {"child": "feishu", "chat": "user:ou_a", "text": "no"})[0] == 503
        for sim in scene.sims.values():
            sim.fault("rst")
        waits = set()
        while waits < set(PLATFORMS) or time.monotonic() - began < (10 if long_run else 2) * STALL_KILL:
            children = {child["id"]: child for child in gateway.status()["children"]}
            waits |= {name for name in PLATFORMS if children[name]["reason"]["code"] == "store_away"}
            assert time.monotonic() - began < 120, f"only {waits} say what they wait for"
            gevent.sleep(0.1)
        assert not any(scene.texts(name, "full") for name in PLATFORMS), "nothing was taken in"
        assert dials == {name: len(sim.record("dial")) for name, sim in scene.sims.items()}, "to take in what?"
    gateway.until_ready()
    for name in PLATFORMS:
        scene.expect(name, "full", ["full"], settle=0)
        scene.say(name, "after", "after")
        scene.expect(name, "after", ["after"], settle=0)
    until(lambda: gateway.get("/healthz")[1]["store"] == "ok", what="a store that is back")
    log = gateway.log.read_text()
    assert gateway.popen.poll() is None and "Timeout (" not in log, gateway.tail()
    assert "has been blocked for" not in log and "does not turn" not in log and "asking for a restart" not in log
    status = gateway.status()
    assert all(child["restarts"] == 0 for child in status["children"]) and status["dead"] == 0


def test_a_start_on_a_full_disk_says_so_and_is_tried_again_and_not_in_a_storm(stage, long_run, seed) -> None:
    stage.write("gateway", {"http": {"port": 0}})
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    # ulimit -f: no file may grow, as if there were no room.
    words = f"ulimit -f 0; exec {sys.executable} -m hermes_green run --conf {stage.conf}"

    def started() -> Any:
        pipe = subprocess.PIPE
        return gevent.subprocess.Popen(["bash", "-c", words], env=env, cwd=ROOT, stdout=pipe, stderr=pipe)

    for known in (False, True) if long_run else (False,):
        began = time.monotonic()
        process = started()
        out, err = process.communicate(timeout=2 * PATIENCE)
        print(err.decode(), end="")
        assert process.returncode == 75 and out == b"", err
        assert b"Traceback" not in err and b"free" in err.lower() and len(err.splitlines()) <= 2, err
        assert time.monotonic() - began > 4, "a manager that starts it again at once has a pause all the same"
        if not known:
            gateway = stage.gateway()
            assert gateway.kill(signal.SIGTERM) == 0
    process = started()
    until((stage.home / "var" / "gateway.lock").exists)
    gevent.sleep(2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 0, "and who is told to stop meanwhile stops"
    gateway = stage.gateway()
    assert gateway.get("/healthz")[1]["store"] == "ok"
