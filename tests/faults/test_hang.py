"""A hub that stands still is seen, written down, ended and started again; and what systemd is told meanwhile."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from tests.support.scene import QUICK
from tests.support.six import six
from tests.support.stage import Stage, credentials, http, until
from tests.support.supervised import Supervisor

STALL_KILL = 1.5


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.heard: list[tuple[float, str]] = []
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        while True:
            text = self._socket.recv(4096).decode()
            self.heard += [(time.monotonic(), line) for line in text.splitlines()]

    def said(self, what: str, since: float = 0.0) -> list[float]:
        """When a line that begins so has come."""
        return [at for at, line in self.heard if at >= since and line.startswith(what)]

    def text(self, what: str) -> str:
        """The newest line that begins so."""
        return next((line for _, line in reversed(self.heard) if line.startswith(what)), "")

    def close(self) -> None:
        self._reader.kill()
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Any:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_a_hub_that_hangs_in_python_or_in_c_is_ended_and_replaced_and_no_message_is_lost(stage, seed, manager) -> None:
    agent = {"type": "python", "target": "tests.support.doomed:answer", "isolation": "greenlet"}
    hang = {"stall_kill": STALL_KILL, **QUICK}
    stage.write("gateway", {"http": {"port": 0}, "access": {"dm": "open"}, "agent": agent, "supervisor": hang})
    sims = {name: stage.sim(name, "--hold-order") for name in ("feishu", "qq")}
    for name, sim in sims.items():
        stage.write(name, {**credentials(sim), "dial_budget": []})
    supervisor = Supervisor(stage, more=manager.env)
    try:
        pid, url = supervisor.serving()
        for how in ("loop 60", "hold 60"):
            until(lambda: http("GET", f"{url}/readyz")[0] == 200)
            for number in range(4):
                chat = f"{how[:4]}{number}"
                sims["qq"].say(text=f"wait 0.5 {number}", chat=chat, user=chat)
            logged = len(supervisor.errors())
            sims["feishu"].say(text=how, chat=f"oc_{how[:4]}", user="ou_hang")
            began = time.monotonic()
            before, (pid, url) = pid, supervisor.serving(other_than=pid, seconds=30)
            took = time.monotonic() - began
            hung = supervisor.errors()[logged:]
            # The new one's first is the other end of the silence.
            pings = until(lambda: len(said := manager.said("WATCHDOG=1", began - 1)) > 1 and said, what="two pings")
            quiet = max(b - a for a, b in zip(pings, pings[1:]))
            print(f"{how.split()[0]}: pid {before} was replaced by {pid} after {took:.1f} s; no ping for {quiet:.1f} s")
            assert "doomed.py" in hung, hung[-2000:]
            if how.startswith("loop"):
                assert "the hub has been blocked for" in hung
            assert "Timeout (" in hung and quiet > STALL_KILL * 0.8
            assert supervisor.log().count("not expected") >= 1
        wanted = {f"echo: wait 0.5 {number}" for number in range(4)}
        for how in ("loop", "hold"):
            until(lambda how=how: len([s for s in sims["qq"].sends() if s["chat"].startswith(how)]) == 4)
            texts = [send["text"] for send in sims["qq"].sends() if send["chat"].startswith(how)]
            assert set(texts) == wanted and len(texts) == 4
        answers = [send["text"] for send in sims["feishu"].sends()]
        assert until(lambda: len(sims["feishu"].sends()) == 2) and len(answers) <= 2
        assert sorted(send["text"] for send in sims["feishu"].sends()) == ["echo: hold 60", "echo: loop 60"]
    finally:
        supervisor.close()


def test_the_service_manager_hears_of_ready_status_watchdog_reload_drain_and_stop(stage: Stage, manager) -> None:
    model = stage.model()
    model.behave(first=0.6)
    stage.env = manager.env
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = six(stage, gateway={"agent": agent, "supervisor": {"drain_seconds": 4}})
    assert len(manager.said("READY=1")) == 1
    wanted = [f"{name} READY" for name in scene.sims]
    until(lambda: all(word in manager.text("STATUS=") for word in wanted), what="a status of every account")
    print(manager.text("STATUS="))
    since = time.monotonic()
    gevent.sleep(1.6)
    pings = manager.said("WATCHDOG=1", since)
    gaps = [b - a for a, b in zip(pings, pings[1:])]
    assert len(pings) >= 2 and max(gaps, default=0) < 1.0, f"a ping at least every WATCHDOG_USEC: {gaps}"
    since = time.monotonic()
    assert scene.gateway.post("/api/reload")[0] == 200
    assert manager.said("RELOADING=1", since) and manager.said("MONOTONIC_USEC=", since)
    until(lambda: manager.said("READY=1", since))
    assert manager.said("RELOADING=1", since)[0] <= manager.said("READY=1", since)[0]
    scene.say("qq", "late", "a turn to drain")
    until(lambda: scene.gateway.status()["turns"] == 1)
    since = time.monotonic()
    assert scene.gateway.kill(signal.SIGTERM) == 0
    assert manager.said("STOPPING=1", since) and manager.said("EXTEND_TIMEOUT_USEC=", since)
    assert scene.texts("qq", "late") == ["echo: a turn to drain"]
    print(json.dumps([line for at, line in manager.heard if at >= since]))
