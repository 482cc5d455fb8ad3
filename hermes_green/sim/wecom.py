"""A WeCom bot platform on loopback, strict as the real one: long connection, streams, uploads, media.

What a user does is said with ``say``; see `Users.say`. Beside the kit's faults there are ``kick {}`` (another
client subscribes with this bot), ``unsubscribe`` (the subscription is lost, the socket stays open),
``stale`` (every req_id is too old), ``expire_streams`` (every open stream is), and ``errcode {code, cmd?}``
(a command is answered so, ``count`` times). On the link ``429`` is 45009, ``lose_answer`` answers nothing
to a send that was done, and ``slow`` delays answers. ``redeliver`` pushes the last callbacks again, which
the platform itself never does: what comes while nobody is subscribed is lost.

Own kinds of the record: subscribe, draft (a frame of a stream that goes on), welcome, card_update, upload,
throttled, displaced, lost, uncertain (pushed over a link that ended before an answer), refused_command.
``ack`` is the first answer to a message: nothing earlier shows that it has arrived.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any, Callable

from hermes_green.sim.kit import Answer, Link, Request, Simulator
from hermes_green.sim.kit_options import add_options, options_of
from hermes_green.sim.wecom_desk import Desk
from hermes_green.sim.wecom_gate import Gate
from hermes_green.sim.wecom_users import Users


@dataclass(frozen=True, slots=True)
class Options:
    """How the platform behaves; times in seconds.

    ``silence``: a link on which nothing comes is cut. ``kick_after``: how long a displaced link lives on.
    ``window``: for replies; ``event_window``: for welcomes and updates of cards. ``stream_ttl``: without
    a frame a stream takes no more. ``rate_minute`` and ``rate_hour``: messages in a chat, 0 is no limit.
    ``subscribes``: in a minute, 0 is no limit. ``answer_delay``: of commands. ``patience``: how long the
    next frame of a req_id must wait for an answer that does not come. ``media_ttl``: of addresses;
    ``media_host``: scheme, host and port that they begin with, "" is ours. ``hold_order``: a chat's next
    message waits until the one before was answered, lost, or its link is gone.
    """

    bot_id: str = "sim-wecom-bot"
    secret: str = "sim-wecom-secret"
    bot_name: str = "Robot"
    silence: float = 100.0
    kick_after: float = 2.2
    window: float = 86400.0
    event_window: float = 5.0
    stream_ttl: float = 360.0
    rate_minute: int = 30
    rate_hour: int = 1000
    subscribes: int = 0
    answer_delay: float = 0.01
    patience: float = 5.0
    media_ttl: float = 300.0
    media_host: str = ""
    hold_order: bool = False


class WeComSim(Simulator):
    """The simulator; keyword arguments are the kit's and those of `Options`."""

    platform = "wecom"
    ws_path = "/"

    def __init__(self, port: int = 0, **how: Any) -> None:
        own = {name: how.pop(name) for name in Options.__dataclass_fields__ if name in how}
        super().__init__(port, **how)
        self.options = Options(**own)
        self.users = Users(self)
        self.desk = Desk(self)
        self.gate = Gate(self)
        self._told: dict[str, list[int]] = {}

    # -- control

    def say(self, **what: Any) -> dict[str, Any]:
        """A user writes, or something else happens: the arguments are those of `Users.say`."""
        return self.users.say(**what)

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and WeCom's own; see the module's text."""
        own: dict[str, Callable[[], None]] = {
            "kick": lambda: self.gate.displace(self.gate.current, "another client"),
            "unsubscribe": self.gate.unsubscribe,
            "stale": lambda: self.desk.age(self.options.window + 1),
            "expire_streams": lambda: self.desk.age(min(self.options.stream_ttl + 1, self.options.window / 2)),
            "errcode": lambda: self._tell(int(args["code"]), str(args.get("cmd", "")), 1 if count is None else count),
        }
        if name not in own:
            super().fault(name, seconds=seconds, count=count, **args)
            return
        own[name]()
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name in ("", "errcode"):
            self._told.clear()
        super().clear(name)

    def state(self) -> dict[str, Any]:
        """The kit's, and: subscribed (a link's id), unacked (pushed, not answered), held, said, streams open."""
        current = self.gate.current
        more = {"unacked": len(self.users.pending), "held": self.users.held, "said": self.users.said}
        own = {"subscribed": current.id if current is not None else None, "streams": self.desk.open_streams()}
        return {**super().state(), **more, **own}

    def told(self, cmd: str) -> int | None:
        """What the fault ``errcode`` says about the next command of this kind."""
        for name in (cmd, ""):
            codes = self._told.get(name)
            if codes and not (name == "" and cmd == "aibot_subscribe"):
                return codes.pop()
        return None

    # -- the kit's questions

    def is_dial(self, request: Request) -> bool:
        return request.wants_upgrade

    def route(self, request: Request) -> Answer:
        """Files that users sent, and the address for one late answer to a message."""
        folder, _, id = request.path.strip("/").partition("/")
        if folder == "media" and request.method == "GET":
            served = self.users.served.get(id)
            if served is None or served.until < time.monotonic():
                return Answer(403, {"errcode": 40058, "errmsg": "expired"})
            return Answer(200, served.data, served.headers())
        if folder == "response" and request.method == "POST":
            origin = self.users.hooks.pop(id, None)
            if origin is None:
                return Answer(200, {"errcode": 846605, "errmsg": "invalid response_url"})
            body = request.json()
            self.log.add("send", chat=origin.chat, via="response_url", duplicate=False, text=str(body.get("markdown")))
            return Answer(200, {"errcode": 0, "errmsg": "ok"})
        return Answer(404, {"errcode": 404, "errmsg": "not found"})

    def opened(self, link: Link) -> None:
        self.gate.opened(link)

    def received(self, link: Link, data: str | bytes) -> None:
        self.gate.received(link, data)

    def closed(self, link: Link) -> None:
        self.gate.closed(link)

    def redeliver(self) -> None:
        self.users.again()

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        add_options(parser, Options)

    @classmethod
    def from_arguments(cls, args: Namespace) -> WeComSim:
        options = options_of(args, Options)
        return cls(args.port, host=args.host, certfile=args.certfile, keyfile=args.keyfile, **options)

    def greeting(self) -> str:
        return f"bot_id={self.options.bot_id} secret={self.options.secret}"

    # -- inside

    def _tell(self, code: int, cmd: str, count: int) -> None:
        self._told.setdefault(cmd, []).extend([code] * count)
