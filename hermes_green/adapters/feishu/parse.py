"""From an event's JSON to a neutral message; pure.

Shapes: open.feishu.cn "Receive message" (schema 2.0) and lark-oapi 1.7.5 ``api/im/v1/model``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping

from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, dict_of, list_of, need, object_in, seconds_of, text_at, text_of
from hermes_green.core.model import Attachment, Inbound, Peer, Quote, Reaction

MESSAGE = "im.message.receive_v1"
REACTIONS: Mapping[str, bool] = {"im.message.reaction.created_v1": True, "im.message.reaction.deleted_v1": False}

_MENTION = re.compile(r"(@_(?:user_\d+|all))( ?)")

# What is shown for kinds that carry no text, and what stands in for their media.
_KINDS = {
    "image": "[image]",
    "file": "[file]",
    "folder": "[folder]",
    "audio": "[audio]",
    "media": "[video]",
    "sticker": "[sticker]",
    "interactive": "[card]",
    "share_chat": "[shared chat]",
    "share_user": "[shared contact]",
    "merge_forward": "[forwarded messages]",
    "location": "[location]",
    "todo": "[task]",
    "vote": "[vote]",
    "video_chat": "[video call]",
    "calendar": "[calendar event]",
}


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are on the platform, as far as is known; both empty before the platform has told."""

    open_id: str = ""
    name: str = ""

    def is_me(self, mention: Mapping[str, Any]) -> bool:
        """Does a ``mentions`` entry mean us? Without our open_id, a mentioned bot of our name does,
        or, where the name is unknown too, any bot: without ``im:message.group_msg`` a group's messages
        only reach the bots they mention."""
        if self.open_id:
            return text_of(dict_of(mention.get("id")).get("open_id")) == self.open_id
        if text_of(mention.get("mentioned_type")) != "bot":
            return False
        return not self.name or text_of(mention.get("name")) == self.name


@bordered
def parse(payload: bytes, *, child: str, bot: Bot = Bot()) -> Inbound | None:
    """The neutral message in one event; None means valid, but not for us.

    Everything but messages and reactions is not for us: recalls, chats entered, members, cards; nor is what
    we do ourselves, which comes back where it is a reaction.

    Raises:
        BadFrame: not an event, or a message event without what a message must have.
    """
    event = object_in(payload)
    header = dict_of(event.get("header"))
    happened = text_of(header.get("event_type"))
    if happened in REACTIONS:
        return _reaction(dict_of(event.get("event")), text_of(header.get("event_id")), REACTIONS[happened], child)
    if happened != MESSAGE:
        return None
    body = need(event, "event", dict)
    message = need(body, "message", dict)
    message_id, chat_id = need(message, "message_id"), need(message, "chat_id")
    kind = need(message, "message_type")
    sender = dict_of(body.get("sender"))
    user_id = text_of(dict_of(sender.get("sender_id")).get("open_id"))
    by_bot = text_of(sender.get("sender_type")) in ("app", "bot")
    # Whose words a bot's are can only be told by ids: ours must not come back to us.
    ours = user_id == bot.open_id if user_id and bot.open_id else by_bot
    if ours:
        return None
    if kind == "system":
        return None
    dm = text_of(message.get("chat_type")) == "p2p"
    thread_id = text_of(message.get("thread_id")) or None
    content = _content(message)
    mentions = [entry for entry in list_of(message.get("mentions")) if isinstance(entry, dict)]
    text, attachments = _body(kind, content, message_id)
    text = _mentions(text, mentions, bot)
    event_id = text_of(header.get("event_id"))
    reply_ref: dict[str, Any] = {"message_id": message_id}
    if thread_id:
        reply_ref["in_thread"] = True
    return Inbound(
        keys=(event_id, message_id) if event_id else (message_id,),
        peer=Peer(
            child=child,
            chat_id=chat_id,
            chat_type="dm" if dm else "group",
            thread_id=thread_id,
            user_id=user_id or None,
        ),
        message_id=message_id,
        text=text,
        attachments=attachments,
        reply_ref=reply_ref,
        mentioned=dm or any(bot.is_me(entry) for entry in mentions),
        sent_at=seconds_of(text_at(message, "create_time"), 1000),
        quote=_answered(message, thread_id),
        bot=by_bot,
    )


def _reaction(body: dict[str, Any], event_id: str, added: bool, child: str) -> Inbound | None:
    """Somebody's reaction to a message. In which chat the platform does not say: so the rules for direct
    chats hold, and the message is asked for where somebody wants to know."""
    user_id, message_id = text_of(dict_of(body.get("user_id")).get("open_id")), text_of(body.get("message_id"))
    emoji = text_of(dict_of(body.get("reaction_type")).get("emoji_type"))
    if text_of(body.get("operator_type")) != "user" or not (user_id and message_id and emoji and event_id):
        return None
    return Inbound(
        keys=(event_id,),
        peer=Peer(child, "", "dm", user_id=user_id),
        message_id=message_id,
        text="",
        sent_at=seconds_of(text_at(body, "action_time"), 1000),
        quote=Quote(message_id=message_id, ref={"message_id": message_id}),
        reaction=Reaction(emoji, added),
    )


def _answered(message: dict[str, Any], thread_id: str | None) -> Quote | None:
    """What it answers: the frame has its id alone. In a thread that is always what opened it."""
    parent = text_of(message.get("parent_id"))
    return Quote(message_id=parent, ref={"message_id": parent}, opens=thread_id is not None) if parent else None


def quoted(item: Mapping[str, Any], app_id: str, bot: Bot) -> Quote:
    """A message as "Get message" tells it.

    Raises:
        BadFrame: it is none that says anything.
    """
    try:
        message_id, kind = text_of(item.get("message_id")), text_of(item.get("msg_type"))
        content = _content(dict_of(item.get("body")))
        if kind == "interactive" and isinstance(content.get("elements"), list):
            # A card is told as a post is, one list of elements for each of its lines.
            kind, content = "post", {"title": content.get("title"), "content": content["elements"]}
        text, attachments = _body(kind, content, message_id)
        mentions = [entry for entry in list_of(item.get("mentions")) if isinstance(entry, dict)]
        author = text_of(dict_of(item.get("sender")).get("id"))
        return Quote(
            text=_mentions(text, mentions, bot),
            author=bot.name if bot.name and author == app_id else author,
            message_id=message_id,
            attachments=attachments,
            chat_id=text_of(item.get("chat_id")),
        )
    except Exception as error:  # parse border: whatever a stranger's JSON makes us stumble over
        raise BadFrame(f"{type(error).__name__}: {error}") from error


def _content(message: dict[str, Any]) -> dict[str, Any]:
    raw = message.get("content")
    if raw is None or raw == "":
        return {}
    if not isinstance(raw, str):
        raise BadFrame("content is not a string")
    content = json.loads(raw)
    if not isinstance(content, dict):
        raise BadFrame("content is not a JSON object in a string")
    return content


def _body(kind: str, content: dict[str, Any], message_id: str) -> tuple[str, tuple[Attachment, ...]]:
    """Text and media of one message."""
    if kind == "text":
        return text_of(content.get("text")), ()
    if kind == "post":
        return _post(content, message_id)
    text = _KINDS.get(kind, f"[{kind[:40]}]")
    name = text_of(content.get("file_name")) or text_of(content.get("name"))
    if name and kind in ("file", "folder", "media", "location"):
        text = f"{text[:-1]}: {name}]"
    media = {"image": "image", "file": "file", "audio": "audio", "media": "video"}.get(kind)
    if media is None:
        return text, ()
    key = text_of(content.get("image_key" if kind == "image" else "file_key"))
    return text, (_attachment(media, key, message_id, name),) if key else ()


def _attachment(kind: Any, key: str, message_id: str, name: str = "") -> Attachment:
    # The resource address takes "image" for images and "file" for everything else.
    ref = {"message_id": message_id, "key": key, "type": "image" if kind == "image" else "file"}
    return Attachment(kind=kind, ref=ref, name=name)


def _post(content: dict[str, Any], message_id: str) -> tuple[str, tuple[Attachment, ...]]:
    """A rich text as plain text: its title, then a line per paragraph."""
    if not isinstance(content.get("content"), list):
        # As it is sent, and in some forwarded messages: one body per language.
        content = next((body for body in content.values() if isinstance(body, dict)), {})
    lines: list[str] = []
    media: list[Attachment] = []
    if title := text_of(content.get("title")):
        lines.append(title)
    for paragraph in list_of(content.get("content")):
        elements = [element for element in list_of(paragraph) if isinstance(element, dict)]
        lines.append("".join(_element(element, message_id, media) for element in elements).strip("\n"))
    return "\n".join(lines), tuple(media)


def _element(element: dict[str, Any], message_id: str, media: list[Attachment]) -> str:
    tag = text_of(element.get("tag"))
    text = text_of(element.get("text"))
    if tag == "a":
        href = text_of(element.get("href"))
        return f"[{text}]({href})" if href and text and text != href else text or href
    if tag == "at":
        # ``user_id`` is the key of an entry in ``mentions``, replaced with those of a text message.
        key = text_of(element.get("user_id"))
        return key if _MENTION.fullmatch(key) else "@" + (text_of(element.get("user_name")) or key)
    if tag == "code_block":
        return f"\n```{text_of(element.get('language')).lower()}\n{text.rstrip()}\n```\n"
    if tag == "emotion":
        return f":{text_of(element.get('emoji_type'))}:"
    if tag == "hr":
        return "---"
    if tag in ("img", "media"):
        key = text_of(element.get("image_key" if tag == "img" else "file_key"))
        if key:
            media.append(_attachment("image" if tag == "img" else "video", key, message_id))
        return "[image]" if tag == "img" else "[video]"
    return text


def _mentions(text: str, mentions: list[dict[str, Any]], bot: Bot) -> str:
    """Keys become names; our own mention goes, for it is an address and not a part of the message.

    ``@_all`` becomes ``@all``; it addresses the room, not the bot.
    """
    names: dict[str, str] = {}
    for entry in mentions:
        name = " ".join(text_of(entry.get("name")).split())
        names[text_of(entry.get("key"))] = "" if bot.is_me(entry) else f"@{name}"
    names["@_all"] = "@all"

    def shown(match: re.Match[str]) -> str:
        key, blank = match.groups()
        name = names.get(key, key)
        return name + blank if name else ""

    return _MENTION.sub(shown, text).strip()
