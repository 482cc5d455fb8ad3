"""Render: a reply as the texts QQ takes; pure.

Plain text (msg_type 0): Markdown messages need a permission most bots do not have. No maximum
length is documented; 4,000 characters is what clients in the field use.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from hermes_green.adapters.qq.wire import C2C, GROUP, Kind, kind_of
from hermes_green.content import media, plain
from hermes_green.content.markdown import storable
from hermes_green.content.pack import Size, fit
from hermes_green.core.model import Attachment, Reply, Unit
from hermes_green.core.text import beginning

LIMIT = 4000
UNIT = Unit.CHARS
# bot-docs send.md: at most five replies to one message. In direct chats the working sign is one of them.
PARTS = 5
C2C_PARTS = PARTS - 1
# No limit is documented; what is sent in one request, in base64, is held in memory as a whole.
FILE_LIMIT = 10 * 1024 * 1024
# So much of a growing answer is shown: where it is cut at last, it is cut behind that.
SHOWN = 3000
# bot-docs trans/text-chain.md and message_format.md: what calls people, or all of them, in a text for a group or a
# guild, and what guilds alone undo (nonebot/adapter-qq issue 92). Nobody checked who asked the agent to write it.
_CALL = re.compile(r"<(?=[@#]|emoji:|qqbot-)|@(?=everyone)", re.IGNORECASE)
_IN_GUILDS = re.compile(rf"{_CALL.pattern}|&(?=(?:amp|lt|gt);)", re.IGNORECASE)
# What may be the beginning of these; what follows it may stand in another stretch.
_MAYBE = re.compile(r"<(?=[@#eq]|\Z)|@(?=e|\Z)|&(?=[alg]|\Z)", re.IGNORECASE)


def left_out(count: int) -> str:
    """The sentence at the end of a reply that was longer than the platform allows."""
    return f"[… {count} more characters left out / 余下 {count} 字未发送]"


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, at least one: ``{"content": ...}``, then ``{"media": ...}``.

    What exceeds the parts still free for the message answered is left out, and the last part says
    how much; once all are spent, one more is made and the platform decides about it. In direct chats
    the first text has its Markdown beside it, for the stream that it may be the end of.
    """
    kind = kind_of(reply.peer)
    room = max(1, (C2C_PARTS if kind is C2C else PARTS) - reply.seq_used)
    sent, named = _media(reply, kind, room)
    room = max(1, room - len(sent))
    texts = _direct(reply.text, named, room) if kind is C2C else _quiet(reply.text, named, room, kind)
    # The platform refuses empty messages.
    return tuple([*texts, *media.payloads(sent)] or [{"content": "…"}])


def _media(reply: Reply, kind: Kind, room: int) -> tuple[list[Attachment], list[Attachment]]:
    """The media to be sent, and those to be named; guilds take no uploads of this kind."""
    if kind not in (C2C, GROUP):
        return [], list(reply.media)
    sent = [each for each in reply.media if media.sendable(each, FILE_LIMIT)]
    words = bool(reply.text.strip()) or len(sent) < len(reply.media) or len(sent) > room
    sent = sent[: room - words]
    return sent, [media.apology(each, FILE_LIMIT) for each in reply.media if each not in sent]


def _texts(text: str, named: Sequence[Attachment], room: int, size: Unit | Size = UNIT) -> list[dict[str, Any]]:
    return [{"content": each} for each in fit((*plain.pieces(text), *media.lines(named)), room, LIMIT, size, left_out)]


def _quiet(text: str, named: Sequence[Attachment], room: int, kind: Kind) -> list[dict[str, Any]]:
    """Texts that call nobody: a blank without width stands in what would, and in what would be undone."""
    texts = _texts(text, named, room, lambda piece: len(piece) + len(_MAYBE.findall(piece)))
    return [{"content": (_CALL if kind is GROUP else _IN_GUILDS).sub("\\g<0>\u200b", one["content"])} for one in texts]


def _direct(text: str, named: Sequence[Attachment], room: int) -> list[dict[str, Any]]:
    # The first begins with all that a stream has shown.
    head, tail = beginning(storable(text).strip(), SHOWN, LIMIT)
    first = _texts(head, () if tail else named, 2)
    if len(first) != 1 or (tail and room == 1):
        return _texts(text, named, room)
    lines = [head] if tail else [head, *(media.named(each) for each in named)]
    first[0]["markdown"] = "\n".join(lines)
    return [*first, *(_texts(tail, named, room - 1) if tail else ())]


def streamed(text: str) -> str:
    """What a stream shows of an answer that still grows."""
    return storable(text).strip()[:SHOWN]
