"""Wire: opcodes, payloads and close codes of the QQ gateway, and the addresses of its REST calls.

Pure. Sources: bot-docs develop/api-v2/dev-prepare/interface-framework/event-emit.md (opcodes, order,
resume), error-trace/websocket.md (close codes), qq-botpy 1.2.1 gateway.py and api.py, botgo errs/err.go.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Mapping
from urllib.parse import quote

from hermes_green.adapters.qq.codes import BAD_TOKEN, CLOSES, NOT_GRANTED, RESUMABLE
from hermes_green.core.codes import Code
from hermes_green.core.errors import BadFrame, ConfError, HermesError, LinkLost, SendRefused
from hermes_green.core.loose import object_in
from hermes_green.core.model import Part, Peer

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


class Kind:
    """Kinds of chat as ``Peer.extra["kind"]`` names them; each has its own address to send to."""

    C2C = "c2c"
    GROUP = "group"
    CHANNEL = "channel"
    GUILD_DM = "guild_dm"


PATHS: Mapping[str, str] = MappingProxyType(
    {
        Kind.C2C: "/v2/users/{}/messages",
        Kind.GROUP: "/v2/groups/{}/messages",
        Kind.CHANNEL: "/channels/{}/messages",
        Kind.GUILD_DM: "/dms/{}/messages",
    }
)
_TEXT, _NOTIFY, _MEDIA = 0, 6, 7
SIGN_SECONDS, SIGN_SEQ = 60, 1_000_000
_KIND_OF_TYPE = {"dm": Kind.C2C, "group": Kind.GROUP, "channel": Kind.CHANNEL}


@dataclass(frozen=True, slots=True)
class Frame:
    """One payload from the gateway. ``s``: its sequence number, on dispatches only."""

    op: int
    d: Any = None
    s: int | None = None
    t: str = ""


def decode(raw: str | bytes) -> Frame:
    """The payload in a WebSocket message.

    Raises:
        BadFrame: it is not one.
    """
    payload = object_in(raw)
    op, t = _whole(payload.get("op")), payload.get("t")
    if op is None:
        raise BadFrame("a payload without op")
    return Frame(op, payload.get("d"), _whole(payload.get("s")), t if isinstance(t, str) else "")


def interval_of(hello: Frame) -> float:
    """Seconds between heartbeats, from op 10; digits in a string count, as QQ writes some numbers so.

    Raises:
        LinkLost: hello names none, and without one no link can be kept.
    """
    value = hello.d.get("heartbeat_interval") if isinstance(hello.d, dict) else None
    try:
        seconds = 0.0 if value is None or isinstance(value, bool) else float(value) / 1000.0
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds < math.inf:
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


def resume(token: str, session_id: str, seq: int) -> str:
    """Op 6: go on with a session; every event after ``seq`` comes again."""
    return _encode(Op.RESUME, {"token": f"QQBot {token}", "session_id": session_id, "seq": seq})


def _encode(op: Op, d: Any) -> str:
    return json.dumps({"op": int(op), "d": d}, ensure_ascii=False, separators=(",", ":"))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- sending -----------------------------------------------------------------------------------


def kind_of(peer: Peer) -> str:
    """The kind of chat a peer is; by its type where nothing more is known."""
    kind = str(peer.extra.get("kind"))
    return kind if kind in PATHS else _KIND_OF_TYPE[peer.chat_type]


def path_of(peer: Peer) -> str:
    """Where to POST a message for a peer."""
    if not peer.chat_id:
        raise SendRefused("a message without a chat")
    return PATHS[kind_of(peer)].format(quote(peer.chat_id, safe=""))


def files_path(peer: Peer) -> str:
    """Where to POST a file for a peer; guilds have no such address."""
    return path_of(peer).removesuffix("messages") + "files"


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


# --- close codes -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closing:
    """What a close code means: the error to raise, and whether the session may be resumed.

    ``drop_token``: it needs a new token first. ``narrow``: fewer events must be asked for.
    """

    code: Code
    keeps: bool = False
    drop_token: bool = False
    narrow: bool = False


# Nothing less can be asked for than what every bot has.
NOTHING_GRANTED = Code(
    ConfError,
    "QQ does not grant the events of group and direct chats",
    "Let the bot use groups and direct messages on q.qq.com, or set intents in qq.yaml to what it has.",
)


def closing(code: int | None) -> Closing:
    """The meaning of a close code; unknown ones (1001, 1006, none) are network: resume."""
    known = CLOSES.get(code) if code is not None else None
    if known is None:
        return Closing(Code(LinkLost, "closed by QQ"), keeps=True)
    return Closing(known, code in RESUMABLE, code == BAD_TOKEN, code == NOT_GRANTED)


def closed(code: int | None, reason: str = "") -> HermesError:
    """The error for a close frame."""
    error = closing(code).code.build(code if code is not None else "no code", reason)
    if isinstance(error, LinkLost):
        error.status = code
    return error
