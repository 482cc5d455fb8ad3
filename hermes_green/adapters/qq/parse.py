"""Parse: a dispatch of the gateway as a neutral message; pure.

Source of the fields: bot-docs develop/api-v2/server-inter/message/send-receive/event.md and
guild message objects; ``is_you`` from the official openclaw-qqbot types.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.wire import Frame, Kind
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, count_of, dict_of, instant_of, need, number_of, objects_of, text_at
from hermes_green.core.model import Attachment, Inbound, Peer, Quote, Reaction, kind_of, wordless

# event -> kind of chat, does it mention us
_EVENTS: Mapping[str, tuple[Kind, bool]] = {
    "C2C_MESSAGE_CREATE": (wire.C2C, True),
    "GROUP_AT_MESSAGE_CREATE": (wire.GROUP, True),
    "GROUP_MESSAGE_CREATE": (wire.GROUP, False),
    "AT_MESSAGE_CREATE": (wire.CHANNEL, True),
    "MESSAGE_CREATE": (wire.CHANNEL, False),
    "DIRECT_MESSAGE_CREATE": (wire.GUILD_DM, True),
}
# tencent-connect/qqbot-nodejs: the ``message_type`` of a message that quotes another one.
QUOTING = 103
# Guild channels alone, and only with the intent GUILD_MESSAGE_REACTIONS.
_REACTIONS: Mapping[str, bool] = {"MESSAGE_REACTION_ADD": True, "MESSAGE_REACTION_REMOVE": False}
# What stands for a message of which nothing is told.
EMPTY = "message"
_LEADING_MENTION = re.compile(r"^\s*<@!?\w+>")


@bordered
def parse(frame: Frame, child: str, bot_id: str = "") -> Inbound | None:
    """Neutral message for a dispatch; None means valid, but not for us.

    ``bot_id``: our own user id, where known; it tells mentions of us from others'.

    Raises:
        BadFrame: an event that must be a message lacks what makes it one.
    """
    if frame.t in _REACTIONS:
        return _reaction(frame, child, bot_id)
    if frame.t not in _EVENTS:
        return None
    kind, mentioned = _EVENTS[frame.t]
    d = dict_of(frame.d)
    author = need(d, "author", dict)
    by_bot = author.get("bot") is True
    # Guilds alone name people and bots by ids that tell us from others.
    known = bot_id != "" and kind in (wire.CHANNEL, wire.GUILD_DM) and text_at(author, "id") != ""
    if (by_bot and not known) or (bot_id and author.get("id") == bot_id):
        return None
    message_id = need(d, "id")
    user_id = text_at(author, kind.user) or need(author, "id")
    attachments = _attachments(d)
    text, quote = _content(d, frame.t, bot_id) or wordless(attachments), _quote(d)
    # In direct chats nobody calls us by name alone: what has no words has something that is not told of.
    strange = "" if text or quote or kind is not wire.C2C else EMPTY
    return Inbound(
        keys=(message_id,),
        peer=Peer(
            child=child,
            chat_id=need(d, kind.chat) if kind.chat else user_id,
            chat_type=kind.type,
            user_id=user_id,
            user_name=text_at(author, "username") or None,
            # The working sign answers a message, too.
            extra={"kind": kind.name, "msg_id": message_id} if kind is wire.C2C else {"kind": kind.name},
        ),
        message_id=message_id,
        text=text or (f"[{strange}]" if strange else ""),
        attachments=attachments,
        reply_ref={"msg_id": message_id},
        mentioned=mentioned or any(_is_us(each, bot_id) for each in objects_of(d.get("mentions"))),
        sent_at=instant_of(d.get("timestamp")),
        quote=quote,
        bot=by_bot,
        strange=strange,
    )


def _reaction(frame: Frame, child: str, bot_id: str) -> Inbound | None:
    """Somebody's reaction to a message; bot-docs openapi/reaction/model.md: a target of the type 0 is one, an
    emoji of the type 2 is a code point, others are the platform's own and go by their number."""
    d = dict_of(frame.d)
    target, emoji = dict_of(d.get("target")), dict_of(d.get("emoji"))
    number = str(emoji.get("id") or "")
    if not target or target.get("type") not in (0, "0", None) or not number:
        return None
    user_id, channel, message_id = need(d, "user_id"), need(d, "channel_id"), need(target, "id")
    if user_id == bot_id:
        return None
    return Inbound(
        keys=(f"{frame.t}:{user_id}:{message_id}:{number}:{frame.s}",),
        peer=Peer(child, channel, "channel", user_id=user_id, extra={"kind": wire.CHANNEL.name}),
        message_id=message_id,
        text="",
        reaction=Reaction(_character(number) if emoji.get("type") == 2 else number, _REACTIONS[frame.t]),
    )


def _character(number: str) -> str:
    """The character of a code point; the number itself where it is none."""
    point = number_of(number) or 0
    return chr(point) if 0x20 < point < 0x110000 and not 0xD800 <= point < 0xE000 else number


def _quote(d: Mapping[str, Any]) -> Quote | None:
    """What a message of the type "quote" answers: the first of its elements. Guilds tell an id alone."""
    elements = objects_of(d.get("msg_elements"))
    if d.get("message_type") != QUOTING or not elements:
        return None
    quoted = elements[0]
    media = _attachments(quoted)
    text = text_at(quoted, "content").strip() or wordless(media)
    return Quote(text, text_at(dict_of(quoted.get("author")), "username"), attachments=media) if text else None


def _content(d: Mapping[str, Any], event: str, bot_id: str) -> str:
    """The text without the mention that addressed us; groups strip theirs and leave a blank."""
    if not isinstance(d.get("content"), str | None):
        raise BadFrame(f"{event} whose content is no text")
    content = text_at(d, "content")
    if bot_id:
        content = re.sub(rf"<@!?{re.escape(bot_id)}>", "", content)
    elif event == "AT_MESSAGE_CREATE":
        content = _LEADING_MENTION.sub("", content)
    return content.strip()


def _is_us(mention: Mapping[str, Any], bot_id: str) -> bool:
    return mention.get("is_you") is True or (bot_id != "" and mention.get("id") == bot_id)


def _attachments(holder: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """What can be understood of a message's attachments; the rest is no reason to lose the message."""
    return tuple(
        Attachment(
            kind=kind_of(mime := text_at(each, "content_type")),
            ref={"url": url if "://" in url else "https://" + url.lstrip("/")},
            name=text_at(each, "filename"),
            mime=mime if "/" in mime else "",
            size=count_of(each.get("size")),
        )
        for each in objects_of(holder.get("attachments"))
        if (url := text_at(each, "url"))
    )
