"""FakeGateway and Site: the web on a real socket, with a gateway that only remembers what it was asked."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, Mapping

from gevent.queue import Empty, Queue
from loguru import logger

from hermes_green.adapters.web import Settings, create
from hermes_green.adapters.web.mailbox import Mailbox
from hermes_green.core.clock import rfc3339
from hermes_green.core.errors import KeyReused, StoreAway, UnknownChat, UnknownChild
from hermes_green.core.model import Message, Part, Peer
from hermes_green.core.ports import AuditLine, DeadLetter, Line, Sent, SessionInfo
from hermes_green.runtime.pairing import Paired, PairingRefused
from hermes_green.web.facade import Lab
from hermes_green.web.guard import Guard
from hermes_green.web.history import History
from hermes_green.web.server import Server
from hermes_green.web.views import Views
from tests.support.port import FakeContext, FakePort, Run


@dataclass
class Happened:
    """An event, as the runtime's bus gives it."""

    name: str
    at: float
    data: Mapping[str, Any]


class Ears:
    """A subscription."""

    def __init__(self, gateway: "FakeGateway") -> None:
        self._gateway = gateway
        self.queue: Queue = Queue()

    def get(self, timeout: float) -> Happened | None:
        try:
            return self.queue.get(timeout=timeout)
        except Empty:
            return None

    def close(self) -> None:
        self._gateway.ears.discard(self)


def child(id: str, state: str = "READY", **more: Any) -> dict[str, Any]:
    """One child of the status JSON."""
    return {
        "id": id, "platform": id.partition("/")[0], "account": id.partition("/")[2], "state": state,
        "since": rfc3339(time.time() - 600), "connected": state == "READY",
        "reason": {"code": "", "text": "", "action": ""}, "link_age": 600.0 if state == "READY" else None,
        "last_inbound_age": 12.0, "last_proof_age": 1.0, "dials": [], "cooldown_until": None, "restarts": 0,
        "losses": 0, "suspect": False, **more,
    }  # fmt: skip


@dataclass
class FakePairing:
    """Who waits with a code, and who was let in."""

    waiting: list[dict[str, Any]] = field(default_factory=list)
    paired: list[dict[str, Any]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        return {"waiting": self.waiting, "paired": self.paired}

    def approve(self, code: str) -> Paired:
        found = next((each for each in self.waiting if each["code"] == code), None)
        if found is None:
            raise PairingRefused("this pairing code is not valid (any more)", code="pairing_code", action="ask again")
        self.waiting.remove(found)
        paired = Paired(found["child"], found["user"], found["name"], time.time())
        self.paired.append(
            {"child": paired.child, "user": paired.user, "name": paired.name, "at": rfc3339(paired.at)}
        )
        return paired

    def revoke(self, child: str, user: str) -> bool:
        before = len(self.paired)
        self.paired = [each for each in self.paired if (each["child"], each["user"]) != (child, user)]
        return len(self.paired) < before


@dataclass
class FakeGateway:
    """The facade of ``web.facade``; tests read and set its fields."""

    children: list[dict[str, Any]] = field(default_factory=lambda: [child("web")])
    away: bool = False
    ears: set[Ears] = field(default_factory=set)
    sends: dict[str, tuple[Any, Sent]] = field(default_factory=dict)
    commands: list[tuple[str, str]] = field(default_factory=list)
    reload_result: dict[str, Any] = field(
        default_factory=lambda: {"ok": True, "changed": [], "restart_required": [], "errors": []}
    )
    stopped: bool = False
    letters: list[DeadLetter] = field(default_factory=list)
    lines: list[tuple[str, Line]] = field(default_factory=list)
    talks: dict[str, list[str]] = field(default_factory=dict)
    pairing: FakePairing = field(default_factory=FakePairing)
    more: dict[str, Any] = field(default_factory=dict)  # fields of the status beside these

    def happen(self, name: str, **data: Any) -> None:
        for ears in self.ears:
            ears.queue.put(Happened(name, time.time(), data))

    def status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0", "pid": os.getpid(), "started_at": rfc3339(time.time()), "hub_lag_ms": 1.2,
            "inbox": 0, "outbox": 0, "dead": len(self.letters), "turns": 0, "children": self.children,
            "oldest_undelivered": None, "locale": "en",
            "config": {"ok": True, "errors": [], "restart_required": [], "at": rfc3339(time.time())}, "hooks": [],
            **self.more,
        }  # fmt: skip

    def health(self) -> dict[str, Any]:
        return {"hub_lag_ms": 1.2, "pid": os.getpid(), "store": "away" if self.away else "ok"}

    @property
    def records(self) -> "FakeGateway":
        return self

    def readiness(self, name: str | None = None) -> tuple[bool, dict[str, Any]]:
        asked = [c for c in self.children if name in (None, c["id"])]
        if not asked:
            raise UnknownChild(str(name))
        bad = [{"id": c["id"], "state": c["state"], "reason": c["reason"]} for c in asked if c["state"] != "READY"]
        return not bad, {"ready": not bad, "not_ready": bad}

    def send(self, child, chat, text, thread=None, reply_to=None, key="") -> Sent:
        if self.away:
            raise StoreAway("the disk is full", action="free disk space")
        known = tuple(c["id"] for c in self.children)
        if child not in known:
            raise UnknownChild(child, known)
        if chat == "?":
            raise UnknownChat("the kind of chat '?' cannot be told", action="put user: or group: before it")
        body = (child, chat, text, thread, reply_to)
        if key in self.sends and self.sends[key][0] != body:
            raise KeyReused("the Idempotency-Key was used for another message", action="use a new key")
        if key not in self.sends:
            key = key or f"k{len(self.sends)}"
            self.sends[key] = (body, Sent(f"s-{len(self.sends) + 1}", "queued"))
        return self.sends[key][1]

    def sent(self, id: str) -> Sent | None:
        return next((sent for _, sent in self.sends.values() if sent.id == id), None)

    def command(self, child: str, verb: str) -> dict[str, Any]:
        found = next((c for c in self.children if c["id"] == child), None)
        if found is None:
            raise UnknownChild(child)
        self.commands.append((child, verb))
        found["state"] = "STOPPED" if verb == "stop" else "READY"
        return found

    def reload(self) -> dict[str, Any]:
        return self.reload_result

    def stop(self) -> None:
        self.stopped = True

    def dead(self, limit: int) -> list[DeadLetter]:
        return self.letters[:limit]

    def dead_retry(self, id: str) -> bool:
        return self.dead_drop(id)

    def dead_drop(self, id: str) -> bool:
        before = len(self.letters)
        self.letters = [letter for letter in self.letters if letter.id != id]
        return len(self.letters) < before

    def audit(self, since: float, limit: int) -> list[AuditLine]:
        who = ("web", "main", "dm", None, "u", None, "web:main", "m", "t")
        line = AuditLine(1700000000.0, *who, "text", 5, "done", "", 1, 0.5, None)
        return [line] if since <= line.at else []

    def sessions(self, limit: int) -> list[SessionInfo]:
        return [SessionInfo(id, "web", "main", len(talk), 1700000000.0) for id, talk in self.talks.items()][:limit]

    def session(self, id: str, turns: int = 20) -> list[Message]:
        return [Message("user", text) for text in self.talks.get(id, [])]

    def reset_session(self, id: str) -> bool:
        return self.talks.pop(id, None) is not None

    def transcript(self, child: str, chat: str, limit: int = 100) -> list[Line]:
        return [line for where, line in self.lines if where == chat][-limit:]

    def subscribe(self) -> Ears:
        ears = Ears(self)
        self.ears.add(ears)
        return ears


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json()["error"]["code"]


class Site:
    """Gateway (fake), mailbox, web adapter (both real, on a FakePort) and server on a free port."""

    def __init__(self, token: str = "", host: str = "127.0.0.1", port: int = 0, chat: bool = True,
                 history: History | None = None, lab: Lab | None = None) -> None:  # fmt: skip
        self.gateway = FakeGateway()
        self.mailbox = Mailbox()
        self.ctx = FakeContext("web", log=logging.getLogger("web"))
        self.adapter = create(Settings(), self.ctx, self.mailbox)
        self.run = Run(self.adapter, port=FakePort(self.ctx)).until_ready()
        box = self.mailbox if chat else None
        self.views = Views(self.gateway, lambda: box, lambda: b"hermes_green_up 1\n", Guard(host, token), logger,
                           lab=lab, history=history)  # fmt: skip
        self.server = Server(host, port, self.views, logger)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()
        self.run.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with underscores, "" leaves one out."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if method == "POST":
            named.setdefault("Content-Type", "application/json")
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in named)
            for name, value in named.items():
                if value:
                    connection.putheader(name, value)
            if method == "POST":
                connection.putheader("Content-Length", str(len(data or b"")))
            connection.endheaders(data)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def reply(self, text: str, chat: str = "main", key: str = "k1", to: str = "") -> None:
        """Deliver an answer as the runtime would."""
        part = Part(key, 1, 0, Peer("web", chat, "dm"), {"text": text}, {"message_id": to} if to else {})
        self.adapter.send(part, None)


class Listener:
    """A reader of server-sent events."""

    def __init__(self, site: Site, path: str, **headers: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", site.server.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers=named)
        self.response = self._connection.getresponse()
        if self.response.status == 200:
            self.next()  # the welcome: from here on nothing is missed

    def next(self) -> dict[str, Any] | None:
        """The next event ``{event, id, data}`` (an empty one for a comment); None at the end."""
        found: dict[str, Any] = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            if line == "\n":
                return found
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "data":
                found["data"] = json.loads(value)
            elif name in ("event", "id"):
                found[name] = value

    def close(self) -> None:
        self._connection.close()
