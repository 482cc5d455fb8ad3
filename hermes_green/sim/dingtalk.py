"""A simulated DingTalk, as strict as the real one: Stream connections, session webhooks, OpenAPI, AI cards.

Sources: dingtalk-stream 0.24.3 and 2.1.5 (Node), open-dingtalk developerpedia ``docs/learn/stream``, and what
users of the Stream mode have reported. Beside the kit's faults there are ``disconnect {reason, grace}``
(connections are announced to end, then cut), ``stuck {for}`` (seconds for which nothing is routed),
``token`` (every token is dead), ``webhooks`` (every webhook is dead), ``flow {users}`` (the next so many
users of a batch are flow-controlled) and ``api_error {status, code, message, path?}`` (with ``count``).

Own kinds of the record: said, lost (pushed to nobody, and never again), disconnect, stuck, token, card, stream,
card_update, upload, rest_refused.
"""

from __future__ import annotations

import time
from typing import Any, Callable

from hermes_green.sim import dingtalk_frames as frames
from hermes_green.sim.dingtalk_cards import Cards
from hermes_green.sim.dingtalk_gate import OPEN, DingTalkGate, refused
from hermes_green.sim.dingtalk_rest import QPS, Rest
from hermes_green.sim.dingtalk_router import Router
from hermes_green.sim.dingtalk_rules import CLIENT_ID, CLIENT_SECRET
from hermes_green.sim.dingtalk_users import Users
from hermes_green.sim.dingtalk_webhooks import PATH as WEBHOOK, Webhooks
from hermes_green.sim.kit import Answer, Link, Request
from hermes_green.sim.kit_told import Told

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "DingTalkSim"]


class DingTalkSim(DingTalkGate):
    """The platform: ``DingTalkSim(ping_every=1, ...)`` takes every field of `DingTalkRules` by name."""

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.router = Router(self)
        self.webhooks = Webhooks(self)
        self.cards = Cards(self)
        self.rest = Rest(self)
        self.users = Users(self)
        self._told = Told()

    # -- control

    def say(self, **what: Any) -> dict[str, Any]:
        """Let a user act; see `dingtalk_users.Users.act`."""
        return self.users.act(**what)

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and DingTalk's own; see the module's text."""
        own: dict[str, Callable[..., None]] = {
            "disconnect": self._disconnect_all,
            "stuck": lambda **how: self.stuck(float(how.get("for", self.options.stuck_seconds))),
            "token": self.rest.revoke,
            "webhooks": self.webhooks.forget,
            "flow": self._control_flow,
        }
        if name == "api_error":
            path, status = str(args.pop("path", "")), int(args.pop("status", 400))
            answer = refused(status, str(args.get("code", "")), str(args.get("message", "")))
            self._told.set(answer, path, seconds, count)
        elif name in own:
            own[name](**args)
        else:
            super().fault(name, seconds=seconds, count=count, **args)
            return
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name in ("", "api_error"):
            self._told.clear()
        if name in ("", "stuck"):
            self.stuck_until = 0.0
        super().clear(name)

    def state(self) -> dict[str, Any]:
        """The kit's, and: stuck (seconds left), lost, held, unacked events."""
        stuck = max(0.0, self.stuck_until - time.monotonic())
        own = {"stuck": stuck, "lost": self.router.lost, "held": self.router.held, "unacked": self.router.unacked()}
        return {**super().state(), "client_id": self.options.client_id, **own}

    def redeliver(self) -> None:
        """Push events at once, and the last robot messages a second time, which the platform may do."""
        self.router.again()

    def api_error(self, path: str) -> Answer | None:
        """What the fault ``api_error`` says about a call."""
        answer: Answer | None = self._told.take(path)
        return answer

    def note_send(self, chat: str, text: str, via: str, **more: Any) -> None:
        """A message of the robot reached a conversation. Nothing tells a repeat from a second message."""
        self.sent += 1
        self.log.add("send", chat=chat, text=text, via=via, key="", duplicate=False, **more)

    # -- the kit's questions

    def is_send(self, request: Request) -> bool:
        """Messages, and what changes a card."""
        return self.rest.is_send(request)

    def throttled(self, request: Request, after: float) -> Answer:
        """Each API has its own way to say it. The header is not DingTalk's: here it says how long."""
        headers = {"Retry-After": f"{after:g}"}
        if request.path == WEBHOOK:
            return Answer(200, {"errcode": 90018, "errmsg": "您的服务器调用钉钉开放平台所有接口的请求都被暂时禁用了"}, headers)
        return refused(403, QPS, "调用的频率超过了限制", **headers)

    def route(self, request: Request) -> Answer:
        """Opening a connection, and the APIs."""
        if request.path == OPEN and request.method == "POST":
            return self.open_connection(request)
        return self.rest.answer(request)

    def received(self, link: Link, data: str | bytes) -> None:
        """An acknowledgement, or the answer to a ping."""
        try:
            message_id, code, told = frames.read_ack(data)
        except ValueError as error:
            self.violation(f"not an acknowledgement: {error}", link=link)
            return
        if not self.answered_system(link, message_id, told):
            self.router.acknowledged(link, message_id, code, told)

    def closed(self, link: Link) -> None:
        """What was on its way there may be lost."""
        self.router.gone(link)

    def stopping(self) -> None:
        """End all greenlets."""
        super().stopping()
        self.router.stop()

    def greeting(self) -> str:
        """The credentials it accepts."""
        return f"client_id={self.options.client_id} client_secret={self.options.client_secret}"

    # -- inside

    def _disconnect_all(self, reason: str = "connection is expired", grace: float | None = None) -> None:
        for link in list(self.links):
            if not link.memo.get("draining"):
                self.disconnect(link, reason, grace)

    def _control_flow(self, users: int = 1) -> None:
        self.rest.flow = users
