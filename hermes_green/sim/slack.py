"""A simulated Slack, as strict as the real one: Socket Mode, events with their three retries, Web API, files.

What a user does is said with ``say``; see `slack_users.Users.act`. Beside the kit's faults there are
``refresh {reason, notice}`` (every link is given notice and closed ``notice`` seconds later),
``disconnect {reason}`` (at once: link_disabled, too_many_websockets), ``no_pings`` (Slack's own stop),
``revoke {token}`` (bot or app) and ``api_error {method, error, after?, count?, seconds?}``. ``shut {chat,
error}`` makes a chat refuse posts (not_in_channel, is_archived).

Own kinds of the record: said, push_failed, given_up, notice, edit, recall, typing, upload, api_refused.
A send whose key was there before carries ``again``: it is a second message, as on the platform.
"""

from __future__ import annotations

import time
from typing import Any, Callable

from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.slack_api import Api, Refused, refusal
from hermes_green.sim.slack_chats import Chats
from hermes_green.sim.slack_files import PRIVATE, UPLOAD, Shelf
from hermes_green.sim.slack_gate import Options, SlackGate
from hermes_green.sim.slack_users import Users

__all__ = ["Options", "SlackSim"]

_SENDS = frozenset({"/api/chat.postMessage", "/api/files.completeUploadExternal"})


class SlackSim(SlackGate):
    """The simulator; keyword arguments are the kit's and those of `slack_gate.Options`."""

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.chats = Chats()
        self.shelf = Shelf(self)
        self.api = Api(self)
        self.users = Users(self)
        self.keys: set[str] = set()
        self.revoked: set[str] = set()
        self._errors: list[dict[str, Any]] = []

    def say(self, **what: Any) -> dict[str, Any]:
        """Let a user act; see `slack_users.Users.act`. Returns ``{message_id, event_id, chat}``."""
        return self.users.act(**what)

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and Slack's own; see the module's text."""
        own: dict[str, Callable[..., None]] = {
            "refresh": self._refresh,
            "disconnect": lambda reason="link_disabled": self._refresh(reason, 0.0),
            "no_pings": lambda: setattr(self, "pings", False),
            "revoke": self._revoke,
            "shut": lambda chat, error="not_in_channel": self.chats.closed.update({chat: error}),
        }
        if name == "api_error":
            until = time.monotonic() + seconds if seconds is not None else float("inf")
            self._errors.append({"until": until, "left": count, "after": 0.0, **args})
        elif name in own:
            own[name](**args)
        else:
            super().fault(name, seconds=seconds, count=count, **args)
            return
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name in ("", "api_error"):
            self._errors.clear()
        if name in ("", "no_pings"):
            self.pings = True
        if name in ("", "revoke"):
            self.revoked.clear()
        if name in ("", "shut"):
            self.chats.closed.clear()
        super().clear(name)

    def state(self) -> dict[str, Any]:
        """The kit's, and: events that wait for an acknowledgement, messages not sent yet, the tokens."""
        options = self.options
        tokens = {"app_token": options.app_token, "bot_token": options.bot_token}
        return {**super().state(), "unacked": self.courier.unacked(), "held": self.courier.held, **tokens}

    def api_error(self, method: str) -> Refused | None:
        """What a fault says to a call."""
        now = time.monotonic()
        for told in self._errors:
            if told["method"] == method and now < told["until"] and told["left"] != 0:
                if told["left"] is not None:
                    told["left"] -= 1
                return Refused(told["error"], float(told["after"]))
        return None

    # -- the kit's questions

    def is_send(self, request: Request) -> bool:
        """What puts a message into a chat."""
        return request.path in _SENDS

    def throttled(self, request: Request, after: float) -> Answer:
        return refusal(Refused("ratelimited", after))

    def route(self, request: Request) -> Answer:
        """The Web API, and files."""
        if request.path.startswith("/api/"):
            return self.api.answer(request)
        if request.path.startswith((UPLOAD, PRIVATE)):
            return self.shelf.answer(request, self.api.authorised(request))
        return Answer(404, {"ok": False, "error": "not_found"})

    def redeliver(self) -> None:
        """Push un-acknowledged events at once, or the last few when there are none."""
        self.courier.again()

    # -- command line

    def greeting(self) -> str:
        """The credentials it accepts."""
        return f"bot_token={self.options.bot_token} app_token={self.options.app_token}"

    # -- inside

    def _refresh(self, reason: str = "refresh_requested", notice: float = 10.0) -> None:
        for link in list(self.links):
            self.disconnect(link, reason, notice)

    def _revoke(self, token: str = "bot") -> None:
        self.revoked.add(self.options.bot_token if token == "bot" else self.options.app_token)
