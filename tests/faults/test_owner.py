"""One owner of a data directory and of a bot; and how its process ends, whenever it is told to."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import gevent
import gevent.subprocess
import pytest

from tests.support.load import Load, beside
from tests.support.scene import Scene, hermes, hermes_once
from tests.support.six import OFTEN
from tests.support.stage import PATIENCE, ROOT, Gateway, Stage, clean_env, until

# Where a process would wait for as long as another one lives, or drains for as long as a turn takes.
SOON = 30.0
IMPATIENT = {"supervisor": {"lock_wait": 1, "drain_seconds": 5}}


def second_home(scene: Scene, tmp_path: Path) -> Stage:
    """Another configuration and data directory with the same bots, and the same state directory."""
    other = Stage(tmp_path / "second")
    other.state = scene.stage.state
    for name, values in scene.files.items():
        other.write(name, values)
    return other


def assert_refused(done, pid: int, what: str) -> None:
    assert done.code == 78, done
    assert what in done.err and f"process {pid}," in done.err, done.err
    assert "--replace" in done.err and "hermes-green stop" in done.err
    assert len(done.err.strip().splitlines()) == 1, "one sentence and no traceback"
    assert done.seconds < SOON, "lock_wait and the start of a process"
    assert "ready" not in done.out


def test_a_second_process_is_refused_by_data_dir_and_by_bot_and_after_a_kill_nobody_is(stage, seed, tmp_path):
    scene = Scene(stage, gateway=IMPATIENT)
    pid = scene.gateway.pid
    other = second_home(scene, tmp_path)
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        assert_refused(hermes(stage, "run"), pid, "data_dir")
        assert_refused(hermes(other, "run"), pid, "the bot of")
    scene.gateway.kill(signal.SIGKILL)
    began = time.monotonic()
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("home", ["same data_dir", "another data_dir"])
def test_replace_drains_the_old_process_and_takes_over_with_nothing_lost(stage, long_run, seed, tmp_path, home):
    scene = Scene(stage, gateway=IMPATIENT)
    fresh = stage if home == "same data_dir" else second_home(scene, tmp_path)
    # Where QQ's events were left off is remembered in data_dir, and it does not send them again by itself.
    sims = [sim for name, sim in scene.sims.items() if name == "feishu" or fresh is stage]
    load = Load(sims, chats=8, messages=400 if long_run else 24, rate=8, seed=seed)
    old = scene.gateway
    times = 5 if long_run else 1

    def replace() -> None:
        nonlocal old
        for _ in range(times):
            gevent.sleep(1.5)
            new = Gateway(fresh.conf, fresh.state, "--replace")
            stage._started.append(new)
            assert old.popen.wait(timeout=PATIENCE) == 0, "the old one drained and left by itself"
            old = scene.gateway = new
            new.until_ready()

    beside(load.drive, replace)
    load.until_answered()
    gevent.sleep(1)
    assert load.judge() == ""
    scene.no_violations()


def assert_gone(scene: Scene, code: int, seconds: float) -> None:
    """An orderly end: in time, with nothing left behind, and no ghost that dials."""
    assert code == 0, scene.gateway.tail()
    assert seconds < 5 + 5
    assert not (scene.stage.home / "var" / "gateway.json").exists()
    for name, sim in scene.sims.items():
        until(lambda sim=sim: sim.state()["links"] == [], what=f"{name} to see the end")


def test_sigterm_at_any_instant_ends_with_exit_0_close_frames_and_no_dial_afterwards(stage, long_run, seed, pulse):
    # The real platform tries for hours; one that gives up in the middle of this would lose what nobody took.
    scene = Scene(stage, gateway=IMPATIENT, arguments={"feishu": ("--redelivery", OFTEN)})
    draw = random.Random(seed)
    # From "just serving, still dialling" to "in the middle of answering".
    instants = [0.05, 0.0] + [draw.uniform(0, 2) for _ in range(20 if long_run else 1)]
    for number, instant in enumerate(instants):
        if number:
            scene.gateway = stage.gateway()
        if number % 3 == 0:
            scene.gateway.until_ready()  # else the distance kept from fruitless starts would grow to a minute
        for platform in scene.sims:
            scene.say(platform, f"at{number}", "hello")
        gevent.sleep(instant)
        opened = {name: len(sim.record("open")) for name, sim in scene.sims.items()}
        began = time.time()
        code = scene.gateway.kill(signal.SIGINT if number % 2 else signal.SIGTERM)
        took = time.time() - began - pulse.late(began)
        print(f"told {instant:.2f} s after it served, gone after {took:.2f} s")
        assert_gone(scene, code, took)
        dials = {name: len(sim.record("dial")) for name, sim in scene.sims.items()}
        gevent.sleep(0.7)
        assert dials == {name: len(sim.record("dial")) for name, sim in scene.sims.items()}
        for name, sim in scene.sims.items():
            ends = [(close["how"], close["code"]) for close in sim.record("close")]
            assert len(ends) >= opened[name]
            assert all(how == "client" and code is not None for how, code in ends), (name, ends)
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    scene.sims["feishu"].fault("redeliver")  # the platform's next try may be half a minute away
    for platform in scene.sims:
        for number in range(len(instants)):
            scene.expect(platform, f"at{number}", ["hello"], settle=0)
    scene.no_violations()


def test_a_process_told_to_stop_while_it_starts_ends_with_exit_0_and_without_a_trace(stage, long_run, seed):
    stage.write("gateway", {"http": {"port": 0}})
    draw = random.Random(seed)
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    argv = [sys.executable, "-m", "hermes_green", "run", "--conf", str(stage.conf)]
    for number in range(40 if long_run else 5):
        process = gevent.subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=env)
        lock = stage.home / "var" / "gateway.lock"
        with gevent.Timeout(PATIENCE):
            while f'"pid": {process.pid},' not in (lock.read_text() if lock.exists() else ""):
                gevent.sleep(0.001)
        instant = draw.uniform(0, 0.5) if number else 0.0
        gevent.sleep(instant)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=PATIENCE)[1].decode()
        print(f"told {instant:.2f} s after it took the lock: {process.returncode}")
        assert process.returncode == 0 and "Traceback" not in err, err
        assert not (stage.home / "var" / "gateway.json").exists()
    gateway = stage.gateway()
    assert gateway.get("/healthz")[0] == 200


# Told to stop in a destructor, in which Python passes over whatever is raised, as in callbacks of imports.
DEAF = """
import signal, sys
from hermes_green import __main__
__main__._patch()
from hermes_green import app, cli

class Deaf:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

def load(conf, load=app.load_config):
    Deaf()
    return load(conf)

app.load_config = load
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_stop_that_python_passes_over_ends_the_start_all_the_same(stage):
    stage.write("gateway", {"http": {"port": 0}})
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    argv = [sys.executable, "-c", DEAF, "run", "--conf", str(stage.conf)]
    with gevent.subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=env, text=True
    ) as process:
        try:
            said = process.stdout.readline()
            assert said == "", "nobody is served"
            assert process.wait(PATIENCE) == 0, process.stderr.read()
        finally:
            process.kill()
    assert not (stage.home / "var" / "gateway.json").exists()


def test_the_verbs_find_the_process_by_its_lock_and_say_how_it_is_by_their_exit_codes(stage, seed, pulse):
    scene = Scene(stage, gateway=IMPATIENT)
    shown = hermes(stage, "status", "--wait", "READY", "--timeout", "60", "--json")
    assert shown.code == 0 and {child["state"] for child in shown.json()["children"]} == {"READY"}
    assert hermes(stage, "adapters", "stop", "qq").code == 0
    scene.until_state("qq", "STOPPED")
    dials = len(scene.sims["qq"].record("dial"))
    assert hermes(stage, "status").code == 1
    assert hermes(stage, "adapters", "list").code == 0
    late = hermes(stage, "status", "--wait", "READY", "--timeout", "1")
    assert late.code == 1 and late.seconds < SOON
    assert len(scene.sims["qq"].record("dial")) == dials
    assert hermes(stage, "adapters", "start", "qq").code == 0
    assert hermes(stage, "status", "--wait", "READY", "--timeout", "60").code == 0
    assert hermes(stage, "adapters", "start", "nobody").code == 1
    began = time.time()
    stopped = hermes(stage, "stop")
    assert stopped.code == 0
    assert scene.gateway.popen.wait(timeout=PATIENCE) == 0
    assert_gone(scene, 0, stopped.seconds - pulse.late(began))
    for verb in ("status", "adapters list", "adapters restart qq", "reload", "send qq user:a hello"):
        assert hermes(stage, *verb.split()).code == 69, verb
    assert hermes(stage, "stop").code == 0, "also when nothing runs"
    # A process that died leaves its file; only the lock tells.
    gateway = stage.gateway()
    gateway.kill(signal.SIGKILL)
    left = json.loads((stage.home / "var" / "gateway.json").read_text())
    assert left["pid"] == gateway.pid and not os.path.exists(f"/proc/{gateway.pid}")
    assert hermes(stage, "status").code == 69


def test_a_process_that_holds_the_lock_and_does_not_answer_is_called_silent_within_seconds(stage, seed):
    stage.write("gateway", {"http": {"port": 0}})
    gateway = stage.gateway()
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        done = hermes_once(stage, "status")
        assert done.code == 1 and "not answering" in done.err and done.seconds < SOON, done
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    until(lambda: hermes(stage, "status").code == 0)
