"""The monitor beside real gateways: what it calls stale, what it restarts, and how seldom."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Mapping

import gevent
import gevent.subprocess
import pytest
from gevent.pywsgi import WSGIServer

from hermes_green.ops.lock import FileLock
from tests.support.pulse import Pulse
from tests.support.scene import Scene
from tests.support.stage import PATIENCE, Stage, clean_env, until
from tests.support.supervised import MONITOR, ServiceManager, Supervisor

# What answers is waited for, and what was stopped is not.
PATIENT = ("--timeout", "30", "--confirm", "0.5")
QUICK = ("--timeout", "2", "--confirm", "0.5")


class Said:
    """What a call of the monitor said, how it ended and how long it took on a machine that does nothing else."""

    def __init__(self, stage: Stage, *words: str, more: Mapping[str, str] = {}) -> None:
        env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state), **more}
        env.pop("PYTHONPATH")
        with Pulse() as pulse:
            began = time.time()
            # -S: as cron's python would, it finds nothing that was installed.
            done = gevent.subprocess.run(
                [sys.executable, "-S", MONITOR, "--conf", str(stage.conf), *PATIENT, *words],
                env=env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
            )  # fmt: skip
            self.seconds = time.time() - began - pulse.late(began)
        self.code, self.out = done.returncode, done.stdout.decode()


def decisions(stage: Stage) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stage.home / "var" / "monitor.log").read_text().splitlines()]


def test_once_tells_a_fine_gateway_from_a_stopped_one_and_from_none(stage: Stage) -> None:
    none = Said(stage, "--once")
    assert none.code == 69 and str(stage.home / "var") in none.out, none.out
    gateway = stage.gateway()
    fine = Said(stage, "--once")
    assert fine.code == 0 and fine.out.startswith("fine"), fine.out
    os.kill(gateway.pid, signal.SIGSTOP)
    stale = Said(stage, *QUICK, "--once")
    assert stale.code == 1 and "stale" in stale.out and str(gateway.pid) in stale.out, stale.out
    os.kill(gateway.pid, signal.SIGCONT)
    until(lambda: Said(stage, "--once").code == 0)
    lines = decisions(stage)
    assert [line["decision"] for line in lines][:2] == ["fine", "stale"], "69 had no directory to log into"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"]) for line in lines)


def test_a_file_that_is_no_utf_8_does_not_blind_the_monitor(stage: Stage) -> None:
    """The gateway goes on with what it has read before, and has to be watched."""
    stage.gateway()
    (stage.conf / "gateway.local.yaml").write_bytes("# 网关\nlocale: zh\n".encode("gbk"))
    fine = Said(stage, "--once")
    assert fine.code == 0 and fine.out.startswith("fine"), fine.out


def test_a_hung_gateway_is_killed_within_the_deadline_and_every_lock_is_free(stage: Stage) -> None:
    gateway = stage.gateway()
    os.kill(gateway.pid, signal.SIGSTOP)
    killed = Said(stage, *QUICK, "--force-kill", "--deadline", "1")
    assert killed.code == 0 and "SIGKILL" in killed.out and "locks are free" in killed.out, killed.out
    assert killed.seconds < 1 + 10
    assert gateway.popen.wait(timeout=PATIENCE) == -signal.SIGKILL
    assert Said(stage, "--once").code == 69


def test_a_child_that_cools_down_or_is_halted_is_reported_and_nothing_is_restarted_for_it(stage: Stage) -> None:
    scene = Scene(stage, files={"feishu": {"dial_budget": [[1, 600]]}})
    scene.gateway.kill()
    scene.change("qq", client_secret="a-wrong-secret-0123")
    scene.gateway = stage.gateway()
    scene.until_state("qq", "HALTED")
    until(lambda: scene.gateway.child("feishu")["cooldown_until"])
    seen = Said(stage, "--once", "--force-restart")
    assert seen.code == 0 and "feishu cooling until" in seen.out and "qq HALTED" in seen.out, seen.out
    assert scene.gateway.popen.poll() is None and scene.gateway.get("/healthz")[0] == 200


# --- under a real supervisord ----------------------------------------------------------------------


@pytest.fixture
def supervisor(stage: Stage) -> Iterator[Supervisor]:
    running = Supervisor(stage, monitor=True)
    yield running
    running.close()


def test_five_calls_in_a_minute_restart_a_hung_gateway_once(stage: Stage, supervisor: Supervisor) -> None:
    first, _ = supervisor.serving()
    os.kill(first, signal.SIGSTOP)
    calls = [Said(stage, *QUICK, "--force-restart") for _ in range(5)]
    assert [call.code for call in calls] == [0, 1, 1, 1, 1], [call.out for call in calls]
    assert "through supervisord" in calls[0].out and all("refused" in call.out for call in calls[1:])
    second, _ = supervisor.serving(other_than=first)
    assert f"is now pid {second}" in calls[0].out
    assert supervisor.log().count("spawned: 'hermes-green' ") == 2
    assert Said(stage, "--once").code == 0
    # Whose end would be another restart is refused as well.
    assert Said(stage, "--force-kill").code == 1
    assert Said(stage, "--once").code == 0
    said = [line["decision"] for line in decisions(stage)]
    assert said.count("restarted") == 1 and said.count("refused") == 5
    until(lambda: "process_state_exited" in [line["decision"] for line in decisions(stage)], what="the listener's line")


def test_a_healthy_gateway_drains_before_it_is_restarted(stage: Stage, supervisor: Supervisor) -> None:
    first, _ = supervisor.serving()
    done = Said(stage, "--force-restart")
    assert done.code == 0 and "SIGKILL" not in done.out, done.out
    assert supervisor.serving(other_than=first)[0] != first
    assert re.search(r"exited: hermes-green \(exit status 0; expected\)", supervisor.log())


# --- under managers that are asked by a program of their own -----------------------------------------

REFUSES = "Interactive authentication required."
SYSTEMD = ("systemctl", ["start", "hermes-green.service"])
LAUNCHD = ("launchctl", ["kickstart", f"gui/{os.getuid()}/com.hermes-green"])


@pytest.mark.parametrize("via, program, asked", [("systemd", *SYSTEMD), ("launchd", *LAUNCHD)])
def test_a_gateway_is_started_again_through_its_service_manager(
    stage: Stage, via: str, program: str, asked: list[str]
) -> None:
    manager, first = ServiceManager(stage, program), stage.gateway()
    try:
        done = Said(stage, "--force-restart", "--via", via, more=manager.env)
        assert done.code == 0 and "SIGKILL" not in done.out and f"through {via} " in done.out, done.out
        assert first.popen.wait(timeout=PATIENCE) == 0, "it was drained"
        (second,) = manager.started()
        assert f"pid {first.pid} is now pid {second}" in done.out
        # Asked twice: first whether it would do so at all; on a busy machine again, until the new one is there.
        assert len(manager.asked()) >= 2 and all(each == asked for each in manager.asked())
        assert Said(stage, "--once").code == 0
        again = Said(stage, "--force-restart", "--via", via, more=manager.env)
        assert again.code == 1 and "refused" in again.out and manager.started() == [second]
    finally:
        manager.close()


@pytest.mark.parametrize("via, program", [("systemd", SYSTEMD[0]), ("launchd", LAUNCHD[0])])
def test_what_a_service_manager_refuses_is_told_in_its_words(stage: Stage, via: str, program: str) -> None:
    manager = ServiceManager(stage, program, refuses="it is masked")
    done = Said(stage, "--force-restart", "--via", via, "--name", "other", more=manager.env)
    assert done.code == 1 and "it is masked" in done.out and "ended with 5" in done.out, done.out
    assert manager.asked()[0][-1].endswith("other")


def test_a_gateway_that_its_manager_would_not_start_again_is_not_ended(stage: Stage) -> None:
    gateway = stage.gateway()
    manager = ServiceManager(stage, "systemctl", refuses=REFUSES)
    done = Said(stage, "--force-restart", "--via", "systemd", more=manager.env)
    assert done.code == 1 and "authentication required" in done.out and "signal" not in done.out, done.out
    assert gateway.popen.poll() is None and gateway.get("/healthz")[0] == 200
    # What it has not done does not count as a restart.
    manager.env["MANAGER_REFUSES"] = ""
    again = Said(stage, "--force-restart", "--via", "systemd", more=manager.env)
    assert again.code == 0, again.out
    manager.close()


def test_one_that_hangs_is_killed_all_the_same_for_that_is_a_failure_and_restarted_unasked(stage: Stage) -> None:
    first = stage.gateway()
    manager = ServiceManager(stage, "systemctl", refuses=REFUSES)
    os.kill(first.pid, signal.SIGSTOP)

    def restart_on_failure() -> Any:
        code = first.popen.wait(timeout=PATIENCE)
        return stage.gateway() if code else None

    systemd = gevent.spawn(restart_on_failure)
    done = Said(stage, *QUICK, "--once", "--force-restart", "--via", "systemd", more=manager.env)
    second = systemd.get(timeout=PATIENCE)
    assert first.popen.returncode == -signal.SIGKILL and "SIGTERM" not in done.out, done.out
    assert done.code == 0 and f"pid {first.pid} is now pid {second.pid}" in done.out, done.out
    assert manager.asked() == [["start", "hermes-green.service"]]


@pytest.mark.parametrize("how", ["fine", "stopped"])
def test_a_gateway_that_nobody_looks_after_is_started_again_by_its_own_command(stage: Stage, how: str) -> None:
    first = stage.gateway("--replace")
    if how == "stopped":
        os.kill(first.pid, signal.SIGSTOP)
    done = Said(stage, *(["--force-restart"] if how == "fine" else [*QUICK, "--once", "--force-restart"]))
    found = re.search(rf"pid {first.pid} is now pid (\d+)", done.out)
    assert done.code == 0 and "through its own command" in done.out and found, done.out
    second = int(found[1])
    try:
        assert first.popen.wait(timeout=PATIENCE) == (0 if how == "fine" else -signal.SIGKILL)
        assert Said(stage, "--once").code == 0
        words = Path(f"/proc/{second}/cmdline").read_bytes().split(b"\0")
        assert str(stage.conf).encode() in words and b"--replace" not in words
        assert os.getsid(second) == second, "it outlives whoever called the monitor"
        assert Said(stage, "--force-restart").code == 1, "and not again at once"
    finally:
        os.kill(second, signal.SIGTERM)
        until(lambda: Said(stage, "--once").code == 69, what="its end")


def test_a_command_that_is_no_text_is_started_again_byte_for_byte(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, tmp_path: Path
) -> None:
    """Such as one with a directory that was named in another encoding, and a variable that says it, too."""
    monkeypatch.syspath_prepend(os.path.dirname(MONITOR))
    outside = importlib.import_module("gateway_outside")
    program = [sys.executable, "-c", "import time; time.sleep(600)", b"caf\xe9"]
    process = subprocess.Popen(program, env={**os.environb, b"ODD": b"caf\xe9"})
    try:
        until(lambda: "ODD" in outside.environ_of(process.pid))
        way = outside.own_way(outside.Home(stage.conf, ""), process.pid, outside.environ_of(process.pid))
        assert (os.fsencode(way._argv[-1]), os.fsencode(way._env["ODD"])) == (b"caf\xe9", b"caf\xe9")
    finally:
        process.kill()
        process.wait()
    log = importlib.import_module("monitor_gateway").Log(tmp_path / "log", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    log("refused", os.fsdecode(b"caf\xe9"))
    assert "caf\\udce9" in (tmp_path / "log").read_text("utf-8")


def test_who_looks_after_a_process_is_found_out(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.syspath_prepend(os.path.dirname(MONITOR))
    outside = importlib.import_module("gateway_outside")
    manager = ServiceManager(stage, "systemctl")
    monkeypatch.setenv("PATH", manager.env["PATH"])
    login = "0::/user.slice/user-1.slice/user@1.service/app.slice"
    groups = {
        "0::/system.slice/bot.service": ["systemctl", "start", "bot.service"],
        f"{login}/bot.service": ["systemctl", "--user", "start", "bot.service"],
        f"{login}/run-1.scope": None,
        "0::/": None,
    }  # fmt: skip
    monkeypatch.setattr(outside, "environ_of", lambda pid: {"INVOCATION_ID": "1"})
    for group, argv in groups.items():
        monkeypatch.setattr(outside, "cgroup_of", lambda pid, group=group: group)
        way = outside.way_of(outside.Home(stage.conf, ""), os.getpid(), "auto", "")
        assert way.apart is (argv is None) and (way.apart or way._argv == argv), group
    monkeypatch.setattr(outside, "environ_of", lambda pid: {})
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", str(stage.home / "bin"))  # nothing but systemctl
    assert outside.detected(os.getpid(), {}) == "own"
    (stage.home / "bin" / "systemctl").rename(stage.home / "bin" / "launchctl")
    for refuses, found in (("", "launchd"), ("no such service", "own")):
        for name, value in (manager.env | {"MANAGER_REFUSES": refuses}).items():
            monkeypatch.setenv(name, value)
        assert outside.detected(os.getpid(), {}) == found
    assert manager.asked() == 2 * [["print", LAUNCHD[1][1]]] and not manager.started()


# --- the rest needs only something that looks like a gateway ----------------------------------------


class Pretender:
    """Holds the lock, and answers as told."""

    def __init__(self, stage: Stage) -> None:
        data = stage.home / "var"
        self.child = {"id": "qq", "state": "READY", "connected": True}
        self.asked: list[str] = []
        self.token = ""
        self._lock = FileLock(data / "gateway.lock")
        self._lock.acquire()
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        (data / "gateway.json").write_text(json.dumps({"pid": os.getpid(), "http": url}))

    def _answer(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        denied = self.token and environ["PATH_INFO"] != "/healthz"
        if denied and environ.get("HTTP_AUTHORIZATION") != f"Bearer {self.token}":
            start("401 Unauthorized", [])
            return [b""]
        start("200 OK", [("Content-Type", "application/json")])
        if environ["REQUEST_METHOD"] == "POST":
            self.asked.append(environ["PATH_INFO"])
        body = {"/healthz": {"store": "ok"}, "/api/status": {"children": [self.child]}}
        return [json.dumps(body.get(environ["PATH_INFO"], {})).encode()]

    def close(self) -> None:
        self._server.stop()
        self._lock.release()


def test_a_child_that_is_deaf_makes_the_gateway_stale_and_is_restarted_alone_first(stage: Stage) -> None:
    pretender = Pretender(stage)
    try:
        assert Said(stage, "--once").code == 0
        pretender.child["connected"] = False
        deaf = Said(stage, "--once")
        assert deaf.code == 1 and "stale" in deaf.out and "qq" in deaf.out, deaf.out
        assert pretender.asked == []
        tick = "ver:3.0 server:supervisor serial:1 pool:m poolserial:1 eventname:TICK_60 len:15\nwhen:1201063880"
        argv = [sys.executable, "-S", MONITOR, "--conf", str(stage.conf), *PATIENT, "--supervisord"]
        listener = gevent.subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = listener.communicate(tick.encode(), timeout=PATIENCE)
        assert out == b"READY\nRESULT 2\nOKREADY\n", (out, err)
        assert pretender.asked == ["/api/adapters/qq/restart"]
        assert b"stale" in err and b"restart-child: qq" in err
    finally:
        pretender.close()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("written", ["http:\n  token: ${A_TOKEN}\n", "http: {token: '${A_TOKEN}', port: 0}\n"])
def test_a_gateway_whose_token_the_monitor_does_not_have_is_not_stale(stage: Stage, written: str, told: bool) -> None:
    pretender = Pretender(stage)
    pretender.token = "correct-horse"
    # Old enough to have begun to answer.
    owner = {"pid": os.getpid(), "started_at": "2026-01-01T00:00:00Z", "data_dir": ""}
    (stage.home / "var" / "gateway.lock").write_text(json.dumps(owner))
    (stage.conf / "gateway.yaml").write_text(written)
    try:
        pretender.child["connected"] = False
        seen = Said(stage, "--once", more={"A_TOKEN": pretender.token} if told else {})
        assert seen.code == (1 if told else 0) and ("deaf" in seen.out or "READY without" in seen.out) is told, seen.out
        assert told or "401" in seen.out, seen.out
    finally:
        pretender.close()


def test_a_pid_that_is_somebody_elses_here_is_not_killed(stage: Stage) -> None:
    lock = FileLock(stage.home / "var" / "gateway.lock")
    lock.acquire()
    bystander = gevent.subprocess.Popen(["sleep", "600"])
    try:
        # As a container's lock looks from outside of it, where its numbers mean others.
        owner = {"pid": bystander.pid, "started_at": "2026-01-01T00:00:00Z", "data_dir": ""}
        lock.path.write_text(json.dumps(owner))
        for words in (("--force-kill", "--deadline", "0.5"), ("--force-restart", "--via", "own")):
            done = Said(stage, *QUICK, *words)
            assert done.code == 1 and "refused" in done.out and "SIG" not in done.out, done.out
        assert bystander.poll() is None
    finally:
        lock.release()
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 Internal Server Error", ""])
def test_supervisords_password_is_told_to_nobody_but_supervisord(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.syspath_prepend(os.path.dirname(MONITOR))
    outside = importlib.import_module("gateway_outside")
    monkeypatch.setattr(outside, "WITHIN", 0.5, raising=False)
    heard: list[str] = []

    def answer(environ: dict[str, Any], start: Any) -> list[bytes]:
        heard.append(environ.get("HTTP_AUTHORIZATION", ""))
        if not status:
            gevent.sleep(PATIENCE)
        start(status, [])
        return [b""]

    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    env = {"SUPERVISOR_SERVER_URL": f"http://127.0.0.1:{server.server_port}"}
    way = outside.Supervisord({**env, "SUPERVISOR_USERNAME": "u", "SUPERVISOR_PASSWORD": "pass/wo@rd"}, "bot")
    try:
        with gevent.Timeout(PATIENCE / 2), pytest.raises(outside.Refused) as refused:
            way.start()
        assert "does not answer" in str(refused.value) and "wo@rd" not in str(refused.value)
        assert "wo%40rd" not in str(refused.value), str(refused.value)
        assert set(heard) == {"Basic " + base64.b64encode(b"u:pass/wo@rd").decode()}
    finally:
        server.stop(timeout=0)


HOLDER = """
import os, subprocess, sys
from pathlib import Path
from hermes_green.ops.lock import FileLock
for path in sys.argv[1:]:
    lock = FileLock(path)
    lock.acquire()
# The last one is a bot's: it outlives us in a program that we start.
os.set_inheritable(lock._fd, True)
subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("where", ["state", "home/.local/state/hermes-green"])
def test_a_bots_lock_that_outlives_the_gateway_is_seen_though_only_the_gateway_knew_where_it_lies(
    stage: Stage, where: str
) -> None:
    bot = stage.home / where / f"{'b' * 64}.lock"
    bot.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-c", HOLDER, str(stage.home / "var" / "gateway.lock"), str(bot)]
    named = str(stage.state) if where == "state" else ""
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": named, "HOME": str(stage.home / "home")}
    pipe = subprocess.PIPE
    holder = gevent.subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, start_new_session=True)
    try:
        assert holder.stdout.readline() == b"held\n"
        killed = Said(stage, *QUICK, "--force-kill", "--deadline", "1", more={"HERMES_GREEN_STATE_DIR": ""})
        assert killed.code == 1 and "locks are free" not in killed.out and bot.name in killed.out, killed.out
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
