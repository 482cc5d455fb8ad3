"""Render: a reply as the messages Slack takes; pure.

docs.slack.dev/reference/methods/chat.postMessage: 40,000 characters are the end, 4,000 the advice, and
what chat.update takes at most; counted here with the escapes that go on the wire.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import split

LIMIT = 4000
UNIT = Unit.CHARS


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: ``{"text": ...}`` and then ``{"media": ...}``."""
    texts = [{"text": piece} for piece in texts_of(reply.text)] if reply.text.strip() or not reply.media else []
    media = [
        {"media": {"kind": each.kind, "path": each.path or "", "name": each.name, "mime": each.mime}}
        for each in reply.media
    ]
    return (*texts, *media)


def texts_of(text: str) -> list[str]:
    """The text in mrkdwn, in pieces of at most 4,000 characters each; never empty, as Slack takes no
    empty message."""
    return list(_pieces(text, LIMIT)) or ["…"]


def _pieces(text: str, limit: int) -> Iterator[str]:
    """Split so that every piece fits after rendering, escapes included."""
    for piece in split(text, limit, UNIT):
        shown = mrkdwn(piece)
        if len(shown) <= LIMIT:
            if shown.strip():
                yield shown
        else:
            yield from _pieces(piece, limit * 3 // 4)


def mrkdwn(text: str) -> str:
    """Text with the three characters escaped that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
