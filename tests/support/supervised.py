"""Supervisor: a real supervisord on the shipped file, with a stage's gateway as its program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Mapping

import gevent.subprocess

from tests.support.stage import ROOT, Stage, clean_env, until

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

    def serving(self, other_than: int = 0, seconds: float = 40.0) -> tuple[int, str]:
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
