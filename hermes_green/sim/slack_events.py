"""What the simulated Slack says about its users: ids, messages, event bodies.

Shapes: docs.slack.dev/reference/events, slack_sdk 3.47.0 ``socket_mode/request.py``.
"""

from __future__ import annotations

import html
import secrets
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Mapping

TEAM = "T0SIMTEAM"
APP_ID = "A0SIMAPP001"
BOT_USER, BOT_ID, BOT_NAME = "U0SIMBOT", "B0SIMBOT", "sim-bot"

# what a user says where -> the channel_type of its events, and the chat where none is named
SCENES: Mapping[str, tuple[str, str]] = {
    "dm": ("im", ""),
    "group": ("mpim", "G0SIMGROUP"),
    "channel": ("channel", "C0SIMCHANNEL"),
    "private": ("group", "C0SIMPRIVATE"),
}
_numbers = count(1)


def new_id(prefix: str) -> str:
    """An id as Slack writes them."""
    return prefix + secrets.token_hex(5).upper()


def new_ts() -> str:
    """The time a message is known by; no two are the same."""
    return f"{int(time.time())}.{next(_numbers) % 1_000_000:06d}"


def escaped(text: str) -> str:
    """Text as it goes into events."""
    return html.escape(text, quote=False)


def unescaped(text: str) -> str:
    """Text as people see it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@dataclass(slots=True)
class Message:
    """A message that exists in a chat, a user's or the bot's; ``text`` as it goes on the wire."""

    ts: str
    chat: str
    user: str
    text: str
    thread: str = ""
    by_bot: bool = False
    metadata: Mapping[str, Any] | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    edits: int = 0

    def shown(self, metadata: bool = False) -> dict[str, Any]:
        """The message as history tells it."""
        told: dict[str, Any] = {"type": "message", "user": self.user, "text": self.text, "ts": self.ts, "team": TEAM}
        if self.by_bot:
            told |= {"bot_id": BOT_ID, "app_id": APP_ID}
        if self.thread:
            told |= {"thread_ts": self.thread, "parent_user_id": self.user}
        if self.files:
            told["files"] = self.files
        if self.metadata and metadata:
            told["metadata"] = dict(self.metadata)
        return told


def event_of(message: Message, channel_type: str) -> dict[str, Any]:
    """The ``message`` event of a message."""
    event = {**message.shown(), "channel": message.chat, "channel_type": channel_type, "event_ts": message.ts}
    if message.files:
        event["subtype"] = "file_share"
    if not message.by_bot:
        event["client_msg_id"] = secrets.token_hex(16)
        event["blocks"] = [{"type": "rich_text", "block_id": "x", "elements": []}]
    return event


def mention_of(message: Message) -> dict[str, Any]:
    """The ``app_mention`` event of the same message; it does not tell the kind of channel."""
    return {**message.shown(), "type": "app_mention", "channel": message.chat, "event_ts": message.ts}


def changed(message: Message, channel_type: str) -> dict[str, Any]:
    """The event of an edit."""
    return {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "channel": message.chat,
        "channel_type": channel_type,
        "ts": new_ts(),
        "message": message.shown(),
        "previous_message": {**message.shown(), "text": "…"},
    }


def deleted(message: Message, channel_type: str) -> dict[str, Any]:
    """The event of a deletion."""
    return {
        "type": "message",
        "subtype": "message_deleted",
        "hidden": True,
        "channel": message.chat,
        "channel_type": channel_type,
        "ts": new_ts(),
        "deleted_ts": message.ts,
    }


def callback(event: Mapping[str, Any], event_id: str = "") -> dict[str, Any]:
    """The payload of an ``events_api`` envelope."""
    return {
        "token": "sim-verification",
        "team_id": TEAM,
        "api_app_id": APP_ID,
        "event": dict(event),
        "type": "event_callback",
        "event_id": event_id or new_id("Ev"),
        "event_time": int(time.time()),
        "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
        "is_ext_shared_channel": False,
        "event_context": "4-sim",
    }
