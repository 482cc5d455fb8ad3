"""The simulated Feishu's long connection: discovery, tickets, heartbeats (lark-oapi 1.7.5 ws/client.py)."""

from __future__ import annotations

import time
import uuid
from typing import Any
from urllib.parse import urlencode

from hermes_green.sim import feishu_frames as frames
from hermes_green.sim.feishu_events import new_id
from hermes_green.sim.feishu_push import Pushes
from hermes_green.sim.feishu_rules import FeishuRules
from hermes_green.sim.kit import Answer, Link, Request
from hermes_green.sim.kit_watch import Watchful

DISCOVERY = "/callback/ws/endpoint"
APP_ID = "cli_a1b2c3d4e5f60718"
APP_SECRET = "sim-feishu-secret"

_BUSY, _INTERNAL, _NO_CREDENTIAL, _TOO_MANY = 1, 1000040343, 1000040344, 1000040350
_AUTH_FAILED, _FORBIDDEN = 514, 403
_TICKET_LIFE = 60.0
_PONG_WITHIN = 10.0


class FeishuGate(Watchful):
    """The half of the platform that keeps links; the other half is `feishu.FeishuSim`."""

    platform = "feishu"
    ws_path = "/ws/v2"

    def __init__(
        self,
        port: int = 0,
        *,
        app_id: str = APP_ID,
        app_secret: str = APP_SECRET,
        host: str = "127.0.0.1",
        hostname: str = "",
        certfile: str = "",
        keyfile: str = "",
        **rules: Any,
    ) -> None:
        super().__init__(port, host=host, hostname=hostname, certfile=certfile, keyfile=keyfile)
        self.app_id = app_id
        self.app_secret = app_secret
        self.rules = FeishuRules(**rules)
        self.service_id = 33554678
        self.courier = Pushes(self)
        self._tickets: dict[str, float] = {}

    # -- discovery

    def is_dial(self, request: Request) -> bool:
        """Discovery begins each dial."""
        return request.path == DISCOVERY

    def refusal(self, request: Request, status: int) -> Answer:
        """A refused dial: an HTTP status, or one of the platform's codes."""
        if request.wants_upgrade:
            return _refused_upgrade(status)
        if status == _AUTH_FAILED or status == _BUSY or status >= 1000:
            return Answer(200, {"code": status, "msg": "refused by the simulator", "data": None})
        return Answer(status, {"code": _BUSY, "msg": "system busy"})

    def _discover(self, request: Request) -> Answer:
        try:
            body = request.json()
        except ValueError:
            return Answer(400, {"code": 9499, "msg": "Bad Request"})
        app_id, secret = body.get("AppID"), body.get("AppSecret")
        if not app_id or not secret:
            return _no(_NO_CREDENTIAL, "no credential")
        if app_id != self.app_id or secret != self.app_secret:
            return _no(_AUTH_FAILED, "auth failed")
        if len(self.links) >= self.rules.max_connections:
            return _no(_TOO_MANY, "the number of connections exceeded the limit")
        ticket = uuid.uuid4().hex
        self._tickets[ticket] = time.monotonic() + _TICKET_LIFE
        query = {
            "fpid": "493",
            "aid": "552564",
            "device_id": str(uuid.uuid4().int)[:19],
            "access_key": uuid.uuid4().hex,
            "service_id": str(self.service_id),
            "ticket": ticket,
        }
        data = {"URL": f"{self.ws_url}?{urlencode(query)}", "ClientConfig": self._client_config()}
        return Answer(200, {"code": 0, "msg": "", "data": data})

    def _client_config(self) -> dict[str, Any]:
        rules = self.rules
        return {
            "PingInterval": rules.ping_interval,
            "ReconnectCount": rules.reconnect_count,
            "ReconnectInterval": rules.reconnect_interval,
            "ReconnectNonce": rules.reconnect_nonce,
        }

    # -- links

    def admit(self, request: Request) -> Answer | None:
        """Single-use tickets, and never more than ``max_connections``."""
        query = request.query
        missing = [name for name in ("device_id", "service_id", "access_key", "ticket") if not query.get(name)]
        if missing:
            self.violation(f"socket URL without {', '.join(missing)}")
            return _refused_upgrade(_FORBIDDEN)
        expires = self._tickets.pop(query["ticket"], None)
        if expires is None or expires < time.monotonic() or query["service_id"] != str(self.service_id):
            self.violation("socket URL used twice, or too late, or changed")
            return _refused_upgrade(_FORBIDDEN)
        if len(self.links) >= self.rules.max_connections:
            return _refused_upgrade(_TOO_MANY)
        return None

    def opened(self, link: Link) -> None:
        """The heartbeat's deadline runs from now."""
        link.memo["beat"] = link.opened
        link.memo["device_id"] = link.request.query["device_id"]

    def received(self, link: Link, data: str | bytes) -> None:
        """A ping, or the acknowledgement of a push."""
        try:
            frame = frames.parse(data)
            kind = frames.headers_of(frame).get("type", "")
            if frame.method == frames.CONTROL and kind == "ping":
                self._ping(link, frame)
            elif frame.method == frames.DATA:
                self.courier.acknowledged(link, frame)
            else:
                raise frames.BadFrame(f"method {frame.method} type {kind!r} from a client")
        except frames.BadFrame as error:
            self.violation(str(error), link=link)
            link.close(1002, "bad frame")

    def _ping(self, link: Link, frame: Any) -> None:
        if frame.service != self.service_id:
            self.violation(f"ping for service {frame.service}", link=link)
        link.memo["beat"] = time.monotonic()
        muted = self.faults.on("mute_acks") is not None
        self.log.add("beat", link=link.id, answered=not muted)
        if not muted:
            link.send(frames.pong(self.service_id, self._client_config()))

    def closed(self, link: Link) -> None:
        """What it owed is owed by nobody now; the schedule goes on."""
        self.courier.lost(link)

    # -- its own clock

    def stopping(self) -> None:
        """Stop watching and pushing."""
        super().stopping()
        self.courier.stop()

    def look_every(self) -> float:
        """Some times in the silence that a link may keep."""
        return min(0.25, self._silence() / 10)

    def look(self, link: Link, now: float) -> None:
        """Pings of the platform's own, and a link that has been silent for too long."""
        self._native(link, now)
        limit = self._silence()
        if now - link.memo["beat"] > limit:
            if not link.memo.get("stalled"):
                self.violation(f"no ping for {limit:g} s", link=link)
            link.close(1001, "heartbeat timeout")

    def _silence(self) -> float:
        return self.rules.heartbeat_timeout or self.rules.ping_interval * 3

    def _native(self, link: Link, now: float) -> None:
        every, memo = self.rules.native_ping, link.memo
        if not every:
            return
        asked = memo.get("asked", 0.0)
        if asked and memo.get("pong", 0.0) < asked:
            if now - asked > _PONG_WITHIN and not memo.get("stalled") and not memo.get("mute"):
                memo["mute"] = True
                self.violation("a WebSocket ping was not answered with a pong", link=link)
        elif now - max(asked, link.opened) >= every:
            memo["asked"] = now
            link.ping(b"")


def _no(code: int, text: str) -> Answer:
    return Answer(200, {"code": code, "msg": text, "data": None})


def _refused_upgrade(status: int) -> Answer:
    """A handshake refused: what is wrong is said in headers (lark-oapi 1.7.5 ws/client.py)."""
    headers = {"handshake-status": str(status), "handshake-msg": "refused"}
    if status >= 1000:
        headers |= {"handshake-status": str(_AUTH_FAILED), "handshake-autherrcode": str(status)}
    elif status == _AUTH_FAILED:
        headers["handshake-autherrcode"] = "0"
    http = status if 400 <= status < 600 and status != _AUTH_FAILED else 403
    return Answer(http, {"msg": new_id("refused-")}, headers)
