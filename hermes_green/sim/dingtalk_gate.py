"""The simulated DingTalk's connections: tickets, signs of life, announced ends, stuck routing."""

from __future__ import annotations

import time
import uuid
from collections import deque
from typing import Any

import gevent

from hermes_green.sim import dingtalk_frames as frames
from hermes_green.sim.dingtalk_rules import DingTalkRules
from hermes_green.sim.kit import Answer, Link, Request
from hermes_green.sim.kit_watch import Watchful

OPEN = "/v1.0/gateway/connections/open"
XML = b"<?xml version='1.0'?><connection/>"


class DingTalkGate(Watchful):
    """The half of the platform that keeps links; the other half is `dingtalk.DingTalkSim`."""

    platform = "dingtalk"
    ws_path = "/connect"
    options_type = DingTalkRules

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.stuck_until = 0.0
        self._tickets: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self._subscribed: dict[str, frozenset[tuple[str, str]]] = {}
        self._opens: deque[float] = deque()

    # -- asking for a connection

    def is_dial(self, request: Request) -> bool:
        """Asking for a connection begins each dial."""
        return request.path == OPEN

    def refusal(self, request: Request, status: int) -> Answer:
        """A refused dial; 401 as for wrong credentials."""
        code = "authFailed" if status == 401 else "ServiceUnavailable"
        return refused(status, code, "refused by the simulator")

    def open_connection(self, request: Request) -> Answer:
        """A ticket for whoever has the credentials."""
        if "application/json" not in request.headers.get("accept", ""):
            return Answer(200, XML, {"Content-Type": "application/xml"})
        body = request.json()
        if body.get("clientId") != self.options.client_id or body.get("clientSecret") != self.options.client_secret:
            return refused(401, "authFailed", "鉴权失败")
        wanted = body.get("subscriptions")
        topics = frozenset(
            (str(entry.get("type")), str(entry.get("topic"))) for entry in wanted or () if isinstance(entry, dict)
        )
        if not topics:
            return refused(400, "invalidParameter", "subscriptions is empty")
        ticket = str(uuid.uuid4())
        self._tickets[ticket] = (time.monotonic() + self.options.ticket_seconds, topics)
        return Answer(200, {"endpoint": self.ws_url, "ticket": ticket})

    def admit(self, request: Request) -> Answer | None:
        """A ticket opens one connection, in time."""
        ticket = request.query.get("ticket", "")
        until, topics = self._tickets.pop(ticket, (0.0, frozenset()))
        if until < time.monotonic():
            self.violation("a ticket used twice, too late or made up")
            return refused(401, "invalidTicket", "ticket is invalid")
        self._subscribed[ticket] = topics
        return None

    # -- a connection's life

    def opened(self, link: Link) -> None:
        """Greet it, and count it toward stuck routing."""
        now = time.monotonic()
        topics = self._subscribed.pop(link.request.query.get("ticket", ""), frozenset())
        link.memo.update(subscribed=topics, pinged=now, kept=now, asked={}, own=set())
        self._opens.append(now)
        rules = self.options
        while self._opens and self._opens[0] < now - rules.stuck_window:
            self._opens.popleft()
        if rules.stuck_opens and len(self._opens) >= rules.stuck_opens:
            self.stuck(rules.stuck_seconds)
        if not rules.quiet:
            for topic in ("CONNECTED", "REGISTERED"):
                self._system(link, topic, {})

    def stuck(self, seconds: float) -> None:
        """From now on messages reach nobody for so long."""
        self.stuck_until = time.monotonic() + seconds
        self.log.add("stuck", seconds=seconds, opens=len(self._opens))

    def disconnect(self, link: Link, reason: str = "connection is expired", grace: float | None = None) -> None:
        """Announce a connection's end: nothing is routed to it from now on, and later it is cut."""
        link.memo["draining"] = True
        self._system(link, "disconnect", {"reason": reason})
        self.log.add("disconnect", link=link.id, reason=reason)
        gevent.spawn_later(self.options.drain if grace is None else grace, link.fin)

    def routable(self, kind: str, topic: str) -> list[Link]:
        """The connections that the platform believes in; it cannot see which of them are dead."""
        live = [link for link in self.links if link.usable and not link.memo.get("draining")]
        return [link for link in live if (kind, topic) in link.memo["subscribed"]]

    def answered_system(self, link: Link, message_id: str, data: Any) -> bool:
        """Whether a client's frame answers one of the platform's own; a ping's answer is checked."""
        asked: dict[str, tuple[str, float]] = link.memo["asked"]
        if message_id in asked:
            opaque, _ = asked.pop(message_id)
            if not isinstance(data, dict) or data.get("opaque") != opaque:
                self.violation(f"a ping answered with {str(data)[:80]}", link=link)
            self.log.add("beat", link=link.id)
            return True
        return message_id in link.memo["own"]  # the official client answers these too; nobody minds

    def _system(self, link: Link, topic: str, data: dict[str, Any]) -> str:
        message_id = uuid.uuid4().hex
        link.memo["own"].add(message_id)
        link.send(frames.frame("SYSTEM", topic, message_id, data, connectionId=str(link.id)))
        return message_id

    # -- its own clock

    def look_every(self) -> float:
        """Often enough for what is due soonest."""
        rules = self.options
        return float(min([every for every in (rules.ping_every, rules.keepalive_every) if every] + [0.5]) / 4)

    def look(self, link: Link, now: float) -> None:
        """Pings that were not answered, pings and signs of life that are due, and a life that is over."""
        rules, memo = self.options, link.memo
        asked: dict[str, tuple[str, float]] = memo["asked"]
        if asked and now - min(at for _, at in asked.values()) > rules.ping_within:
            if not memo.get("stalled"):
                self.violation(f"a ping was not answered within {rules.ping_within:g} s", link=link)
            asked.clear()
            self.disconnect(link, "persistent connection is timeout")
        if memo.get("draining"):
            return
        if rules.ping_every and now - memo["pinged"] >= rules.ping_every:
            memo["pinged"] = now
            opaque = str(uuid.uuid4())
            asked[self._system(link, "ping", {"opaque": opaque})] = (opaque, now)
        if rules.keepalive_every and now - memo["kept"] >= rules.keepalive_every:
            memo["kept"] = now
            self._system(link, "KEEPALIVE", {})
        if rules.expire_after and now - link.opened >= rules.expire_after:
            self.disconnect(link)


def refused(status: int, code: str, message: str, **headers: str) -> Answer:
    """A refusal of the new API."""
    return Answer(status, {"code": code, "message": message, "requestid": str(uuid.uuid4()).upper()}, headers)
