"""Lab: everything that ``try`` needs: simulated platforms in a child process, and a configuration that leads to them.

The child ends when its standard input does, and so with us, however we end. Nothing is kept: configuration,
data and state live in a temporary directory.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Mapping, Sequence
from urllib.parse import urlsplit

import gevent

from hermes_green.core.errors import ConfError, HermesError, LinkLost

STATE_VARIABLE = "HERMES_GREEN_STATE_DIR"
DEFAULT_PORT = 8787
START_WITHIN = 30.0
ANSWER_WITHIN = 5.0
MAX_SAID = 500
# Lines of a user's own are told apart from the platform's by their id.
OURS = "user "
# Links are watched closely here, so that a fault shows within seconds rather than minutes.
WATCH = {"ping_interval": 5, "ping_timeout": 3}
GATEWAY: Mapping[str, Any] = {
    "access": {"dm": "open", "group": "open"},
    "agent": {"type": "echo", "pace": 0.12},
    "supervisor": {"healthy_after": 3, "backoff_max": 5, "drain_seconds": 3},
}
USER_KINDS = ("dm", "group")


class Lab:
    """The simulated platforms of one trial; ``with`` ends and removes everything.

    ``port``: for the page; None is the usual one, or a free one where that is taken. What the page asks of it
    is ``web.facade.Lab``.
    """

    def __init__(self, port: int | None = None) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="hermes-green-try-"))
        self._before = os.environ.get(STATE_VARIABLE)
        self.conf = self._home / "conf"
        self._said: dict[str, deque[dict[str, Any]]] = {}
        self._serial = 0
        self._town: subprocess.Popen[bytes] | None = None
        try:
            free = _free(DEFAULT_PORT if port is None else port)
            if port and not free:
                raise ConfError(f"port {port} is taken", action="choose another --port, or leave it out")
            self._facts = self._start()
            self._configure(free)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the simulators and remove what was written."""
        if self._town is not None:
            assert self._town.stdin is not None and self._town.stdout is not None
            self._town.stdin.close()
            try:
                self._town.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._town.kill()
                self._town.wait()
            self._town.stdout.close()
        if self._before is None:
            os.environ.pop(STATE_VARIABLE, None)
        else:
            os.environ[STATE_VARIABLE] = self._before
        shutil.rmtree(self._home, ignore_errors=True)

    # --- what the page asks -------------------------------------------------------------------------

    def platforms(self) -> Sequence[Mapping[str, Any]]:
        """``[{name, title, kinds, faults: [{id, label, lasts}]}]``, in the order in which they are shown."""
        return [
            {
                "name": name,
                "title": facts["title"],
                "kinds": USER_KINDS,
                "faults": [
                    {"id": id, "label": fault["label"], "lasts": fault["lasts"]}
                    for id, fault in facts["faults"].items()
                ],
            }
            for name, facts in self._facts.items()
        ]

    def seen(self, platform: str, since: int = 0) -> dict[str, Any]:
        """What the users see: ``{now, lines: [{id, role, chat, text, at, growing, changes, gone}], on, links, sent,
        violations}``; of the platform's lines those that changed after ``since``. ``on``: ids of lasting faults."""
        shown = self._ask(platform, "GET", f"seen?since={since}")
        state = self._ask(platform, "GET", "state")
        lines = [
            {
                "id": bubble["id"],
                "role": "assistant",
                "at": bubble["t"],
                **{name: bubble[name] for name in ("chat", "text", "growing", "changes", "gone")},
            }
            for bubble in shown["bubbles"]
        ]
        faults = self._facts[platform]["faults"]
        return {
            "now": shown["now"],
            "lines": [*self._said.get(platform, ()), *lines],
            "on": [id for id, fault in faults.items() if fault["lasts"] and fault["name"] in state["faults"]],
            **{name: state[name] for name in ("sent", "violations")},
            "links": len(state["links"]),
        }

    def say(self, platform: str, text: str, kind: str = "dm") -> dict[str, Any]:
        """A user writes to the bot, in a direct chat or mentioning it in a group; the line as ``seen`` has it.

        Raises:
            ConfError: no such kind of chat, or the platform takes no such message.
        """
        if kind not in USER_KINDS:
            raise ConfError(f"there is no chat of the kind {kind[:40]!r}; there are: {', '.join(USER_KINDS)}")
        chat_type = self._facts[platform]["groups"] if kind == "group" else kind
        at = time.time()
        told = self._ask(platform, "POST", "say", {"text": text, "chat_type": chat_type})
        self._serial += 1
        line = {"id": f"{OURS}{self._serial}", "role": "user", "chat": told["chat"], "text": text, "at": at}
        line |= {"kind": kind, "growing": False, "changes": 0, "gone": False}
        self._said.setdefault(platform, deque(maxlen=MAX_SAID)).append(line)
        return line

    def fault(self, platform: str, id: str) -> None:
        """Switch a fault on, or let it happen. Raises ConfError: no such fault."""
        known = self._facts[platform]["faults"]
        if id not in known:
            raise ConfError(f"there is no fault {id[:40]!r}; there are: {', '.join(known)}")
        self._ask(platform, "POST", "fault", {"name": known[id]["name"], **known[id]["args"]})

    def clear(self, platform: str, id: str | None = None) -> None:
        """Switch one fault off, or all. Raises ConfError: no such fault."""
        known = self._facts[platform]["faults"]
        if id is not None and id not in known:
            raise ConfError(f"there is no fault {id[:40]!r}; there are: {', '.join(known)}")
        self._ask(platform, "POST", "clear", {"name": known[id]["name"]} if id is not None else {})

    # --- the child ----------------------------------------------------------------------------------

    def _start(self) -> dict[str, dict[str, Any]]:
        """Start the simulators; their facts, once all of them serve."""
        argv = [sys.executable, "-m", "hermes_green", "sim", "all", "--json", "--until-eof"]
        pipe = subprocess.PIPE
        # A session of its own: Ctrl-C is for the gateway, which closes its links before they go.
        town = self._town = subprocess.Popen(argv, stdin=pipe, stdout=pipe, start_new_session=True)
        assert town.stdout is not None
        facts: dict[str, dict[str, Any]] = {}
        with gevent.Timeout(START_WITHIN, HermesError(f"the simulators did not start within {START_WITHIN:.0f} s")):
            for line in iter(town.stdout.readline, b""):
                one = json.loads(line)
                facts[one["platform"]] = one
                if len(facts) == one["of"]:
                    return facts
        raise HermesError(f"the simulators ended with exit code {town.wait()}; what they said stands above")

    def _configure(self, port: int) -> None:
        """Write the configuration; from here on this process keeps locks and dials beside it."""
        os.environ[STATE_VARIABLE] = str(self._home / "state")
        self.conf.mkdir()
        files = {"gateway": {**GATEWAY, "http": {"port": port}, "locale": locale_of(os.environ)}}
        files |= {name: {**facts["conf"], **WATCH} for name, facts in self._facts.items()}
        for name, values in files.items():
            # JSON is YAML.
            (self.conf / f"{name}.yaml").write_text(json.dumps(values, indent=1), "utf-8")

    def _ask(self, platform: str, method: str, verb: str, body: Mapping[str, Any] | None = None) -> Any:
        """One word with a simulator. Raises LinkLost: it does not answer; ConfError: it refuses."""
        where = urlsplit(self._facts[platform]["url"])
        connection = HTTPConnection(str(where.hostname), where.port, timeout=ANSWER_WITHIN)
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/_sim/{verb}", payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise LinkLost(f"the simulated platform does not answer: {error}", code="lab") from error
        finally:
            connection.close()
        if response.status != 200:
            raise ConfError(str(said.get("error", said)), code="lab")
        return said


def locale_of(env: Mapping[str, str]) -> str:
    """The gateway's language that this machine's user will want."""
    said = env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    return "zh" if said.lower().startswith("zh") else "en"


def _free(port: int) -> int:
    """This port, or 0 (any) where somebody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port
