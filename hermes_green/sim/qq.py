"""A QQ bot platform on loopback, strict as the real one: token, gateway, WebSocket, sends, files.

What a user does is said with ``say``; see `Users.say`. Beside the kit's faults there are ``op7
{grace}``, ``op9 {resumable}``, ``token`` (every token is dead), ``session`` (no session can be
resumed, links stay), ``identifies {remaining}`` and ``api_error {status, code, message, path?}``
(a REST call answers so). ``close`` with a code after which nothing may be resumed
forgets the session, with 4004 kills the tokens. ``duplicate`` pushes a message twice, ``redeliver`` pushes
again what the client has not stated to have.

Own kinds of the record: token, identify, resume, resume_refused, link_refused, late, abandoned and
lost (messages that no client will get any more), said, typing, upload, recall, send_refused; draft, stream and
rolled_back (a stream begins, grows, falls back to its first frame; its end is a send).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Callable

import gevent

from hermes_green.sim.kit import Answer, Link, Request, Simulator
from hermes_green.sim.kit_told import Told
from hermes_green.sim.qq_events import KNOWN_INTENTS, PRIVATE_INTENTS
from hermes_green.sim.qq_gateway import Gateway
from hermes_green.sim.qq_replies import REPLIES, WINDOWS, Pace, Refusal, Replies, Tokens
from hermes_green.sim.qq_rest import SEND, TOKEN_PATH, Rest
from hermes_green.sim.qq_session import Identifies, Session, Sessions
from hermes_green.sim.qq_streams import STREAM, Streams
from hermes_green.sim.qq_users import Users

NOT_RESUMABLE = frozenset({4001, 4002, 4006, 4007, *range(4010, 4016), *range(4900, 4916)})


@dataclass(frozen=True, slots=True)
class Options:
    """How the platform behaves; times in seconds.

    ``late``: a link without a heartbeat for so long is cut, 0 means one and a half intervals.
    ``identify_deadline``: for op 2 or 6 after hello. ``session_ttl``: how long a session outlives its
    link. ``replay_limit``: events kept per session, at least. ``session_starts`` a day;
    ``max_concurrency`` identifies per ``identify_interval``. ``permitted``: intents allowed to this bot.
    ``window_scale``: shrinks the reply windows; ``replies`` allowed per message; ``proactive``: sends
    that answer nothing are taken. ``hold_order``: a chat's next message waits until the one before has
    arrived: a heartbeat or RESUME stated its number, or it was answered. ``bad_session``: a RESUME of an unknown
    session is answered by ``close`` 4006 or by ``op9``. ``channel_rate``: sends a second in a guild channel.
    ``stream_timeout``: a stream without a frame for so long, and without its last, is rolled back to its first.
    ``free_typing``: the working sign is not one of the replies.
    """

    app_id: str = "102000001"
    secret: str = "sim-client-secret"
    heartbeat_interval: float = 41.25
    late: float = 0.0
    hello_delay: float = 0.0
    identify_deadline: float = 30.0
    session_ttl: float = 600.0
    replay_limit: int = 10_000
    token_ttl: float = 7200.0
    session_starts: int = 1000
    max_concurrency: int = 1
    identify_interval: float = 5.0
    permitted: int = KNOWN_INTENTS & ~PRIVATE_INTENTS
    window_scale: float = 1.0
    replies: int = REPLIES
    proactive: bool = False
    hold_order: bool = False
    bad_session: str = "close"
    channel_rate: int = 5
    stream_timeout: float = 60.0
    free_typing: bool = False


class QQSim(Simulator):
    """The simulator; keyword arguments are the kit's and those of `Options`."""

    platform = "qq"
    ws_path = "/websocket"

    options_type = Options
    options: Options

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        self.options = replace(self.options, late=self.options.late or 1.5 * self.options.heartbeat_interval)
        self.sessions = Sessions(self.options.session_ttl, self.options.replay_limit)
        limits = (self.options.session_starts, self.options.max_concurrency, self.options.identify_interval)
        self.identifies = Identifies(*limits)
        self.tokens = Tokens(self.options.token_ttl)
        windows = {scene: seconds * self.options.window_scale for scene, seconds in WINDOWS.items()}
        self.replies = Replies(windows, self.options.replies, self.options.proactive)
        self.pace = Pace(self.options.channel_rate)
        self.users = Users(self, self.options.hold_order)
        self.gateway = Gateway(self)
        self.streams = Streams(self)
        # The bot's messages as people see them: id -> chat and text.
        self.shelf: dict[str, tuple[str, str]] = {}
        self._discovered = False
        self._told = Told()
        self._rest = Rest(self)
        self._janitor: Any = None

    # -- control

    def say(self, **what: Any) -> dict[str, Any]:
        """A user writes, or something else happens: the arguments are those of `Users.say`."""
        return self.users.say(**what)

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """The kit's faults and QQ's own; see the module's text."""
        own: dict[str, Callable[..., None]] = {
            "op7": self._op7,
            "op9": self._op9,
            "token": self.tokens.revoke,
            "session": self._forget_sessions,
            "identifies": self._limit_identifies,
        }
        if name == "api_error":
            path = str(args.pop("path", ""))
            self._told.set(Refusal(**args), path, seconds, count)
        elif name in own:
            own[name](**args)
        else:
            if name == "close":
                self._before_close(int(args.get("code", 1000)))
            super().fault(name, seconds=seconds, count=count, **args)
            return
        self.log.add("fault", name=name, args=args, seconds=seconds)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name in ("", "api_error"):
            self._told.clear()
        super().clear(name)

    def state(self) -> dict[str, Any]:
        """The kit's, and: sessions, unacked (messages not known to have arrived), held, identifies, tokens."""
        sessions = [
            {"id": s.id, "seq": s.last, "acked": s.acked, "link": s.link.id if s.link is not None else None}
            for s in self.sessions.valid()
        ]
        more = {"unacked": len(self.users.pending), "held": self.users.held, "said": self.users.said}
        counts = {"identifies": self.identifies.count, "tokens": self.tokens.issued}
        return {**super().state(), "sessions": sessions, **more, **counts}

    # -- what gateway and REST ask of the whole

    @property
    def online(self) -> bool:
        """A session is connected."""
        return any(session.link is not None for session in self.sessions.valid())

    def token_is_good(self, given: str, *, bare: bool) -> bool:
        """``given`` is ``QQBot <token>``; ``bare``: the token alone will do (RESUME)."""
        kind, _, token = given.partition(" ")
        if kind != "QQBot" and not (bare and not token):
            return False
        return self.tokens.good(token if kind == "QQBot" else given, time.monotonic())

    def give_up(self, session: Session) -> None:
        """A session that cannot be resumed any more; while it has its link, it still gets events."""
        session.dead = True
        if session.link is None:
            self.users.abandon(session)
            self.sessions.forget(session)

    def api_error(self, path: str) -> Refusal | None:
        """What the fault ``api_error`` says about a request; about the token only when its path is named."""
        if path == TOKEN_PATH and not self._told.names(path):
            return None
        refusal: Refusal | None = self._told.take(path)
        return refusal

    # -- the kit's questions

    def started(self) -> None:
        self._janitor = gevent.spawn(self._expire)

    def stopping(self) -> None:
        gevent.kill(self._janitor)

    def is_dial(self, request: Request) -> bool:
        return request.path in ("/gateway", "/gateway/bot")

    def counts_dial(self, request: Request) -> bool:
        """A dial begins with the discovery, or with the upgrade when the client kept the address."""
        known, self._discovered = self._discovered, self.is_dial(request)
        return self._discovered or not known

    def is_send(self, request: Request) -> bool:
        path = request.path
        return request.method == "POST" and (SEND.fullmatch(path) or STREAM.fullmatch(path)) is not None

    def shown(self) -> dict[str, list[str]]:
        """The bot's messages as they stand; a stream rolled back to its blank is an empty one."""
        chats: dict[str, list[str]] = {}
        for chat, text in self.shelf.values():
            chats.setdefault(chat, []).append(text.strip())
        return chats

    def throttled(self, request: Request, after: float) -> Answer:
        self.streams.consume(request)
        body = {"code": 1100308, "message": "触发频率限制", "err_code": 1100308, "trace_id": secrets.token_hex(16)}
        return Answer(429, body, {"Retry-After": f"{after:g}"})

    def route(self, request: Request) -> Answer:
        return self._rest.answer(request)

    def opened(self, link: Link) -> None:
        self.gateway.opened(link)

    def received(self, link: Link, data: str | bytes) -> None:
        self.gateway.received(link, data)

    def closed(self, link: Link) -> None:
        self.gateway.closed(link)

    def redeliver(self) -> None:
        self.users.again()

    def greeting(self) -> str:
        return f"app_id={self.options.app_id} client_secret={self.options.secret}"

    # -- inside

    def _expire(self) -> None:
        while True:
            gevent.sleep(0.2)
            self.streams.expire()
            for session in self.sessions.expire(time.monotonic()):
                self.log.add("expired", session=session.id)
                self.users.abandon(session)

    def _op7(self, grace: float = 5.0) -> None:
        for link in list(self.links):
            self.gateway.reconnect(link, grace)

    def _op9(self, resumable: bool = False) -> None:
        for link in list(self.links):
            self.gateway.invalidate(link, resumable)

    def _forget_sessions(self) -> None:
        for session in self.sessions.valid():
            self.give_up(session)

    def _limit_identifies(self, remaining: int = 0) -> None:
        self.identifies.leave(remaining, time.monotonic())

    def _before_close(self, code: int) -> None:
        """What a close code means for tokens and sessions."""
        if code == 4004:
            self.tokens.revoke()
        if code in NOT_RESUMABLE:
            for link in self.links:
                session = link.memo.get("session")
                if session is not None:
                    self.give_up(session)
