"""A simulated Telegram Bot API on loopback: long polls, sends, edits, files, as strict as the server.

What a user does is said with ``say``; see `Users.say`. A connection that is polled over is a *link*
here. Beside the kit's faults (``half_open``, ``mute_acks`` and ``stop_reading`` leave polls without an
answer; ``close {code}`` answers each poll once with that HTTP status) there are ``conflict`` (for
``seconds`` or ``count`` polls somebody else polls too), ``webhook {url}`` (one is set) and ``api_error
{method, code, description, ...parameters}`` (a method answers so). ``duplicate`` delivers an update
twice, ``redeliver`` what is unconfirmed, or the last update, again.

Own kinds of the record: beat (a getUpdates), ack (an update was confirmed), conflict, typing, edit,
recall, draft, send_refused, throttled, unwanted (of a kind nobody asked for), lost (24 h over).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from hermes_green.sim.kit import Answer, Request, Simulator
from hermes_green.sim.kit_http import HttpConnection
from hermes_green.sim.telegram_replies import fail, too_many
from hermes_green.sim.telegram_rest import METHOD, Rest
from hermes_green.sim.telegram_updates import Feed
from hermes_green.sim.telegram_users import Users


@dataclass(frozen=True, slots=True)
class Options:
    """How the platform behaves; times in seconds.

    ``guard_limit`` and ``guard_timeout``: for so long a poll with the offset of the one before is held
    to one update, and to 3 s of waiting. ``keep``: an update's life. ``hold_order``: a chat's next
    message waits until the one before was confirmed. ``account_rate`` messages a second in all,
    ``group_rate`` a minute in a group, ``chat_rate`` a second in a chat after ``chat_burst``; 0 is no
    limit.
    """

    token: str = "110000001:sim-telegram-token-0123456789abcdef"
    guard_limit: float = 0.5
    guard_timeout: float = 3.0
    keep: float = 86_400.0
    first_update: int = 500_000_001
    hold_order: bool = False
    account_rate: int = 30
    group_rate: int = 20
    chat_rate: float = 1.0
    chat_burst: int = 10


@dataclass(slots=True)
class _Switch:
    """A fault of our own: until when, and how often."""

    until: float
    left: int | None
    answer: Answer | None = None

    def take(self) -> bool:
        """Whether it is on; counts as a use."""
        if self.left == 0 or time.monotonic() > self.until:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class TelegramSim(Simulator):
    """The simulator; keyword arguments are the kit's and those of `Options`."""

    platform = "telegram"
    username = "sim_green_bot"

    options_type = Options
    options: Options

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.token = self.options.token
        self.uploads: dict[str, bytes] = {}
        self.feed = Feed(self)
        self.users = Users(self)
        self.rest = Rest(self)
        self._switches: dict[str, _Switch] = {}
        self._greeted = False

    def me(self) -> dict[str, Any]:
        """The bot itself."""
        id = int(self.token.partition(":")[0])
        return {"id": id, "is_bot": True, "first_name": "Sim Green", "username": self.username}

    # -- control

    def say(self, **what: Any) -> dict[str, Any]:
        """A user does something: the arguments are those of `Users.say`."""
        return self.users.say(**what)

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and Telegram's own; see the module's text."""
        until = time.monotonic() + seconds if seconds is not None else float("inf")
        if name == "conflict":
            self._switches[name] = _Switch(until, count)
        elif name == "webhook":
            self.feed.webhook = str(args.get("url", "https://example.org/hook"))
        elif name == "api_error":
            method, code = str(args.pop("method")).lower(), int(args.pop("code"))
            answer = fail(code, str(args.pop("description", "")), **args)
            self._switches[method] = _Switch(until, count, answer)
        else:
            super().fault(name, seconds=seconds, count=count, **args)
            return
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if not name:
            self._switches.clear()
        self._switches.pop(name, None)
        super().clear(name)

    def state(self) -> dict[str, Any]:
        """The kit's, and: the bot's id, unacked (updates not confirmed), held, webhook."""
        own = {"bot": self.me()["id"], "unacked": self.feed.pending, "held": self.users.held}
        return {**super().state(), **own, "webhook": self.feed.webhook}

    def rival(self) -> bool:
        """Somebody else polls now."""
        switch = self._switches.get("conflict")
        return switch is not None and switch.take()

    def told(self, method: str) -> Answer | None:
        """What the fault ``api_error`` says about a method."""
        switch = self._switches.get(method)
        return switch.answer if switch is not None and method != "conflict" and switch.take() else None

    def error_of(self, status: int) -> Answer:
        """A bare error of that status; of gateways in between in HTML."""
        if status >= 500:
            page = f"<html><head><title>{status}</title></head><body><center>nginx</center></body></html>"
            return Answer(status, page.encode(), {"Content-Type": "text/html"})
        names = {401: "Unauthorized", 404: "Not Found", 409: "Conflict: somebody", 403: "Forbidden"}
        return too_many(1) if status == 429 else fail(status, names.get(status, "Bad Request: told so"))

    # -- the kit's questions

    def is_dial(self, request: Request) -> bool:
        """A client begins: it asks who it is, or polls over a new connection."""
        match = METHOD.fullmatch(request.path)
        method = match["method"].lower() if match else ""
        return method == "getme" or (method == "getupdates" and not self.feed.known(request.connection))

    def counts_dial(self, request: Request) -> bool:
        """A poll right after the question who the bot is belongs to the same dial."""
        if not self.is_dial(request):
            return False
        greeting = request.path.lower().endswith("/getme")
        counts = greeting or not self._greeted
        self._greeted = greeting
        return counts

    def refusal(self, request: Request, status: int) -> Answer:
        return self.error_of(status)

    def is_send(self, request: Request) -> bool:
        return self.rest.is_send(request)

    def throttled(self, request: Request, after: float) -> Answer:
        return too_many(after)

    def route(self, request: Request) -> Answer:
        return self.rest.answer(request)

    def disconnected(self, http: HttpConnection) -> None:
        self.feed.disconnected(http)

    def redeliver(self) -> None:
        self.feed.again()

    def greeting(self) -> str:
        return f"token={self.token}"
