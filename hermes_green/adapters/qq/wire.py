"""Wire: opcodes and payloads of the QQ gateway, its sessions, and the addresses and bodies of its REST calls.

Pure. Sources: bot-docs develop/api-v2/dev-prepare/interface-framework/event-emit.md (opcodes, order,
resume), qq-botpy 1.2.1 gateway.py and api.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from hermes_green.core.errors import LinkLost, SendRefused
from hermes_green.core.loose import dict_of, json_of, need, number_of, object_in, seconds_of, text_at
from hermes_green.core.model import ChatType, Part, Peer
from hermes_green.link import api

API_BASE = "https://api.sgroup.qq.com"
TOKEN_BASE = "https://bots.qq.com"
TOKEN_PATH = "/app/getAppAccessToken"
GATEWAY_PATH = "/gateway/bot"

# The code of our own close frame. 1000 could be read as "the session is over"; the SDKs that resume
# terminate the socket without any, which looks like 1006.
LEAVING = 4000


class Op(IntEnum):
    """What a payload is for; 12 and 13 belong to webhooks only."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    RECONNECT = 7
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of chat. ``name``: as ``Peer.extra["kind"]`` has it; ``prefix``: as people write it before an id;
    ``type``: what it is for the rest of us; ``place``: what the addresses of its chats begin with. ``chat`` and
    ``user``: the fields of an event's message and its author that hold their ids; a direct chat is its user."""

    name: str
    prefix: str
    type: ChatType
    place: str
    chat: str
    user: str

    def address(self, chat_id: str, *what: str) -> str:
        """Where to POST something to a chat. Raises SendRefused: there is none."""
        if not chat_id:
            raise SendRefused("a message without a chat")
        return api.path_of(self.place, chat_id, *what)


C2C = Kind("c2c", "user", "dm", "/v2/users", "", "user_openid")
GROUP = Kind("group", "group", "group", "/v2/groups", "group_openid", "member_openid")
CHANNEL = Kind("channel", "channel", "channel", "/channels", "channel_id", "id")
GUILD_DM = Kind("guild_dm", "dm", "dm", "/dms", "guild_id", "id")
KINDS = (C2C, GROUP, CHANNEL, GUILD_DM)

_TEXT, _NOTIFY, _MEDIA = 0, 6, 7
SIGN_SECONDS, SIGN_SEQ = 60, 1_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One payload from the gateway. ``s``: its sequence number, on dispatches only."""

    op: int
    d: Any = None
    s: int | None = None
    t: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the gateway: what a RESUME needs, and as whom the platform knows us. Before READY it has no
    ``id``, and before its first event no ``seq``.

    ``asked``: the events the settings asked for. A RESUME carries none, so that settings which ask
    for others now need a new session.
    """

    id: str
    app_id: str
    asked: int
    seq: int | None = None
    bot_id: str = ""
    bot_name: str = ""

    def as_memo(self, seq: int) -> dict[str, Any]:
        """How it is kept, once everything up to ``seq`` is committed."""
        return {**asdict(self), "seq": seq}

    @classmethod
    def of_memo(cls, value: Any, app_id: str, asked: int) -> Session:
        """The session a memo describes; one to be begun when it is none, another bot's, or for other events."""
        memo = dict_of(value)
        id, seq = text_at(memo, "id"), memo.get("seq")
        if not id or not isinstance(seq, int) or memo.get("app_id") != app_id or memo.get("asked", asked) != asked:
            return cls("", app_id, asked)
        return cls(id, app_id, asked, seq, text_at(memo, "bot_id"), text_at(memo, "bot_name"))

    def begun(self, d: Any) -> Session:
        """The session that READY opens. Raises LinkLost: it names none."""
        ready = dict_of(d)
        id, user = text_at(ready, "session_id"), dict_of(ready.get("user"))
        if not id:
            raise LinkLost("READY without session_id", code="bad_answer")
        return Session(id, self.app_id, self.asked, None, str(user.get("id") or ""), text_at(user, "username"))


def decode(raw: str | bytes) -> Frame:
    """The payload in a WebSocket message.

    Raises:
        BadFrame: it is not one.
    """
    payload = object_in(raw)
    return Frame(need(payload, "op", int), payload.get("d"), number_of(payload.get("s")), text_at(payload, "t"))


def interval_of(hello: Frame) -> float:
    """Seconds between heartbeats, from op 10; digits in a string count, as QQ writes some numbers so.

    Raises:
        LinkLost: hello names none, and without one no link can be kept.
    """
    seconds = seconds_of(dict_of(hello.d).get("heartbeat_interval"), 1000)
    if seconds is None:
        raise LinkLost("hello without heartbeat_interval", code="bad_answer")
    return seconds


def heartbeat(seq: int | None) -> str:
    """Op 1; ``seq`` None before any event was seen."""
    return _encode(Op.HEARTBEAT, seq)


def identify(token: str, intents: int) -> str:
    """Op 2: begin a session. Group and direct chats are never sharded, so the shard is 0 of 1."""
    return _encode(
        Op.IDENTIFY, {"token": f"QQBot {token}", "intents": intents, "shard": [0, 1], "properties": {}}
    )


def resume(token: str, session: Session) -> str:
    """Op 6: go on with a session; every event after its ``seq`` comes again."""
    return _encode(Op.RESUME, {"token": f"QQBot {token}", "session_id": session.id, "seq": session.seq})


def _encode(op: Op, d: Any) -> str:
    return json_of({"op": int(op), "d": d})


# --- sending -----------------------------------------------------------------------------------


def kind_of(peer: Peer) -> Kind:
    """The kind of chat a peer is; by its type where nothing more is known."""
    named = [kind for kind in KINDS if kind.name == peer.extra.get("kind")]
    return (named or [kind for kind in KINDS if kind.type == peer.chat_type])[0]


def path_of(peer: Peer, what: str = "messages") -> str:
    """Where to POST something for a peer. Raises SendRefused: it has no chat."""
    return kind_of(peer).address(peer.chat_id, what)


def message(part: Part, file_info: str = "") -> dict[str, Any]:
    """The body of a text message, or of one that shows an uploaded file.

    ``msg_seq`` is the row's own number, so that a repeated send is recognised; the platform takes it
    with a ``msg_id`` only.
    """
    body: dict[str, Any] = {"content": str(part.payload.get("content", "")), "msg_type": _TEXT}
    if file_info:  # with a blank, because some versions refuse an empty content
        body = {"content": " ", "msg_type": _MEDIA, "media": {"file_info": file_info}}
    msg_id = part.reply_ref.get("msg_id") or part.reply_ref.get("message_id")
    if msg_id:
        body["msg_id"] = msg_id
        body["msg_seq"] = part.reply_seq
    return body


def working(msg_id: str) -> dict[str, Any]:
    """The body of a working sign, with a number that no reply has."""
    notify = {"input_type": 1, "input_second": SIGN_SECONDS}
    return {"msg_type": _NOTIFY, "input_notify": notify, "msg_id": msg_id, "msg_seq": SIGN_SEQ}
