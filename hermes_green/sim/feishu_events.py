"""What Feishu's users do, as the event JSON (schema 2.0) that the platform pushes. Pure."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, Sequence

BOT_NAME = "Sim Bot"
TENANT = "sim_tenant"
BOT = "ou_sim_bot"
# open.feishu.cn "Merge and forward messages": what stands in the message that holds them.
MERGED = "Merged and Forwarded Message"


def new_id(prefix: str) -> str:
    """A fresh id as the platform forms them."""
    return prefix + uuid.uuid4().hex


def millis() -> str:
    """Now, as the platform writes times."""
    return str(int(time.time() * 1000))


def person(open_id: str) -> dict[str, Any]:
    """The three ids of a user; ``user_id`` is null because its scope is not granted."""
    return {"open_id": open_id, "union_id": "on_" + open_id.removeprefix("ou_"), "user_id": None}


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a user, before it becomes an event."""

    message_id: str
    chat: str
    chat_type: str
    user: str
    message_type: str
    content: dict[str, Any]
    mentions: tuple[dict[str, Any], ...] = ()
    root_id: str = ""
    parent_id: str = ""
    thread_id: str = ""


def mention(number: int, who: str) -> dict[str, Any]:
    """One entry of ``mentions``: ``bot``, ``all`` or a user's open_id."""
    if who == "all":
        return {"key": "@_all", "id": {"open_id": "", "union_id": "", "user_id": ""}, "name": "Everyone"}
    is_bot = who == "bot"
    return {
        "key": f"@_user_{number}",
        "id": {"open_id": BOT if is_bot else who, "union_id": f"on_{who}", "user_id": ""},
        "name": BOT_NAME if is_bot else who.removeprefix("ou_"),
        "mentioned_type": "bot" if is_bot else "user",
        "tenant_key": TENANT,
    }


def text_with(text: str, mentions: Sequence[dict[str, Any]]) -> str:
    """``text`` with ``@<n>`` replaced by the n-th mention's key (from 1), or the keys put before it."""
    if "@<" not in text:
        return " ".join([entry["key"] for entry in mentions] + [text]) if mentions else text
    for number, entry in enumerate(mentions, 1):
        text = text.replace(f"@<{number}>", entry["key"])
    return text


def written(message_type: str, content: dict[str, Any]) -> str:
    """The content as it stands in a message: JSON, and a sentence where messages were forwarded as one."""
    return MERGED if message_type == "merge_forward" else json.dumps(content, ensure_ascii=False)


def content_of(message_type: str, text: str, mentions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of a message of that type, made from ``text``."""
    key = uuid.uuid4().hex
    if message_type == "text":
        return {"text": text_with(text, mentions)}
    if message_type == "post":
        marks = [{"tag": "at", "user_id": entry["key"], "user_name": entry["name"]} for entry in mentions]
        lines: list[list[dict[str, Any]]] = [[{"tag": "text", "text": line, "style": []}] for line in text.split("\n")]
        lines[0] = [*marks, *lines[0]]
        return {"title": "", "content": lines}
    if message_type == "image":
        return {"image_key": f"img_v3_{key}"}
    if message_type == "file":
        return {"file_key": f"file_v3_{key}", "file_name": text or "report.pdf"}
    if message_type == "audio":
        return {"file_key": f"file_v3_{key}", "duration": 2000}
    if message_type == "media":
        return {"file_key": f"file_v3_{key}", "image_key": f"img_v3_{key}", "file_name": "v.mp4", "duration": 2000}
    if message_type == "sticker":
        return {"file_key": f"file_v3_{key}"}
    return {"text": text}


def envelope(app_id: str, event_type: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event as pushed; ``create_time`` is set again when it really happens."""
    header = {
        "event_id": uuid.uuid4().hex,
        "token": "",
        "create_time": millis(),
        "event_type": event_type,
        "tenant_key": TENANT,
        "app_id": app_id,
    }
    return {"schema": "2.0", "header": header, "event": event}


def message_received(app_id: str, said: Said) -> dict[str, Any]:
    """``im.message.receive_v1``."""
    now = millis()
    message: dict[str, Any] = {
        "message_id": said.message_id,
        "create_time": now,
        "update_time": now,
        "chat_id": said.chat,
        "chat_type": said.chat_type,
        "message_type": said.message_type,
        "content": written(said.message_type, said.content),
        "user_agent": "Mozilla/5.0 Lark/7.64.6",
    }
    for key in ("root_id", "parent_id", "thread_id"):
        if getattr(said, key):
            message[key] = getattr(said, key)
    if said.mentions:
        message["mentions"] = list(said.mentions)
    sender = {"sender_id": person(said.user), "sender_type": "user", "tenant_key": TENANT}
    return envelope(app_id, "im.message.receive_v1", {"sender": sender, "message": message})


def reaction(app_id: str, created: bool, message_id: str, user: str, emoji: str) -> dict[str, Any]:
    """``im.message.reaction.created_v1`` or ``deleted_v1``; ``bot`` reacts as the app, which comes back too."""
    by_app = user == "bot"
    event = {
        "message_id": message_id,
        "reaction_type": {"emoji_type": emoji},
        "operator_type": "app" if by_app else "user",
        "user_id": None if by_app else person(user),
        "app_id": app_id if by_app else "",
        "action_time": millis(),
    }
    return envelope(app_id, f"im.message.reaction.{'created' if created else 'deleted'}_v1", event)


def recalled(app_id: str, message_id: str, chat: str) -> dict[str, Any]:
    """``im.message.recalled_v1``."""
    event = {"message_id": message_id, "chat_id": chat, "recall_time": millis(), "recall_type": "message_owner"}
    return envelope(app_id, "im.message.recalled_v1", event)


def entered(app_id: str, chat: str, user: str) -> dict[str, Any]:
    """``im.chat.access_event.bot_p2p_chat_entered_v1``: a user opened the chat with the bot."""
    event = {
        "chat_id": chat,
        "operator_id": person(user),
        "last_message_id": "",
        "last_message_create_time": "",
    }
    return envelope(app_id, "im.chat.access_event.bot_p2p_chat_entered_v1", event)


def membership(app_id: str, added: bool, chat: str, user: str) -> dict[str, Any]:
    """``im.chat.member.bot.added_v1`` or ``deleted_v1``."""
    event = {
        "chat_id": chat,
        "operator_id": person(user),
        "external": False,
        "operator_tenant_key": TENANT,
        "name": chat,
        "i18n_names": {"zh_cn": chat, "en_us": chat, "ja_jp": chat},
    }
    return envelope(app_id, f"im.chat.member.bot.{'added' if added else 'deleted'}_v1", event)


def card_action(app_id: str, chat: str, user: str, message_id: str, value: Any) -> dict[str, Any]:
    """``card.action.trigger``: a click; it is not redelivered and its answer travels in the ack."""
    event = {
        "operator": {"tenant_key": TENANT, **person(user)},
        "token": "c-" + uuid.uuid4().hex,
        "action": {"value": value, "tag": "button"},
        "host": "im_message",
        "context": {"open_message_id": message_id, "open_chat_id": chat},
    }
    return envelope(app_id, "card.action.trigger", event)
