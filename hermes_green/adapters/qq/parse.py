"""Parse: a dispatch of the gateway as a neutral message; pure.

Source of the fields: bot-docs develop/api-v2/server-inter/message/send-receive/event.md and
guild message objects; ``is_you`` from the official openclaw-qqbot types.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, Mapping

from hermes_green.adapters.qq.wire import Frame, Kind
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import need, text_at
from hermes_green.core.model import Attachment, ChatType, Inbound, Peer, Quote, Reaction

# event -> kind of chat, its neutral type, the field with the chat's id, does it mention us
_EVENTS: Mapping[str, tuple[str, ChatType, str, bool]] = {
    "C2C_MESSAGE_CREATE": (Kind.C2C, "dm", "", True),
    "GROUP_AT_MESSAGE_CREATE": (Kind.GROUP, "group", "group_openid", True),
    "GROUP_MESSAGE_CREATE": (Kind.GROUP, "group", "group_openid", False),
    "AT_MESSAGE_CREATE": (Kind.CHANNEL, "channel", "channel_id", True),
    "MESSAGE_CREATE": (Kind.CHANNEL, "channel", "channel_id", False),
    "DIRECT_MESSAGE_CREATE": (Kind.GUILD_DM, "dm", "guild_id", True),
}
# tencent-connect/qqbot-nodejs: the ``message_type`` of a message that quotes another one.
QUOTING = 103
# Guild channels alone, and only with the intent GUILD_MESSAGE_REACTIONS.
_REACTIONS: Mapping[str, bool] = {"MESSAGE_REACTION_ADD": True, "MESSAGE_REACTION_REMOVE": False}
_USER_ID = {Kind.C2C: "user_openid", Kind.GROUP: "member_openid", Kind.CHANNEL: "id", Kind.GUILD_DM: "id"}
_LEADING_MENTION = re.compile(r"^\s*<@!?\w+>")


def parse(frame: Frame, child: str, bot_id: str = "") -> Inbound | None:
    """Neutral message for a dispatch; None means valid, but not for us.

    ``bot_id``: our own user id, where known; it tells mentions of us from others'.

    Raises:
        BadFrame: an event that must be a message lacks what makes it one.
    """
    if frame.t in _REACTIONS:
        return _reaction(frame, child, bot_id)
    event = _EVENTS.get(frame.t)
    if event is None:
        return None
    kind, chat_type, chat_field, mentioned = event
    d = frame.d
    if not isinstance(d, dict):
        raise BadFrame(f"{frame.t} without an object")
    author = d.get("author")
    if not isinstance(author, dict):
        raise BadFrame(f"{frame.t} without author")
    by_bot = author.get("bot") is True
    # Guilds alone name people and bots by ids that tell us from others.
    known = bot_id != "" and kind in (Kind.CHANNEL, Kind.GUILD_DM) and text_at(author, "id") != ""
    if (by_bot and not known) or (bot_id and author.get("id") == bot_id):
        return None
    message_id = need(d, "id")
    user_id = text_at(author, _USER_ID[kind]) or text_at(author, "id")
    # A direct chat is its user; everything else has an id of its own.
    chat_id = need(d, chat_field) if chat_field else user_id
    if not user_id:
        raise BadFrame(f"{frame.t} without the author's id")
    attachments = tuple(_attachments(d.get("attachments")))
    text = _content(d, frame.t, bot_id)
    if not text and attachments:
        text = " ".join(f"[{each.kind}]" for each in attachments)
    return Inbound(
        keys=(message_id,),
        peer=Peer(
            child=child,
            chat_id=chat_id,
            chat_type=chat_type,
            user_id=user_id,
            user_name=text_at(author, "username") or None,
            # The working sign answers a message, too.
            extra={"kind": kind, "msg_id": message_id} if kind == Kind.C2C else {"kind": kind},
        ),
        message_id=message_id,
        text=text,
        attachments=attachments,
        reply_ref={"msg_id": message_id},
        mentioned=mentioned or _mentions_us(d.get("mentions"), bot_id),
        sent_at=_wall(d.get("timestamp")),
        quote=_quote(d),
        bot=by_bot,
    )


def _reaction(frame: Frame, child: str, bot_id: str) -> Inbound | None:
    """Somebody's reaction to a message; bot-docs openapi/reaction/model.md: a target of the type 0 is one, an
    emoji of the type 2 is a code point, others are the platform's own and go by their number."""
    d = frame.d if isinstance(frame.d, dict) else {}
    target, emoji = d.get("target"), d.get("emoji")
    if not isinstance(target, dict) or not isinstance(emoji, dict) or target.get("type") not in (0, "0", None):
        return None
    user_id, channel = need(d, "user_id"), need(d, "channel_id")
    message_id, number = need(target, "id"), str(emoji.get("id") or "")
    if user_id == bot_id or not number:
        return None
    shown = chr(int(number)) if emoji.get("type") == 2 and _is_character(number) else number
    return Inbound(
        keys=(f"{frame.t}:{user_id}:{message_id}:{number}:{frame.s}",),
        peer=Peer(child, channel, "channel", user_id=user_id, extra={"kind": Kind.CHANNEL}),
        message_id=message_id,
        text="",
        reaction=Reaction(shown, _REACTIONS[frame.t]),
    )


def _is_character(number: str) -> bool:
    if not (number.isascii() and number.isdigit()) or len(number) > 7:
        return False
    return 0x20 < int(number) < 0x110000 and not 0xD800 <= int(number) < 0xE000


def _quote(d: Mapping[str, Any]) -> Quote | None:
    """What a message of the type "quote" answers: the first of its elements. Guilds tell an id alone."""
    listed = d.get("msg_elements")
    quoted = listed[0] if isinstance(listed, list) and listed else None
    if d.get("message_type") != QUOTING or not isinstance(quoted, dict):
        return None
    author = quoted.get("author")
    media = tuple(_attachments(quoted.get("attachments")))
    text = text_at(quoted, "content").strip() or " ".join(f"[{each.kind}]" for each in media)
    who = text_at(author, "username") if isinstance(author, dict) else ""
    return Quote(text, who, attachments=media) if text else None


def _content(d: Mapping[str, Any], event: str, bot_id: str) -> str:
    """The text without the mention that addressed us; groups strip theirs and leave a blank."""
    content = d.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise BadFrame(f"{event} whose content is no text")
    if bot_id:
        content = re.sub(rf"<@!?{re.escape(bot_id)}>", "", content)
    elif event == "AT_MESSAGE_CREATE":
        content = _LEADING_MENTION.sub("", content)
    return content.strip()


def _mentions_us(mentions: Any, bot_id: str) -> bool:
    if not isinstance(mentions, list):
        return False
    return any(
        isinstance(each, dict) and (each.get("is_you") is True or (bot_id != "" and each.get("id") == bot_id))
        for each in mentions
    )


def _attachments(listed: Any) -> list[Attachment]:
    """What can be understood of the attachments; the rest is no reason to lose the message."""
    found = []
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or not text_at(each, "url"):
            continue
        mime, url, size = text_at(each, "content_type"), text_at(each, "url"), each.get("size")
        if "://" not in url:
            url = "https://" + url.lstrip("/")
        found.append(
            Attachment(
                kind=_media_kind(mime),
                ref={"url": url},
                name=text_at(each, "filename"),
                mime=mime if "/" in mime else "",
                size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
            )
        )
    return found


def _media_kind(mime: str) -> Literal["image", "file", "audio", "video"]:
    head = mime.partition("/")[0]
    if head == "image":
        return "image"
    if head == "video":
        return "video"
    return "audio" if head in ("voice", "audio") else "file"


def _wall(stamp: Any) -> float | None:
    """Wall seconds of an RFC 3339 stamp; None where there is none to understand."""
    if not isinstance(stamp, str) or not stamp:
        return None
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return when.timestamp() if when.tzinfo else None
