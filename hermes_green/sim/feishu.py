"""A simulated Feishu, as strict as the real one: discovery, long connection, events, open API.

Sources: lark-oapi 1.7.5 (ws/client.py, ws/const.py, core/token/manager.py) and the vendor's pages on
the long connection, event subscription and messages. Users are moved with `FeishuSim.say`; what the
bot did, and every fault found with it (kind ``violation``), is in the record.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from hermes_green.sim import feishu_rules
from hermes_green.sim.feishu_content import Refused
from hermes_green.sim.feishu_gate import APP_ID, APP_SECRET, DISCOVERY, FeishuGate
from hermes_green.sim.feishu_rest import Rest, error_answer
from hermes_green.sim.feishu_users import Users
from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.kit_told import Told

__all__ = ["APP_ID", "APP_SECRET", "FeishuSim"]


class FeishuSim(FeishuGate):
    """The platform: ``FeishuSim(ping_interval=1, ...)`` takes every field of `FeishuRules` by name.

    Fault ``refuse`` also takes one of the platform's own codes as ``status`` (1000040350, 514, ...):
    discovery then answers it with HTTP 200, an upgrade carries it in the handshake headers. A fault of its own:
    ``api_error {code, status, message, path}``, with ``count``: calls whose path contains ``path`` are refused.
    """

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.left_chats: set[str] = set()
        self.told = Told()
        self.rest = Rest(self)
        self.users = Users(self)

    def say(self, **what: Any) -> dict[str, Any]:
        """Let a user act; see `feishu_users.Users.act`. Returns ``{message_id, event_id, chat}``."""
        return self.users.act(**what)

    def state(self) -> dict[str, Any]:
        """The common state, and which events still wait for an acknowledgement."""
        own = {"app_id": self.app_id, "unacked": self.courier.unacked(), "held": self.courier.held()}
        return {**super().state(), **own}

    def shown(self) -> dict[str, list[str]]:
        """The bot's messages as they stand, cards included."""
        return self.rest.shown()

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and ``api_error``."""
        if name != "api_error":
            super().fault(name, seconds=seconds, count=count, **args)
            return
        refused = Refused(int(args.get("code", 1)), str(args.get("message", "told")), int(args.get("status", 400)))
        self.told.set(refused, str(args.get("path", "")), seconds, count)
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name in ("", "api_error"):
            self.told.clear()
        super().clear(name)

    def redeliver(self) -> None:
        """Push un-acknowledged events at once, or the last five when there are none."""
        self.courier.again()

    def control(self, verb: str, args: dict[str, Any]) -> Answer:
        """``POST /_sim/revoke``: every access token becomes invalid."""
        if verb == "revoke":
            self.rest.revoke()
            return Answer(200, {})
        return super().control(verb, args)

    # -- the open API

    def is_send(self, request: Request) -> bool:
        """Send and reply, and changes of cards."""
        return self.rest.is_send(request)

    def throttled(self, request: Request, after: float) -> Answer:
        """99991400, with the seconds to wait in ``x-ogw-ratelimit-reset``."""
        return error_answer(Refused(99991400, "request trigger frequency limit", 429, after))

    def route(self, request: Request) -> Answer:
        """Discovery and the open API."""
        if request.path == DISCOVERY and request.method == "POST":
            return self._discover(request)
        return self.rest.answer(request)

    # -- command line

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Credentials and rules."""
        parser.add_argument("--app-id", default=APP_ID)
        parser.add_argument("--app-secret", default=APP_SECRET)
        feishu_rules.add_arguments(parser)

    @classmethod
    def from_arguments(cls, args: Namespace) -> FeishuSim:
        """A simulator as the command line asked for."""
        return cls(
            args.port,
            app_id=args.app_id,
            app_secret=args.app_secret,
            host=args.host,
            certfile=args.certfile,
            keyfile=args.keyfile,
            **feishu_rules.from_arguments(args),
        )

    def greeting(self) -> str:
        """The credentials it accepts."""
        return f"app_id={self.app_id} app_secret={self.app_secret}"
