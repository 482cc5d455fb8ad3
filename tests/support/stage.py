"""A stage for whole runs: a real gateway, real simulators and a model server, each its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Mapping

import gevent
import gevent.subprocess
from gevent.lock import RLock

from hermes_green.ops.shelter import place_of

ROOT = Path(__file__).resolve().parents[2]
# Seconds in which what must come has come, also where the machine is busy with other tests and stops a process
# for seconds. Nobody waits for longer than it takes; what may take no longer is measured.
PATIENCE = 60.0


def http(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] = {}, timeout: float = PATIENCE
) -> tuple[int, Any]:
    """Status and decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            raw, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        raw, status = error.read(), error.code
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw.decode("utf-8", "replace")


def until(true: Any, seconds: float = PATIENCE, what: str = "") -> Any:
    """The first true answer within ``seconds``; the last time it is asked after them."""
    deadline = time.monotonic() + seconds
    while True:
        over = time.monotonic() >= deadline
        found = true()
        if found:
            return found
        assert not over, f"not within {seconds} s: {what or true}"
        gevent.sleep(0.05)


class Process:
    """A child process whose first line on standard output says that it serves."""

    def __init__(
        self, argv: list[str], first: str, log: Path, env: Mapping[str, str] = {}, wait: float = PATIENCE
    ) -> None:
        self.log = log
        with log.open("ab") as err:
            self.popen = gevent.subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL, cwd=ROOT, env={**clean_env(), **env}
            )
        self.pid = self.popen.pid
        self.match: re.Match[str] | None = None
        with gevent.Timeout(wait, AssertionError(f"{argv} did not serve within {wait} s:\n{self.tail()}")):
            for line in iter(self.popen.stdout.readline, b""):
                self.match = re.search(first, line.decode())
                if self.match:
                    break
        if self.match is None:
            code = self.popen.wait()
            raise AssertionError(f"{argv} ended with {code}:\n{self.tail()}")
        self.url = self.match.group(1)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def kill(self, sign: int = signal.SIGKILL, wait: float = PATIENCE) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(sign)
        code = self.popen.wait(timeout=wait)
        assert code is not None, f"pid {self.pid} did not end within {wait} s of signal {sign}"
        return int(code)


def clean_env() -> dict[str, str]:
    """The environment without what could lead a process elsewhere."""
    drop = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "NOTIFY_SOCKET", "HERMES_GREEN_STATE_DIR"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in {d.lower() for d in drop}}
    return {**kept, "PYTHONPATH": str(ROOT)}


class Sim(Process):
    """A simulated platform, driven over its control API."""

    def __init__(self, platform: str, home: Path, *args: str, port: int = 0) -> None:
        argv = [sys.executable, "-m", "hermes_green", "sim", platform, "--port", str(port), *args]
        super().__init__(argv, r"^sim \S+ (\S+)", home / f"sim-{platform}.log")
        self.platform = platform
        self._seen = 0
        self._reading = RLock()
        self.entries: list[dict[str, Any]] = []

    def post(self, verb: str, **args: Any) -> Any:
        status, answer = http("POST", f"{self.url}/_sim/{verb}", args)
        assert status == 200, answer
        return answer

    def say(self, **what: Any) -> Any:
        return self.post("say", **what)

    def fault(self, name: str, **args: Any) -> None:
        self.post("fault", name=name, **args)

    def fault_at(self, name: str, **args: Any) -> float:
        """Switch a fault on; when that was, in the simulator's time."""
        self.fault(name, **args)
        return float([entry["t"] for entry in self.record("fault") if entry["name"] == name][-1])

    def clear(self) -> None:
        self.post("clear")

    def state(self) -> Any:
        return http("GET", f"{self.url}/_sim/state")[1]

    def record(self, kind: str = "") -> list[dict[str, Any]]:
        """All that has happened so far."""
        with self._reading:  # two who read at once would have the same entries twice
            answer = http("GET", f"{self.url}/_sim/record?since={self._seen}")[1]
            self._seen = answer["now"]
            self.entries.extend(answer["events"])
        return [entry for entry in self.entries if not kind or entry["kind"] == kind]

    def shown(self) -> list[tuple[str, str]]:
        """Chat and text of each of the bot's messages that people see now, oldest first in each chat."""
        chats = http("GET", f"{self.url}/_sim/shown")[1]
        return [(chat, text) for chat, texts in chats.items() for text in texts]

    def sends(self) -> list[dict[str, Any]]:
        """What reached a chat: sends that the platform did not recognise as repeats."""
        return [entry for entry in self.record("send") if not entry.get("duplicate")]


class Model(Process):
    """The test's language model server."""

    def __init__(self, home: Path) -> None:
        argv = [sys.executable, "-m", "tests.support.llm", "--port", "0"]
        super().__init__(argv, r"(http://\S+)", home / "llm.log")

    def behave(self, **how: Any) -> None:
        self._post("behave", how)

    def release(self) -> None:
        """Let all answers go that are held."""
        self._post("release", {})

    def record(self) -> list[dict[str, Any]]:
        """The requests so far, as ``LlmServer.record`` tells them."""
        return list(http("GET", self.url.removesuffix("/v1") + "/_llm/record")[1]["requests"])

    def _post(self, verb: str, body: Mapping[str, Any]) -> None:
        status, answer = http("POST", f"{self.url.removesuffix('/v1')}/_llm/{verb}", body)
        assert status == 200, answer


class Gateway(Process):
    """The gateway on a configuration directory."""

    def __init__(
        self, conf: Path, state: Path, *args: str, wait: float = PATIENCE, program: str = "hermes_green",
        more: Mapping[str, str] = {},
    ) -> None:  # fmt: skip
        argv = [sys.executable, "-m", program, "run", "--conf", str(conf), *args]
        env = {"HERMES_GREEN_STATE_DIR": str(state), **more}
        super().__init__(argv, r"^hermes-green ready (\S+)", conf.parent / "gateway.log", env, wait)

    def get(self, path: str) -> tuple[int, Any]:
        return http("GET", self.url + path)

    def post(self, path: str, body: Any = {}, **headers: str) -> tuple[int, Any]:
        return http("POST", self.url + path, body, headers)

    def status(self) -> Any:
        return self.get("/api/status")[1]

    def child(self, id: str) -> Any:
        return next(child for child in self.status()["children"] if child["id"] == id)

    def until_ready(self, seconds: float = PATIENCE) -> None:
        until(lambda: self.get("/readyz")[0] == 200, seconds, "every child READY")


class Stage:
    """A directory with configuration, data and state; ends whatever it started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program = "hermes_green"  # the module that is run as a gateway
        self.env: dict[str, str] = {}  # what gateways are told beside the usual
        self.conf = home / "conf"
        self.state = home / "state"
        self.conf.mkdir(parents=True, exist_ok=True)
        self._started: list[Process] = []
        self.write("gateway", {"http": {"port": 0}, "access": {"dm": "open", "group": "open"}})

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """One yaml file of the configuration (JSON is YAML)."""
        (self.conf / f"{name}.yaml").write_text(json.dumps(values, indent=1))

    def sim(self, platform: str, *args: str, port: int = 0) -> Sim:
        return self._keep(Sim(platform, self.home, *args, port=port))

    def model(self) -> Model:
        return self._keep(Model(self.home))

    def gateway(self, *args: str, wait: float = PATIENCE) -> Gateway:
        gateway = Gateway(self.conf, self.state, *args, wait=wait, program=self.program, more=self.env)
        return self._keep(gateway)

    def _keep(self, process: Any) -> Any:
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self._started):
            if process.popen.poll() is None:
                process.popen.kill()
                process.popen.wait()
            process.popen.stdout.close()
        # What a gateway that was killed has left in memory for the next one, which there will not be.
        one = place_of(self.home / "var", "")
        for left in one.parent.glob(f"{one.name.rpartition('-')[0]}-*"):
            left.unlink()


def credentials(sim: Sim) -> dict[str, Any]:
    """The platform file that leads to a simulator."""
    state = sim.state()
    if sim.platform == "feishu":
        return {"enabled": True, "app_id": state["app_id"], "app_secret": "sim-feishu-secret", "api_base": sim.url}
    if sim.platform == "dingtalk":
        return {"enabled": True, "client_id": state["client_id"], "client_secret": "sim-dingtalk-secret",
                "api_base": sim.url}  # fmt: skip
    if sim.platform == "telegram":
        return {"enabled": True, "token": f"{state['bot']}:sim-telegram-token-0123456789abcdef", "api_base": sim.url}
    if sim.platform == "slack":
        tokens = {name: state[name] for name in ("bot_token", "app_token")}
        return {"enabled": True, **tokens, "api_base": sim.url}
    if sim.platform == "wecom":
        return {"enabled": True, "bot_id": "sim-wecom-bot", "secret": "sim-wecom-secret", "api_base": sim.url,
                "ws_base": sim.url.replace("http", "ws", 1)}  # fmt: skip
    return {"enabled": True, "app_id": "102000001", "client_secret": "sim-client-secret", "api_base": sim.url,
            "token_base": sim.url}  # fmt: skip
