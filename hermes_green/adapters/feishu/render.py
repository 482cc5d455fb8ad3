"""From a reply to message bodies that fit; pure.

Plain text goes as ``text``, Markdown as ``post`` with ``md`` rows, which every client shows and the
platform lets us edit later. Cards are only used for answers that were shown while they grew: one with
too many tables or elements is refused as a whole.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Iterator, Mapping

from hermes_green.content import media, plain
from hermes_green.content.markdown import blocks, is_plain, storable, unmarked
from hermes_green.content.pack import Wrap, pack
from hermes_green.content.tables import auto
from hermes_green.content.writer import MARKDOWN, write
from hermes_green.core.loose import json_of
from hermes_green.core.model import Reply

# The platform takes 150 KB of text and 30 KB of post, counted in bytes of the expanded content. A
# third is kept back, because what it counts as expansion is not published in full.
TEXT_LIMIT = 100_000
POST_LIMIT = 20_000
# A card takes 30 KB with all that belongs to it.
CARD_LIMIT = 28_000
# "Upload image" and "Upload file": larger pictures go as files.
IMAGE_LIMIT, FILE_LIMIT = 10 * 1024 * 1024, 30 * 1024 * 1024

# What ``md`` does not know becomes what it knows: headings bold, tables code or paragraphs.
DIALECT = replace(MARKDOWN, heading=lambda level: Wrap("**", "**"), table=auto)

_CODE = re.compile(r"^(`{3,})[^`\n]*\n(?:.*\n)*?\1$", re.MULTILINE)
_AT = re.compile(r"<(?=/?at\b)", re.IGNORECASE)
_DISARMED = "<\u200b"
_MARKS = re.compile(r"[*_~`\[\]<>$\\]|&(?=#?\w+;)")
_LEAD = re.compile(r"^#(?=#*\s)|^[-+](?=\s)|(?<=^\d)\.(?=\s)", re.MULTILINE)


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: all ``{"text": ...}`` or all ``{"rows": [...]}``, then
    ``{"media": ...}`` for each medium that can be sent; the others are named."""
    sent = [each for each in reply.media if media.sendable(each, FILE_LIMIT)]
    found = blocks(reply.text)
    pieces = plain.untouched(reply.text) if unmarked(reply.text, found) else write(found, DIALECT)
    pieces += media.lines([media.apology(each, FILE_LIMIT) for each in reply.media if each not in sent])
    if is_plain(found):
        texts = pack(pieces, TEXT_LIMIT - size_of({"text": ""}), _grown)
        bodies: list[Mapping[str, Any]] = [{"text": text} for text in texts]
    else:
        posts = pack(pieces, POST_LIMIT - size_of({"rows": [""]}), _grown_rows)
        bodies = [{"rows": list(_rows(text))} for text in posts]
    return tuple([*bodies, *media.payloads(sent)] or [{"text": "…"}])


def shown(text: str) -> str:
    """A card's content for an answer that still grows: as much of it as a part holds."""
    found = blocks(text)
    if unmarked(text, found):
        return escaped((pack(plain.untouched(text), POST_LIMIT, _grown) or ["…"])[0])
    return _disarm((pack(write(found, DIALECT), POST_LIMIT, _grown_rows) or ["…"])[0])


def card_text(payload: Mapping[str, Any]) -> str:
    """A card's content for a finished part; cards know Markdown only, so what is plain is escaped."""
    rows = payload.get("rows")
    return _disarm("\n\n".join(map(str, rows))) if rows else escaped(str(payload.get("text", "")))


def card_size(content: str) -> int:
    """Bytes of a content in the JSON of its card."""
    return len(json_of(content).encode())


def escaped(text: str) -> str:
    """Text for Markdown that shows it as it stands. open.feishu.cn "Rich text component": marks are
    escaped as in HTML."""
    return _LEAD.sub(_entity, _MARKS.sub(_entity, storable(text)))


def _entity(mark: re.Match[str]) -> str:
    return f"&#{ord(mark[0])};"


def body_of(payload: Mapping[str, Any], plain: bool = False) -> tuple[str, str]:
    """``msg_type`` and ``content`` (a JSON string) for a payload; ``plain`` forces text."""
    rows = payload.get("rows")
    if rows and not plain:
        content = [[{"tag": "md", "text": _disarm(str(row))}] for row in rows]
        return "post", json_of({"zh_cn": {"title": "", "content": content}})
    return "text", json_of({"text": _disarm("\n".join(rows) if rows else str(payload.get("text", "")))})


def size_of(payload: Mapping[str, Any]) -> int:
    """Bytes of the payload's content as it stands in a request's body: a JSON string in JSON."""
    return len(json_of(body_of(payload)[1]).encode())


def _grown(text: str) -> int:
    """Bytes that a stretch of text takes there; each ``<`` might have to be disarmed."""
    return len(json_of(json_of(text)).encode()) - _EMPTY + text.count("<") * (len(_DISARMED.encode()) - 1)


def _grown_rows(text: str) -> int:
    """The same of Markdown, where every fence may begin a row."""
    return _grown(text) + _ROW * text.count("```")


def _rows(text: str) -> Iterator[str]:
    """The ``md`` rows of a post. Code gets a row of its own: clients may swallow what follows it in
    the same row (lark-oapi 1.7.5 ``channel/outbound/markdown/to_post.py``)."""
    position = 0
    for code in _CODE.finditer(text):
        yield from filter(str.strip, [text[position : code.start()].strip("\n")])
        yield code[0]
        position = code.end()
    yield from filter(str.strip, [text[position:].strip("\n")])


def _disarm(text: str) -> str:
    """An ``<at>`` tag in an agent's words must not call a whole room: nobody checked who asked."""
    return _AT.sub(_DISARMED, storable(text))


_EMPTY = len(json_of(json_of("")))
_ROW = size_of({"rows": ["", ""]}) - size_of({"rows": [""]})
