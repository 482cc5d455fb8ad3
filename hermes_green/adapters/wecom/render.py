"""Render: a reply as the texts and media the platform takes; pure.

Answers go as streams, messages that answer nothing as Markdown; clients show the same Markdown in both,
with tables and fenced code. Pictures that lie elsewhere are not shown: they become links.
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.content import markdown, media, plain
from hermes_green.content.pack import pack
from hermes_green.content.writer import MARKDOWN, write
from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import split

# @wecom/aibot-node-sdk 1.0.7 StreamReplyBody: at most 20,480 bytes of UTF-8.
LIMIT = 20_480
UNIT = Unit.BYTES
EMPTY = "…"


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: ``{"text"}``, then ``{"media"}`` for each medium."""
    found = markdown.blocks(reply.text)
    bare = markdown.unmarked(reply.text, found)
    pieces = plain.untouched(reply.text) if bare else write(found, MARKDOWN)
    texts = pack(pieces + media.lines(media.lost(reply.media)), LIMIT, UNIT)
    return tuple([*({"text": text} for text in texts), *media.payloads(reply.media)] or [{"text": EMPTY}])


def shown(text: str) -> str:
    """An unfinished answer as a draft shows it: what fits into one message; the rest comes with the parts."""
    return split(markdown.storable(text[:LIMIT]), LIMIT, UNIT)[0]
