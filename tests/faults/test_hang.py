"""A hub that stands still is seen, written down, ended and started again; and what systemd is told meanwhile."""

from __future__ import annotations

import json
import signal
import struct
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from tests.support.scene import QUICK
from tests.support.six import six
from tests.support.stage import PATIENCE, Stage, credentials, http, until
from tests.support.supervised import Supervisor

STALL_KILL = 4.0  # more than a busy machine stands still


# Of Linux' <asm-generic/socket.h>: the kernel says when a datagram was sent, in wall time.
TIMESTAMP = 29
TIMEVAL = struct.Struct("@ll")


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, TIMESTAMP, 1)
        self._socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.heard: list[tuple[float, str]] = []
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        while True:
            data, ((_, _, stamp),), _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(TIMEVAL.size))
            seconds, micros = TIMEVAL.unpack(stamp)
            self.heard += [(seconds + micros / 1e6, line) for line in data.decode().splitlines()]

    def said(self, what: str, since: float = 0.0) -> list[float]:
        """When a line that begins so was sent."""
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
            began = time.time()
            sims["feishu"].say(text=how, chat=f"oc_{how[:4]}", user="ou_hang")
            before, (pid, url) = pid, supervisor.serving(other_than=pid)
            took = time.time() - began
            hung = supervisor.errors()[logged:]
            # The new one's first is the other end of the silence.
            until(lambda: manager.said("WATCHDOG=1", began + took), what="another ping")
            pings = manager.said("WATCHDOG=1", began - 1)
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


def test_the_service_manager_hears_of_ready_status_watchdog_reload_drain_and_stop(
    stage: Stage, manager, pulse
) -> None:
    model = stage.model()
    model.behave(hold=True)
    stage.env = manager.env
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = six(stage, gateway={"agent": agent, "supervisor": {"drain_seconds": 30}})
    until(lambda: len(manager.said("READY=1")) == 1)
    wanted = [f"{name} READY" for name in scene.sims]
    until(lambda: all(word in manager.text("STATUS=") for word in wanted), what="a status of every account")
    print(manager.text("STATUS="))
    since = time.time()
    pings = until(lambda: len(said := manager.said("WATCHDOG=1", since)) > 3 and said, what="pings")
    late = [b - a for a, b in zip(pings, pings[1:]) if b - a >= 1.0 + pulse.late(a, b)]
    assert not late, f"a ping at least every WATCHDOG_USEC: {late}"
    since = time.time()
    assert scene.gateway.post("/api/reload")[0] == 200
    until(lambda: manager.said("RELOADING=1", since) and manager.said("MONOTONIC_USEC=", since))
    until(lambda: manager.said("READY=1", since))
    assert manager.said("RELOADING=1", since)[0] <= manager.said("READY=1", since)[0]
    scene.say("qq", "late", "a turn to drain")
    until(lambda: scene.gateway.status()["turns"] == 1)
    since = time.time()
    scene.gateway.popen.send_signal(signal.SIGTERM)
    until(lambda: manager.said("STOPPING=1", since) and manager.said("EXTEND_TIMEOUT_USEC=", since))
    model.behave()
    model.release()
    assert scene.gateway.popen.wait(PATIENCE) == 0
    assert scene.texts("qq", "late") == ["echo: a turn to drain"]
    print(json.dumps([line for at, line in manager.heard if at >= since]))
