"""A world that is slow, silent or full: whoever waits for it waits alone, and the gateway stays answerable."""

from __future__ import annotations

import resource
import signal
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

import gevent
import psutil

from tests.support.asker import Asker
from tests.support.pulse import Pulse
from tests.support.scene import Scene, hermes
from tests.support.six import PLATFORMS, Lateness, six
from tests.support.stage import PATIENCE, until

BEAT = 0.65  # QQ takes 120 payloads a minute, also of what waited while it stood still
AIM, LIMIT = 25.0, 1000.0  # milliseconds that a heartbeat, or an answer of /healthz, may be late


class BlackHole:
    """An address that takes a connection attempt and never completes it."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = [socket.socket() for _ in range(4)]
        for each in self._fillers:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        for each in (*self._fillers, self._listener):
            each.close()


@dataclass(frozen=True, slots=True)
class Row:
    """The worst of one phase, in milliseconds: a heartbeat (and whose), an answer of /healthz, the gateway's hub,
    and how late whoever asked was by itself, for the machine was busy. ``beyond``: the worst of the first two
    without what the machine was late by at the same time."""

    name: str
    late: float
    whose: str
    health: float
    hub: float
    asker: float
    beyond: float


class Rows:
    """Measures phases, and prints them as a table."""

    def __init__(self, scene: Scene, pulse: Pulse) -> None:
        self._scene = scene
        self._pulse = pulse
        self._rows: list[Row] = []
        self._asker = Asker(scene.gateway.url, scene.stage.home / "asked")

    @contextmanager
    def phase(self, name: str, victims: tuple[str, ...] = ()) -> Iterator[None]:
        others = {each: sim for each, sim in self._scene.sims.items() if each not in victims}
        late, began = Lateness(others, BEAT), time.time()
        yield
        gevent.sleep(2 * BEAT)
        ended = time.time()
        until(lambda: self._asker.since(ended), what="/healthz to answer")
        lines = self._asker.since(began)
        assert len(lines) >= 5 and {line["status"] for line in lines} == {200}, lines
        worst = [max(line[what] for line in lines) for what in ("ms", "hub", "late")]
        answers = [line["ms"] - 1000 * self._pulse.late(line["at"] - line["ms"] / 1000, line["at"]) for line in lines]
        self._rows.append(Row(name, *late.worst(), *worst, max(late.beyond(self._pulse), *answers)))

    def close(self) -> None:
        self._asker.close()

    def judge(self) -> None:
        print(f"\n{'ms at most':34}{'heartbeat late':>22}{'/healthz':>12}{'hub late':>12}{'asker late':>12}")
        for row in self._rows:
            beat = f"{row.late:.1f} {row.whose}"
            print(f"{row.name:34}{beat:>22}{row.health:12.1f}{row.hub:12.1f}{row.asker:12.1f}")
        late, health = max(row.late for row in self._rows), max(row.health for row in self._rows)
        print(f"largest: {late:.1f} ms and {health:.1f} ms (aim {AIM:g} ms each)")
        assert max(row.beyond for row in self._rows) < LIMIT, "beyond what the machine itself was late by"


def say_all(scene: Scene, chat: str, platforms: tuple[str, ...] = PLATFORMS) -> None:
    for name in platforms:
        scene.say(name, chat, chat)


def expect_all(scene: Scene, chat: str, platforms: tuple[str, ...] = PLATFORMS, seconds: float = PATIENCE) -> None:
    for name in platforms:
        until(lambda name=name: scene.texts(name, chat), seconds, f"{name} {chat}")
        assert [text.removeprefix("echo: ") for text in scene.texts(name, chat)] == [chat], scene.texts(name, chat)


def test_what_is_slow_delays_nobody_else_and_healthz_answers_throughout(stage, long_run, seed, pulse) -> None:
    stage.program, control = "tests.support.faulty", stage.home / "control"
    stage.env = {"HERMES_GREEN_FAULTY": str(control)}
    model, hole = stage.model(), BlackHole()
    model.behave(hang=True)
    agents = {
        "dingtalk": f"http://127.0.0.1:{hole.port}/v1",
        "slack": "http://llm.dead.invalid/v1",
        "telegram": model.url,
    }
    slow = {child: {"type": "openai", "base_url": url, "model": "m"} for child, url in agents.items()}
    routes = [{"child": child, "agent": agent} for child, agent in slow.items()]
    supervisor = {"drain_seconds": 2, "healthy_after": 1, "backoff_max": 1}
    scene = six(stage, beat=BEAT, timeout=30, gateway={"supervisor": supervisor})
    links = {name: sim.state()["links"] for name, sim in scene.sims.items()}
    process = psutil.Process(scene.gateway.pid)
    lasts = 20 if long_run else 0.5
    rows = Rows(scene, pulse)
    gevent.sleep(1)
    with rows.phase("(nothing)"):
        say_all(scene, "first")
        expect_all(scene, "first")
        gevent.sleep(1)
    with rows.phase("an endpoint, 20 s or never"):
        scene.sims["feishu"].fault("slow", delay=20)
        scene.sims["qq"].fault("slow", delay=3600)
        say_all(scene, "endpoint")
        expect_all(scene, "endpoint", ("dingtalk", "wecom", "telegram", "slack"))
        gevent.sleep(lasts)
        for name in ("feishu", "qq"):
            scene.sims[name].clear()
    with rows.phase("each commit, 5 s"):
        control.write_text("5")
        say_all(scene, "fsync")
        gevent.sleep(6 + lasts)
        control.write_text("0")
        expect_all(scene, "fsync", ("dingtalk", "wecom", "telegram", "slack"))
    with rows.phase("a disk that is full"):
        soft = resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE, (1, soft[1]))
        say_all(scene, "disk", ("feishu", "qq", "telegram", "slack"))
        until(lambda: scene.gateway.get("/healthz")[1]["store"].startswith("away"), what="a store that is away")
        gevent.sleep(lasts)
        assert not any(scene.texts(name, "disk") for name in PLATFORMS)
        resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE, soft)
        expect_all(scene, "disk", ("telegram", "slack"))
    hooks = [{"event": "message:received", "run": f"tests.support.hostile:hook_that_{how}", "timeout": 1}
             for how in ("sleeps", "spins")]  # fmt: skip
    scene.change("gateway", hooks=hooks)
    assert hermes(stage, "reload").code == 0
    with rows.phase("hooks that sleep and spin"):
        say_all(scene, "hooks", ("wecom", "telegram", "slack"))
        expect_all(scene, "hooks", ("wecom", "telegram", "slack"))
    scene.change("gateway", hooks=[], routes=routes)
    assert hermes(stage, "reload").code == 0
    with rows.phase("a model: no DNS, no TCP, no word"):
        for number in range(12):
            say_all(scene, f"model{number}", tuple(agents))
        scene.say("wecom", "beside", "beside")
        expect_all(scene, "beside", ("wecom",))  # where there is no word, nobody gives up within two minutes
        gevent.sleep(min(lasts, 5))  # a connection that is not there after 10 s is a failed turn
    lost = [line for line in scene.gateway.log.read_text().splitlines() if "READY ->" in line]
    assert {name: sim.state()["links"] for name, sim in scene.sims.items()} == links, f"no link was lost: {lost}"
    assert scene.gateway.status()["turns"] >= 12 and process.is_running()
    rows.close()
    began = time.time()
    assert scene.gateway.kill(signal.SIGTERM) == 0
    took = time.time() - began
    print(f"gone {took:.2f} s after SIGTERM (drain_seconds 2)")
    assert took < 2 + 5 + pulse.late(began)
    hole.close()
    rows.judge()
    scene.gateway = settled(scene)


def settled(scene: Scene) -> Any:
    """The next process answers what the slow endpoints had not taken, once."""
    scene.change("gateway", routes=[])
    gateway = scene.stage.gateway()
    scene.gateway = gateway
    gateway.until_ready()
    expect_all(scene, "endpoint", ("feishu", "qq"))
    expect_all(scene, "disk", ("feishu", "qq"))
    expect_all(scene, "model3", ("telegram", "slack", "dingtalk"))
    return gateway
