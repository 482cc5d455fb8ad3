"""The gateway as another process sees it: its locks, its answers, and who starts it again.

Part of monitor_gateway.py, and like it for any Python from 3.9 on, without anything installed.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
STARTING = 120.0  # seconds: a process this young may hold the lock and not answer yet
WITHIN = 30.0  # seconds for an answer of supervisord's


@dataclass
class Look:
    """What was seen: ``state`` is fine, starting, stale or down; ``pid`` 0 when unknown."""

    state: str
    pid: int = 0
    why: str = ""
    deaf: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Denied(OSError):
    """It answered, and did not give what was asked for."""


class Refused(Exception):
    """It was decided not to do it, or it could not be done; the text says why."""


class Home:
    """Where the gateway of a configuration directory keeps its data, its locks and its address."""

    def __init__(self, conf: Path, data_dir: str) -> None:
        self.conf = conf
        said = data_dir or self._setting("data_dir") or "var"
        self.data = Path(said).expanduser() if data_dir else conf.absolute().parent / Path(said).expanduser()
        self.lock = self.data / "gateway.lock"

    def _setting(self, key: str, env: dict[str, str] | None = None) -> str:
        """One scalar of gateway.yaml, good enough for the few that are needed here; ``env``: where its variables are
        looked up first."""
        for name in ("gateway.local.yaml", "gateway.yaml"):
            try:
                text = (self.conf / name).read_text("utf-8", "replace")
            except OSError:
                continue
            value = r"""("[^"\n]*"|'[^'\n]*'|(?:\$\{[^}\n]*\}|[^\s,}#])+)"""
            found = re.search(rf"""^[^#\n]*?(?<![\w-])["']?{key}["']?\s*:[ \t]*{value}""", text, re.M)
            if found:
                return self._resolved(found[1].strip("\"'"), {**os.environ, **(env or {})})
        return ""

    def _resolved(self, value: str, env: dict[str, str]) -> str:
        if value.startswith("file:"):
            return (self.conf / value[5:]).read_text("utf-8").strip()
        told = {name: text.rstrip("\r\n") for name, text in env.items()}  # as the gateway takes it
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda match: told.get(match[1]) or match[2] or "", value)

    def _token(self, pid: int) -> str:
        """As the gateway was given it; empty where we cannot know."""
        try:
            return self._setting("token", environ_of(pid))
        except (OSError, ValueError):
            return ""

    def names(self, pid: int) -> bool:
        """Whether the process that goes by this number here has the lock's file open: in another container numbers
        mean other processes, and they are used again. True where the system does not tell."""
        try:
            lock, files = os.stat(self.lock), os.listdir(f"/proc/{pid}/fd")
        except OSError:
            return True
        return any(_same(f"/proc/{pid}/fd/{file}", lock) for file in files)

    def owner(self) -> tuple[int, float] | None:
        """Pid (0: not written yet) and age in seconds of the lock's holder; None while it is free."""
        if free(self.lock):
            return None
        try:
            said = json.loads(self.lock.read_text("utf-8"))
            began = datetime.fromisoformat(str(said["started_at"]).replace("Z", "+00:00")).timestamp()
            return int(said["pid"]), max(0.0, time.time() - began)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0.0

    def locks_of(self, pid: int) -> list[Path]:
        """Where the locks of a living process may lie: its data directory's and those of its bots."""
        its = environ_of(pid)
        state = its.get("HERMES_GREEN_STATE_DIR") or os.environ.get("HERMES_GREEN_STATE_DIR") or ""
        folder = state.rstrip("\r\n") or os.path.join(its.get("HOME") or "~", ".local/state/hermes-green")
        return [self.lock, *sorted(Path(os.path.expanduser(folder)).glob("*.lock"))]

    def held_by(self, pid: int, locks: list[Path]) -> list[str]:
        """Those that are still held in this process's name, were it by what it has started."""
        found = []
        for path in locks:
            try:
                mine = json.loads(path.read_text("utf-8")).get("pid") == pid
            except (OSError, ValueError, AttributeError):
                continue
            if mine and not free(path):
                found.append(str(path))
        return found

    def ask(self, method: str, path: str, pid: int, timeout: float) -> Any:
        """The decoded answer of the gateway with this pid. Raises OSError when there is none in time, Denied for one
        that is no consent."""
        try:
            said = json.loads((self.data / "gateway.json").read_text("utf-8"))
            url = urlsplit(str(said["http"]))
            if int(said["pid"]) != pid or not url.port:
                raise OSError("gateway.json is another process's")
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"gateway.json cannot be read: {error}") from None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(url.hostname), str(url.hostname))
        headers = {"Content-Type": "application/json"}
        token = self._token(pid)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(host, url.port, timeout=timeout)
        try:
            connection.request(method, path, "{}" if method == "POST" else None, headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 400:
                raise Denied(f"{path} answered {answer.status}")
            return json.loads(body) if body else None
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"{path}: {type(error).__name__}") from None
        finally:
            connection.close()


def _same(path: str, other: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), other)
    except OSError:
        return False


def free(path: Path) -> bool:
    """Nobody holds the lock on this file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise


def environ_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where the system does not tell."""
    try:
        raw = os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in raw.split("\0") if "=" in pair)


def stopped(pid: int) -> bool:
    """A signal has stopped the process (SIGSTOP)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, IndexError):
        return False


# --- looking ---------------------------------------------------------------------------------------


def look(home: Home, timeout: float, confirm: float) -> Look:
    """What the gateway looks like now; what seems stale is looked at again ``confirm`` seconds later."""
    first = glance(home, timeout)
    if first.state != "stale":
        return first
    time.sleep(confirm)
    second = glance(home, timeout)
    if second.state == "stale" and second.pid != first.pid:
        return Look("starting", second.pid, "it has just been replaced")
    if second.deaf and first.deaf:
        second.deaf = [child for child in second.deaf if child in first.deaf]
        if not second.deaf:
            return Look("fine", second.pid, "", [], second.notes)
    return second


def glance(home: Home, timeout: float) -> Look:
    """One look, which a moment's trouble may deceive."""
    holder = home.owner()
    if holder is None:
        return Look("down", 0, f"nobody holds the data directory {home.data}")
    pid, age = holder
    try:
        health = home.ask("GET", "/healthz", pid, timeout)
        try:
            status = home.ask("GET", "/api/status", pid, timeout)
        except Denied as denied:  # no restart would mend that
            return Look("fine", pid, "", [], [f"its children cannot be looked at: {denied} (http.token)"])
    except OSError as error:
        if age < STARTING and not stopped(pid) and not isinstance(error, socket.timeout):
            return Look("starting", pid, f"it holds the data directory for {age:.0f} s and does not answer yet")
        cause = "it was stopped by a signal" if stopped(pid) else f"{error or type(error).__name__}"
        return Look("stale", pid, f"the process lives and /healthz does not answer within {timeout:g} s: {cause}")
    notes = [] if health.get("store") == "ok" else [f"store {health.get('store')}"]
    deaf = []
    for child in status.get("children", ()):
        said = str(child.get("state"))
        reason = (child.get("reason") or {}).get("text") or ""
        if said == "READY" and not child.get("connected"):
            deaf.append(str(child["id"]))
        elif said != "READY":
            until = f" until {child['cooldown_until']}" if child.get("cooldown_until") else ""
            notes.append(f"{child['id']} {'cooling' if until else said}{until}" + (f": {reason}" if reason else ""))
        if child.get("suspect"):
            notes.append(f"{child['id']} suspect")
    if deaf:
        why = f"READY without proof of life within the deadline: {', '.join(deaf)}"
        return Look("stale", pid, why, deaf, notes)
    return Look("fine", pid, "", [], notes)


# --- the ways to start it again --------------------------------------------------------------------


class Supervisord:
    """Over its own XML-RPC; the address stands in the environment of every process it starts."""

    def __init__(self, env: dict[str, str], name: str) -> None:
        self.says = f"supervisord {name}"
        self._url, self._name = env["SUPERVISOR_SERVER_URL"], name
        self._login = (env.get("SUPERVISOR_USERNAME", ""), env.get("SUPERVISOR_PASSWORD", ""))

    def start(self) -> None:
        try:
            self._call("startProcess", self._name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != 60:  # ALREADY_STARTED: it was quicker than we
                raise Refused(f"supervisord says {fault.faultString}") from None
        except (OSError, xmlrpc.client.Error) as error:
            raise Refused(f"supervisord at {self._url} does not answer: {error}") from None

    def _call(self, method: str, *args: Any) -> Any:
        url, (user, secret) = self._url, self._login
        # Not in the address, which errors quote.
        login = base64.b64encode(f"{user}:{secret}".encode()).decode()
        headers = [("Authorization", f"Basic {login}")] if user else []
        transport: xmlrpc.client.Transport = Transport(headers=headers)
        if url.startswith("unix://"):
            transport, url = UnixTransport(url[len("unix://") :], headers), "http://127.0.0.1"
        return getattr(xmlrpc.client.ServerProxy(url, transport).supervisor, method)(*args)


class Transport(xmlrpc.client.Transport):
    """XML-RPC that does not wait for ever."""

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = WITHIN
        return connection


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a socket in the file system."""

    def __init__(self, path: str, headers: list[tuple[str, str]]) -> None:
        super().__init__(headers=headers)
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        _, self._extra_headers, _ = self.get_host_info(host)
        connection = http.client.HTTPConnection("127.0.0.1", timeout=WITHIN)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(WITHIN)
        connection.sock.connect(self._path)
        return connection


class Command:
    """A program that starts it: a service manager's, or (``apart``) the gateway's own command."""

    def __init__(self, says: str, argv: list[str], *, apart: bool = False, cwd: str = "", env: Any = None) -> None:
        self.says = says
        self.apart = apart
        self._argv, self._cwd, self._env = argv, cwd or str(ROOT), env or dict(os.environ)
        self.output = os.devnull

    def start(self) -> None:
        try:
            if self.apart:
                with open(self.output, "ab") as out:
                    subprocess.Popen(
                        self._argv, cwd=self._cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                        start_new_session=True,
                    )  # fmt: skip
                return
            done = subprocess.run(self._argv, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(f"{' '.join(self._argv)}: {error}") from None
        if done.returncode:
            raise Refused(f"{' '.join(self._argv)} ended with {done.returncode}: {done.stderr.strip()}")


def way_of(home: Home, pid: int, via: str, name: str) -> Supervisord | Command:
    """Who starts the gateway: as told, else as its process shows. Raises Refused."""
    env = environ_of(pid)
    if via == "auto":
        via = detected(pid, env)
    if via == "supervisord":
        env = env if env.get("SUPERVISOR_SERVER_URL") else dict(os.environ)
        if not env.get("SUPERVISOR_SERVER_URL"):
            raise Refused("set SUPERVISOR_SERVER_URL (unix:///path/supervisor.sock): no process tells it")
        group, process = env.get("SUPERVISOR_GROUP_NAME", ""), env.get("SUPERVISOR_PROCESS_NAME", "")
        ours = f"{group}:{process}" if group and pid and environ_of(pid) == env else ""
        return Supervisord(env, name or ours or "hermes-green")
    if via == "systemd":
        unit = name or unit_of(pid) or "hermes-green.service"
        scope = ["--user"] if "/user@" in cgroup_of(pid) else []
        return Command(f"systemd {unit}", ["systemctl", *scope, "start", unit])
    if via == "launchd":
        label = name or "com.hermes-green"
        return Command(f"launchd {label}", ["launchctl", "kickstart", f"gui/{os.getuid()}/{label}"])
    return own_way(home, pid, env)


def own_way(home: Home, pid: int, env: dict[str, str]) -> Command:
    """The command, directory and environment that it runs with now, else the shipped script."""
    try:
        words = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).rstrip("\0").split("\0")
        argv, cwd = [word for word in words if word != "--replace"], os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        argv, cwd = [str(ROOT / "scripts" / "run_gateway.sh"), "--conf", str(home.conf.absolute())], str(ROOT)
    way = Command("its own command", argv, apart=True, cwd=cwd, env=env)
    way.output = str(home.data / "gateway.out.log")
    return way


def detected(pid: int, env: dict[str, str]) -> str:
    """Who looks after this process."""
    if env.get("SUPERVISOR_ENABLED") and env.get("SUPERVISOR_SERVER_URL"):
        return "supervisord"
    if env.get("INVOCATION_ID") and unit_of(pid) and shutil.which("systemctl"):
        return "systemd"
    if sys.platform == "darwin" and shutil.which("launchctl"):
        known = subprocess.run(["launchctl", "print", f"gui/{os.getuid()}/com.hermes-green"], capture_output=True)
        if known.returncode == 0:
            return "launchd"
    return "own"


def cgroup_of(pid: int) -> str:
    """The control group of a process; empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text().strip()
    except OSError:
        return ""


def unit_of(pid: int) -> str:
    """The innermost systemd service that a process belongs to, unless that is a whole login."""
    found = re.findall(r"/([^/]+\.service)(?=/|$)", cgroup_of(pid))
    return found[-1] if found and not found[-1].startswith("user@") else ""
