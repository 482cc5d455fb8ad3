"""Frames of a Stream connection: the only file that knows the SDK's frame classes and the topics.

Protocol facts: dingtalk-stream 0.24.3 ``frames.py``, ``handlers.py``, ``chatbot.py``; open-dingtalk
developerpedia ``docs/learn/stream/protocol.md``; dingtalk-stream 2.1.5 (Node) for the system topics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping

from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, object_in
from hermes_green.link.light import load_light

# The package's ``__init__`` pulls aiohttp and asyncio; its frames need json alone.
_sdk: Any = load_light("dingtalk_stream.frames")

SYSTEM: str = _sdk.SystemMessage.TYPE
EVENT: str = _sdk.EventMessage.TYPE
CALLBACK: str = _sdk.CallbackMessage.TYPE
_CLASSES: Mapping[str, Any] = {
    SYSTEM: _sdk.SystemMessage,
    EVENT: _sdk.EventMessage,
    CALLBACK: _sdk.CallbackMessage,
}

# Topics of SYSTEM frames
DISCONNECT: str = _sdk.SystemMessage.TOPIC_DISCONNECT
PING, KEEPALIVE = "ping", "KEEPALIVE"
# Topics of CALLBACK frames
ROBOT = "/v1.0/im/bot/messages/get"
CARD = "/v1.0/card/instances/callback"

OK: int = _sdk.AckMessage.STATUS_OK
UNKNOWN_TOPIC: int = _sdk.AckMessage.STATUS_NOT_IMPLEMENT
# What the platform expects in an acknowledgement's data, by kind of frame.
ROBOT_TAKEN: Mapping[str, Any] = {"response": None}
CARD_TAKEN: Mapping[str, Any] = {"response": {}}
EVENT_TAKEN: Mapping[str, Any] = {"status": "SUCCESS", "message": ""}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the platform; ``data`` is decoded. ``id`` is what an acknowledgement names."""

    type: str
    topic: str
    id: str
    data: Any


@bordered
def decode(raw: str | bytes) -> Frame:
    """The frame in one WebSocket message.

    Raises:
        BadFrame: not a frame.
    """
    body = object_in(raw)
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise BadFrame(f"a frame of unknown type {str(kind)[:40]!r}")
    # The SDK's classes make a number of a time that is there, be it null.
    headers = {name: value for name, value in body["headers"].items() if value is not None}
    message = _CLASSES[kind].from_dict({**body, "headers": headers})
    topic, id = message.headers.topic, message.headers.message_id
    if not isinstance(topic, str) or not isinstance(id, str | None):
        raise BadFrame("a frame without a topic")
    return Frame(kind, topic, id or "", message.data)


def id_of(raw: str | bytes) -> str:
    """The id under which even a frame that makes no sense may be acknowledged; "" where it has none."""
    try:
        id = json.loads(raw)["headers"]["messageId"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return id if isinstance(id, str) else ""


def acknowledgement(id: str, data: Any, code: int = OK, message: str = "OK") -> str:
    """The answer to the frame ``id``: ``data`` travels as a string of JSON."""
    ack = _sdk.AckMessage()
    ack.code = code
    ack.headers.message_id = id
    ack.headers.content_type = _sdk.Headers.CONTENT_TYPE_APPLICATION_JSON
    ack.message = message
    ack.data = data
    return json.dumps(ack.to_dict())


def subscriptions(cards: bool) -> list[dict[str, str]]:
    """What to ask for. Events are not: every connection of the app shares them, so that asking for
    what nobody here reads would take them from whoever does."""
    topics = [ROBOT, CARD] if cards else [ROBOT]
    return [{"type": CALLBACK, "topic": topic} for topic in topics]
