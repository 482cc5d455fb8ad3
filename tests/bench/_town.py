"""Town: Feishu, QQ, the web chat and a gateway as processes of their own, and how figures are printed."""

from __future__ import annotations

import http.client as httplib
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Sequence
from urllib.parse import urlsplit

from tests.support.stage import ROOT, Gateway, Process, Sim, Stage, credentials, http

QUICK = "--quick" in sys.argv
MB = 1024 * 1024

# A user's second start finds bytecode; an environment without it would measure the compiler.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".cache" / "bytecode")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def figure(name: str, value: float, unit: str, aim: float | None = None, note: str = "") -> bool:
    """Print one figure with its aim beside it; True when it is met."""
    met = aim is None or value <= aim
    beside = "" if aim is None else f"  aim {aim:g} {unit}  {'ok' if met else 'MISSED'}"
    print(f"  {name:46} {value:9.2f} {unit:3}{beside}{'  ' + note if note else ''}", flush=True)
    return met


def median(values: Sequence[float]) -> float:
    """The middle one; other people's load on the machine moves it least."""
    return statistics.median(values)


class Blaster(Sim):
    """The simulated Feishu that can also flood: see `tests.bench._blast`."""

    def __init__(self, home: Path) -> None:
        argv = [sys.executable, "-m", "tests.bench._blast"]
        Process.__init__(self, argv, r"^sim \S+ (\S+)", home / "blast.log")
        self.platform = "feishu"
        self._seen = 0
        self.entries: list[dict[str, Any]] = []

    def blast(self, **how: Any) -> dict[str, Any]:
        """Flood; returns when it is over."""
        status, answer = http("POST", f"{self.url}/_sim/blast", how, timeout=60)
        assert status == 200, answer
        return dict(answer)


class Town:
    """``with Town() as town``: the simulators run; ``town.open()`` starts a gateway on them."""

    def __init__(
        self, feishu: Sequence[str] = (), qq: Sequence[str] = (), blaster: bool = False, **gateway: Any
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="hermes-green-bench-"))
        self.stage = Stage(self.home)
        self._rules = (tuple(feishu), tuple(qq))
        self._gateway = gateway
        self._blaster = blaster

    def __enter__(self) -> Town:
        try:
            stage = self.stage
            self.feishu: Sim = Blaster(self.home) if self._blaster else stage.sim("feishu", *self._rules[0])
            self.qq: Sim = self.stage.sim("qq", *self._rules[1])
            self.configure(**self._gateway)
            self.stage.write("feishu", credentials(self.feishu))
            self.stage.write("qq", credentials(self.qq))
        except BaseException:
            self.__exit__()
            raise
        return self

    def configure(self, **gateway: Any) -> None:
        """Write gateway.yaml."""
        self.stage.write("gateway", {"http": {"port": 0}, "access": {"dm": "open"}, **gateway})

    def open(self, ready: bool = True) -> Gateway:
        """A gateway, with all of its links."""
        gateway = self.stage.gateway()
        if ready:
            gateway.until_ready()
        return gateway

    def __exit__(self, *exc: object) -> None:
        if self._blaster and hasattr(self, "feishu"):
            self.feishu.kill()
            self.feishu.popen.stdout.close()
        self.stage.close()
        shutil.rmtree(self.home, ignore_errors=True)


class Page:
    """A browser's half of the web chat: one kept connection for posts, one stream of answers."""

    def __init__(self, url: str, chat: str = "bench") -> None:
        host = urlsplit(url).netloc
        self._chat = chat
        self._posts = httplib.HTTPConnection(host, timeout=10)
        self._posts.connect()
        self._posts.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._events = httplib.HTTPConnection(host, timeout=10)
        self._events.request("GET", f"/api/events?chat={chat}")
        self._stream = self._events.getresponse()
        self._answers = self._read()

    def turn(self, text: str) -> float:
        """Post ``text``; seconds until its answer is here."""
        began = time.perf_counter()
        body = json.dumps({"text": text, "chat": self._chat})
        self._posts.request("POST", "/api/chat", body, {"Content-Type": "application/json"})
        answer = self._posts.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        for line in self._answers:
            if line["role"] == "assistant" and line["text"].endswith(text):
                return time.perf_counter() - began
        raise AssertionError("the stream of answers ended")

    def close(self) -> None:
        self._posts.close()
        self._events.close()

    def _read(self) -> Iterator[dict[str, Any]]:
        for raw in self._stream:
            if raw.startswith(b"data: "):
                yield json.loads(raw[6:])


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
