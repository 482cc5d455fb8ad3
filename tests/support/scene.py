"""Scenes on the stage: which platforms, which settings, and what the gateway says of itself in them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterator, Mapping, Sequence

import gevent
import gevent.subprocess

from tests.support.stage import PATIENCE, ROOT, Gateway, Sim, Stage, clean_env, credentials, until

# Reconnects in a second or less, so that a test need not wait for back-offs.
QUICK = {"healthy_after": 1, "backoff_max": 1}
ARGUMENTS = {
    "feishu": ("--hold-order", "--redelivery", "1,3,9,27", "--ack-deadline", "1"),
    "qq": ("--hold-order", "--heartbeat-interval", "5", "--late", "15"),
    "telegram": ("--hold-order",),
    "wecom": ("--hold-order",),
    "dingtalk": ("--hold-order",),
    "slack": ("--hold-order",),
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and after how many seconds."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        return json.loads(self.out)


def hermes(stage: Stage, *words: str, timeout: float = 2 * PATIENCE) -> Done:
    """``hermes-green`` with these words, on the stage's configuration; waits for its end. A gateway that was held up
    for as long as a command waits is asked again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = hermes_once(stage, *words, timeout=timeout)
        if "is not answering" not in done.err or time.monotonic() > deadline:
            return done


def hermes_once(stage: Stage, *words: str, timeout: float = 2 * PATIENCE) -> Done:
    """The same, whatever is answered."""
    argv = [sys.executable, "-m", "hermes_green", "--conf", str(stage.conf), *words]
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    began = time.monotonic()
    process = gevent.subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, env=env
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except gevent.subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"{words} did not end within {timeout} s") from None
    return Done(process.returncode, out.decode(), err.decode(), time.monotonic() - began)


def written(stage: Stage, kind: str) -> list[dict[str, Any]]:
    """What is written down of this kind about the only bot."""
    (lock,) = stage.state.glob("*.lock")  # the page has none
    lines = map(json.loads, lock.with_suffix(".ledger").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def kill_linked(stage: Stage, gateway: Gateway, child: str) -> None:
    """kill -9, once a link of its only bot is written down; that is done beside the hub, a moment later, and starts
    without a link are spaced."""
    if gateway.child(child)["state"] == "READY":
        until(lambda: any(line["pid"] == gateway.pid for line in written(stage, "ready")), what="its link's note")
    gateway.kill(signal.SIGKILL)


def booked(stage: Stage) -> list[float]:
    """When each of its dials was written down, which is before its platform sees it."""
    return [line["wall"] for line in written(stage, "dial")]


class Scene:
    """Simulators behind one gateway; ``gateway`` and ``files`` add to what the stage's files say."""

    def __init__(
        self,
        stage: Stage,
        *,
        platforms: Sequence[str] = ("feishu", "qq"),
        gateway: Mapping[str, Any] | None = None,
        files: Mapping[str, Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
        ready: bool = True,
    ) -> None:
        self.stage = stage
        self.sims: dict[str, Sim] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.write("gateway", {"http": {"port": 0}, "access": {"dm": "open", "group": "open"}, **(gateway or {})})
        for name in platforms:
            more = (arguments or {}).get(name, ())
            self.sims[name] = stage.sim(name, *ARGUMENTS[name], *more)
            self.write(name, {**credentials(self.sims[name]), **(files or {}).get(name, {})})
        self.gateway: Gateway = stage.gateway()
        if ready:
            self.gateway.until_ready()

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Replace one yaml file."""
        self.files[name] = dict(values)
        self.stage.write(name, values)

    def change(self, name: str, **values: Any) -> None:
        """Set keys of one yaml file."""
        self.write(name, {**self.files[name], **values})

    def other(self, platform: str) -> str:
        return next(name for name in self.sims if name != platform)

    def say(self, platform: str, chat: str, text: str) -> None:
        """A user of a direct chat writes."""
        if platform == "feishu":
            self.sims[platform].say(text=text, chat=f"oc_{chat}", user=f"ou_{chat}")
        else:
            self.sims[platform].say(text=text, chat=chat, user=chat)

    def texts(self, platform: str, chat: str = "") -> list[str]:
        """What reached the users of a platform (or one chat's), in order."""
        found = [send for send in self.sims[platform].sends() if not chat or send["chat"] in (chat, f"oc_{chat}")]
        return [send["text"] for send in found]

    def expect(
        self, platform: str, chat: str, answers: Sequence[str], seconds: float = PATIENCE, settle: float = 1.0
    ) -> None:
        """Wait until the chat has exactly these answers, and look again ``settle`` seconds later."""
        until(lambda: len(self.texts(platform, chat)) >= len(answers), seconds, f"{answers} in {platform} {chat}")
        gevent.sleep(settle)
        assert self.texts(platform, chat) == list(answers), f"{self.texts(platform, chat)}, not {list(answers)}"

    def state(self, child: str) -> str:
        return str(self.gateway.child(child)["state"])

    def until_state(self, child: str, state: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The child's status once it is in ``state``."""

        def found() -> dict[str, Any] | None:
            status: dict[str, Any] = self.gateway.child(child)
            return status if status["state"] == state else None

        status: dict[str, Any] = until(found, seconds, f"{child} {state}")
        return status

    def metric(self, name: str, **labels: str) -> float:
        """One value of /metrics; 0 where the series is not there."""
        text = self.gateway.get("/metrics")[1]
        for line in text.splitlines():
            match = re.fullmatch(r"hermes_green_(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= found.items():
                    return float(match[3])
        return 0.0

    @contextmanager
    def undisturbed(self, platform: str) -> Iterator[None]:
        """Its link is the same one before and after, and nothing was lost or dialled."""
        sim = self.sims[platform]
        before = (sim.state()["links"], len(sim.record("dial")), self.gateway.child(platform)["losses"])
        assert before[0], f"{platform} has no link"
        yield
        after = (sim.state()["links"], len(sim.record("dial")), self.gateway.child(platform)["losses"])
        assert after == before, f"{platform} had (links, dials, losses) {before}, now {after}"

    @contextmanager
    def undisturbed_links(self, sim: Sim) -> Iterator[None]:
        """As ``undisturbed``, for a simulator that another gateway is connected to."""
        before = (sim.state()["links"], len(sim.record("dial")))
        yield
        after = (sim.state()["links"], len(sim.record("dial")))
        assert after == before, f"{sim.platform} had (links, dials) {before}, now {after}"

    def no_violations(self) -> None:
        """The platforms found no fault with us."""
        for sim in self.sims.values():
            assert sim.record("violation") == []

    def log(self, since: float = 0.0, **match: str) -> list[dict[str, Any]]:
        """Lines of a log in JSON after wall time ``since``, each with its wall time ``t``."""
        found = []
        for text in self.gateway.log.read_text().splitlines():
            if not text.startswith("{"):
                continue
            line = json.loads(text)
            line["t"] = datetime.fromisoformat(line["time"]).timestamp()
            if line["t"] >= since and all(line.get(name) == value for name, value in match.items()):
                found.append(line)
        return found
