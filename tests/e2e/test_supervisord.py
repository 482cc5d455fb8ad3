"""The shipped supervisord entry under a real supervisord: what is started again, and what is not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.e2e.conftest import Checkout
from tests.support.pulse import Pulse
from tests.support.stage import until

BIN = Path(sys.executable).parent


class Supervisor:
    """A running supervisord and its control command."""

    def __init__(self, checkout: Checkout, conf: str) -> None:
        self._checkout = checkout
        self._conf = conf
        self._process = checkout.start(str(BIN / "supervisord"), "--nodaemon", "-c", conf)
        until(lambda: "hermes-green" in self.ask("status"), what="supervisord to answer")

    def ask(self, *words: str) -> str:
        argv = [str(BIN / "supervisorctl"), "-c", self._conf, *words]
        done = subprocess.run(
            argv, cwd=self._checkout.root, env=self._checkout.env, capture_output=True, text=True, timeout=120
        )
        return done.stdout

    def state(self) -> str:
        return self.ask("status", "hermes-green").split()[1]

    def log(self) -> str:
        return (self._checkout.root / "var" / "supervisord.log").read_text()

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)


@pytest.fixture
def supervise(checkout: Checkout) -> Iterator[Callable[[str], Supervisor]]:
    running: list[Supervisor] = []

    def start(conf: str = "conf/supervisord.conf") -> Supervisor:
        running.append(Supervisor(checkout, conf))
        return running[-1]

    yield start
    for supervisor in running:
        supervisor.close()


def serving(checkout: Checkout, other_than: int = 0) -> int:
    """The pid of the gateway, once it serves."""
    out = checkout.root / "var" / "gateway.out.log"

    def pid() -> int:
        said = re.findall(r"hermes-green ready \S+ pid=(\d+)\n", out.read_text() if out.exists() else "")
        return int(said[-1]) if said and int(said[-1]) != other_than else 0

    return until(pid, what="the gateway to serve")


def test_a_killed_gateway_is_started_again_and_a_stopped_one_ends_well(checkout: Checkout, supervise: Callable) -> None:
    supervisor = supervise()
    first = serving(checkout)
    os.kill(first, signal.SIGKILL)
    second = serving(checkout, other_than=first)
    assert second != first and supervisor.state() == "RUNNING"
    with Pulse() as pulse:
        started = time.time()
        assert "stopped" in supervisor.ask("stop", "hermes-green")
        assert time.time() - started < 30 + pulse.late(started)
    assert supervisor.state() == "STOPPED"
    assert "stopped: hermes-green (exit status 0)" in supervisor.log()


def test_a_gateway_that_must_not_be_restarted_is_left_alone(checkout: Checkout, supervise: Callable) -> None:
    (checkout.root / "conf" / "web.local.yaml").write_text("enabeld: true\n")
    supervisor = supervise()
    until(lambda: supervisor.state() == "EXITED", what="the refusal")
    time.sleep(3)
    assert supervisor.state() == "EXITED"
    assert supervisor.log().count("spawned: 'hermes-green'") == 1
    assert "exit status 78; expected" in supervisor.log()
    assert "web.local.yaml:1:1: unknown key" in (checkout.root / "var" / "gateway.err.log").read_text()


def test_a_gateway_that_asks_for_a_restart_gets_one(checkout: Checkout, supervise: Callable) -> None:
    shipped = (checkout.root / "conf" / "supervisord.conf").read_text()
    stand_in = re.sub(r"(?m)^command = .*$", "command = bash -c 'sleep 0.5; exit 75'", shipped)
    assert stand_in != shipped
    (checkout.root / "conf" / "stand-in.conf").write_text(stand_in)
    supervisor = supervise("conf/stand-in.conf")
    until(lambda: supervisor.log().count("spawned: 'hermes-green'") >= 3, what="two restarts")
    assert "exit status 75; not expected" in supervisor.log()
