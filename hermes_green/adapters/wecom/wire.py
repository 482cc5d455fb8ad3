"""Wire: the JSON frames of the long connection; pure.

Sources: wecom-aibot-sdk 1.0.8 ``ws.py`` and ``types.py``, @wecom/aibot-node-sdk 1.0.7 ``types``. An
answer carries no cmd: only its req_id tells what it answers.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Mapping

from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import dict_of, json_of, number_of, object_in, text_at
from hermes_green.core.model import EMPTY, Peer

WS_BASE = "wss://openws.work.weixin.qq.com"

SUBSCRIBE = "aibot_subscribe"
PING = "ping"
RESPOND = "aibot_respond_msg"
WELCOME = "aibot_respond_welcome_msg"
SEND = "aibot_send_msg"
UPLOAD_INIT = "aibot_upload_media_init"
UPLOAD_CHUNK = "aibot_upload_media_chunk"
UPLOAD_FINISH = "aibot_upload_media_finish"
MESSAGE = "aibot_msg_callback"
EVENT = "aibot_event_callback"

ENTERED = "enter_chat"
DISPLACED = "disconnected_event"
CHOSEN = "template_card_event"
# Events that ask nothing of us; ``feedback_event`` is about ids that we never give.
KNOWN_EVENTS = frozenset({ENTERED, "feedback_event"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the platform: a callback (with ``cmd``; its ``req_id`` may be ""), or an answer (``errcode``)."""

    cmd: str
    req_id: str
    body: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    errcode: int | None = None
    errmsg: str = ""

    @property
    def event(self) -> str:
        """The kind of an event callback, or ""."""
        event = self.body.get("event")
        kind = event.get("eventtype") if isinstance(event, dict) else None
        return kind if isinstance(kind, str) else ""


def decode(raw: str | bytes) -> Frame:
    """The frame in a WebSocket message.

    Raises:
        BadFrame: it is none.
    """
    value = object_in(raw)
    req_id, cmd = text_at(dict_of(value.get("headers")), "req_id"), value.get("cmd") or ""
    # A callback has its say without one, too; only an answer to it needs a req_id.
    if not isinstance(cmd, str) or (not req_id and cmd not in (MESSAGE, EVENT)):
        raise BadFrame("a frame without req_id, or whose cmd is no text")
    body = value.get("body")
    return Frame(
        cmd,
        req_id,
        body if isinstance(body, dict) else EMPTY,
        number_of(value.get("errcode")),
        str(value.get("errmsg") or "")[:300],
    )


def request_id(cmd: str) -> str:
    """A new id for a request of ours, in the form of the official clients, so that logs compare."""
    return f"{cmd}_{time.time_ns() // 1_000_000}_{secrets.token_hex(4)}"


def encode(cmd: str, req_id: str, body: Mapping[str, Any] | None = None) -> str:
    """A frame of ours."""
    frame: dict[str, Any] = {"cmd": cmd, "headers": {"req_id": req_id}}
    if body is not None:
        frame["body"] = body
    return json_of(frame)


def stream(stream_id: str, content: str, finish: bool) -> dict[str, Any]:
    """The body of one frame of a stream: the whole text so far; each replaces the one before."""
    return {"msgtype": "stream", "stream": {"id": stream_id, "finish": finish, "content": content}}


def markdown(text: str) -> dict[str, Any]:
    """The body of a Markdown message."""
    return {"msgtype": "markdown", "markdown": {"content": text}}


def media(kind: str, media_id: str) -> dict[str, Any]:
    """The body of a message with an uploaded medium: image, file, voice or video."""
    return {"msgtype": kind, kind: {"media_id": media_id}}


def to_chat(peer: Peer, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a message that answers nothing."""
    return {"chatid": peer.chat_id, "chat_type": 1 if peer.chat_type == "dm" else 2, **body}
