"""Who starts a stage's gateway again: a real supervisord on the shipped file, or a program like systemctl."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

import gevent.subprocess

from tests.support.stage import PATIENCE, ROOT, Stage, clean_env, until

LOGS = ("supervisord.log", "gateway.out.log", "gateway.err.log")
MONITOR = str(ROOT / "scripts" / "monitor_gateway.py")


class Supervisor:
    """Runs until ``close``. ``monitor``: the event listener is switched on; ``more``: environment."""

    def __init__(self, stage: Stage, *, monitor: bool = False, more: Mapping[str, str] | None = None) -> None:
        var = stage.home / "var"
        var.mkdir()
        shipped = (ROOT / "conf" / "supervisord.conf").read_text()
        listener = shipped.index(";[eventlistener:")
        text = shipped[:listener] + re.sub(r"(?m)^;", "", shipped[listener:]) if monitor else shipped
        text = text.replace("%(here)s/../scripts/monitor_gateway.py", f"{sys.executable} -S {MONITOR}")
        run = f"{sys.executable} -m hermes_green run --conf %(here)s"
        text = text.replace("%(here)s/../scripts/run_gateway.sh", run)
        text = text.replace("directory = %(here)s/..", f"directory = {ROOT}").replace("%(here)s/../var", str(var))
        (stage.conf / "supervisord.conf").write_text(text)
        self._log, self._out, self._err = (var / name for name in LOGS)
        argv = [str(Path(sys.executable).parent / "supervisord"), "--nodaemon", "-c", f"{stage.conf}/supervisord.conf"]
        env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state), **(more or {})}
        self._process = gevent.subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.DEVNULL)

    def log(self) -> str:
        """What supervisord says."""
        return self._log.read_text() if self._log.exists() else ""

    def errors(self) -> str:
        """The gateway's own log."""
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    def serving(self, other_than: int = 0, seconds: float = PATIENCE) -> tuple[int, str]:
        """Pid and address of the gateway, once it serves."""

        def found() -> tuple[int, str] | None:
            text = self._out.read_text() if self._out.exists() else ""
            said = re.findall(r"hermes-green ready (\S+) pid=(\d+)\n", text)
            return (int(said[-1][1]), said[-1][0]) if said and int(said[-1][1]) != other_than else None

        pid, url = until(found, seconds, "the gateway to serve")
        return pid, url

    def close(self) -> None:
        """End both."""
        self._process.terminate()
        self._process.wait(timeout=60)


class ServiceManager:
    """``program`` on a PATH of its own (``env``): it writes down how it was called, and starts the stage's
    gateway when that was asked and none runs, or with ``refuses`` says that and ends with 5."""

    def __init__(self, stage: Stage, program: str, refuses: str = "") -> None:
        self._stage = stage
        self._calls = stage.home / "calls"
        folder = stage.home / "bin"
        folder.mkdir()
        file = folder / program
        file.write_text(f"#!{sys.executable}\n{_MANAGER}")
        file.chmod(0o700)
        self.env = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "MANAGER_CALLS": str(self._calls),
            "MANAGER_REFUSES": refuses,
            "MANAGER_STARTS": json.dumps([sys.executable, "-m", "hermes_green", "run", "--conf", str(stage.conf)]),
            "MANAGER_IN": str(ROOT),
            "MANAGER_LOCK": str(stage.home / "var" / "gateway.lock"),
        }

    def asked(self) -> list[list[str]]:
        """The arguments of each call."""
        return [call["argv"] for call in self._told()]

    def started(self) -> list[int]:
        """The pid of each gateway."""
        return [call["pid"] for call in self._told() if call["pid"]]

    def close(self) -> None:
        """End what it started."""
        for pid in self.started():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []


_MANAGER = """
import fcntl, json, os, subprocess, sys
refuses, pid, runs = os.environ["MANAGER_REFUSES"], 0, False
try:
    with open(os.environ["MANAGER_CALLS"]) as calls:
        begun = [json.loads(line)["pid"] for line in calls]
except FileNotFoundError:
    begun = []
for each in filter(None, begun):  # one may not hold its lock yet
    try:
        os.kill(each, 0)
        runs = True
    except ProcessLookupError:
        pass
try:
    with open(os.environ["MANAGER_LOCK"]) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
except FileNotFoundError:
    pass
except OSError:
    runs = True
if not refuses and not runs and {"start", "kickstart"} & set(sys.argv):
    quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    argv = json.loads(os.environ["MANAGER_STARTS"])
    pid = subprocess.Popen(argv, cwd=os.environ["MANAGER_IN"], start_new_session=True, **quiet).pid
with open(os.environ["MANAGER_CALLS"], "a") as calls:
    calls.write(json.dumps({"argv": sys.argv[1:], "pid": pid}) + "\\n")
if refuses:
    sys.exit(print(refuses, file=sys.stderr) or 5)
"""
