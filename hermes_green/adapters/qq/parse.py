"""Parse: a dispatch of the gateway as a neutral message; pure.

Source of the fields: bot-docs develop/api-v2/server-inter/message/send-receive/event.md and
guild message objects; ``is_you`` from the official openclaw-qqbot types.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.wire import Frame, Kind
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, count_of, dict_of, instant_of, need, number_of, objects_of, text_at
from hermes_green.core.model import Attachment, Inbound, Peer, Quote, Reaction, kind_of, wordless
from hermes_green.core.text import reworded

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
_IDS = ("id", "member_openid", "user_openid")
_MENTION = re.compile(r"(<@!?(\w+)>)( ?)")
# tencent-connect/openclaw-qqbot utils/text-parsing.ts: a face, its name in the base64 of a JSON object.
_FACE = re.compile(r'<faceType=\d+,faceId="[^"]*",ext="([^"]*)">')


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
    guild = kind in (wire.CHANNEL, wire.GUILD_DM)
    if (by_bot and not (guild and bot_id and text_at(author, "id"))) or (bot_id and author.get("id") == bot_id):
        return None
    message_id = need(d, "id")
    user_id = text_at(author, kind.user) or need(author, "id")
    if not isinstance(d.get("content"), str | None):
        raise BadFrame(f"{frame.t} whose content is no text")
    attachments, content = _attachments(d), _content(d, bot_id)
    # bot-docs message_format.md: guilds escape what could be a mark, and nothing else.
    typed = content.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") if guild else content
    text, quote = typed or wordless(attachments), _quote(d, bot_id)
    chat_id, extra = need(d, kind.chat) if kind.chat else user_id, {"kind": kind.name}
    if kind is wire.C2C:
        extra["msg_id"] = message_id  # the working sign answers a message, too
    # In direct chats nobody calls us by name alone: what has no words has something that is not told of.
    strange = "" if text or quote or kind is not wire.C2C else EMPTY
    return Inbound(
        keys=(message_id,),
        peer=Peer(child, chat_id, kind.type, None, user_id, text_at(author, "username") or None, extra),
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


def _quote(d: Mapping[str, Any], bot_id: str) -> Quote | None:
    """What a message of the type "quote" answers: the first of its elements. Guilds tell an id alone."""
    elements = objects_of(d.get("msg_elements"))
    if d.get("message_type") != QUOTING or not elements:
        return None
    quoted, media = elements[0], _attachments(elements[0])
    text = _content(quoted, bot_id) or wordless(media)
    return Quote(text, text_at(dict_of(quoted.get("author")), "username"), attachments=media) if text else None


def _content(holder: Mapping[str, Any], bot_id: str) -> str:
    """A text with names in place of marks, and without the mention that addressed us; groups strip theirs and leave
    a blank. Where there is none, what the platform has heard in a voice."""
    names = {bot_id: ""}
    for each in objects_of(holder.get("mentions")):
        name = "" if _is_us(each, bot_id) else "@" + (text_at(each, "nickname") or text_at(each, "username"))
        names |= {text_at(each, field): name for field in _IDS if name != "@"}
    heard = (text_at(each, "asr_refer_text") for each in objects_of(holder.get("attachments")))
    text = _FACE.sub(_face, text_at(holder, "content").strip() or " ".join(heard))
    return reworded(text, _MENTION, lambda mark: names.get(mark[2], mark[1])).strip()


def _face(mark: re.Match[str]) -> str:
    try:
        name = text_at(dict_of(json.loads(b64decode(mark[1]))), "text")
    except (ValueError, RecursionError):
        name = ""
    return f"[{name or 'face'}]"


def _is_us(mention: Mapping[str, Any], bot_id: str) -> bool:
    """Whether it is us; where our id is not known, any bot may be."""
    return mention.get("is_you") is True or (mention.get("id") == bot_id if bot_id else mention.get("bot") is True)


def _attachments(holder: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """What can be understood of a message's attachments; the rest is no reason to lose the message."""
    return tuple(_attachment(each) for each in objects_of(holder.get("attachments")) if text_at(each, "url"))


def _attachment(told: Mapping[str, Any]) -> Attachment:
    url, mime = text_at(told, "url"), text_at(told, "content_type")
    ref = {"url": url if "://" in url else "https://" + url.lstrip("/")}
    kind, name = kind_of(mime), text_at(told, "filename")
    return Attachment(kind, ref, name, mime if "/" in mime else "", count_of(told.get("size")))
