"""Wire: the frames of Socket Mode; pure.

Sources: slack_sdk 3.47.0 ``socket_mode/request.py`` and ``socket_mode/client.py``, @slack/socket-mode 3.1.0,
docs.slack.dev/apis/events-api/using-socket-mode.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping

from hermes_green.core.loose import object_in
from hermes_green.core.model import EMPTY

HELLO, DISCONNECT, EVENTS, COMMAND, INTERACTIVE = "hello", "disconnect", "events_api", "slash_commands", "interactive"


@dataclass(frozen=True, slots=True)
class Frame:
    """One text message from Slack. ``envelope``: the id to acknowledge it by, "" where none is due."""

    kind: str
    envelope: str = ""
    payload: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    reason: str = ""
    app_id: str = ""
    answerable: bool = False


def decode(raw: str | bytes) -> Frame:
    """The frame in one WebSocket message.

    Raises:
        BadFrame: it is none.
    """
    message = object_in(raw)
    info, payload = message.get("connection_info"), message.get("payload")
    return Frame(
        kind=_text(message.get("type")),
        envelope=_text(message.get("envelope_id")),
        payload=payload if isinstance(payload, dict) else EMPTY,
        reason=_text(message.get("reason")),
        app_id=_text(info.get("app_id")) if isinstance(info, dict) else "",
        answerable=message.get("accepts_response_payload") is True,
    )


def acknowledgement(envelope: str, text: str = "") -> str:
    """The answer that stops Slack from sending an envelope again; ``text`` is shown to the one who
    gave a command."""
    answer: dict[str, Any] = {"envelope_id": envelope}
    if text:
        answer["payload"] = {"text": text}
    return json.dumps(answer)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
