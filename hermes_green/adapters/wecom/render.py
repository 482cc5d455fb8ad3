"""Render: a reply as the texts and media the platform takes; pure.

Answers go as streams and messages that answer nothing as Markdown; the clients show the same
CommonMark in both, tables and fenced code included, so that the agent's words need no change.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hermes_green.core.model import Attachment, Reply, Unit
from hermes_green.core.text import split

# @wecom/aibot-node-sdk 1.0.7 StreamReplyBody: at most 20,480 bytes of UTF-8.
LIMIT = 20_480
UNIT = Unit.BYTES


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: ``{"text"}``, then ``{"media"}`` for each medium."""
    payloads: list[Mapping[str, Any]] = [{"text": text} for text in texts_of(reply.text)] if reply.text.strip() else []
    payloads.extend(_media(reply.media))
    return tuple(payloads) or ({"text": "…"},)


def texts_of(text: str) -> list[str]:
    """The text in pieces that fit; half a surrogate pair, which has no UTF-8 form, becomes a question mark."""
    return split(text.encode("utf-8", "replace").decode("utf-8"), LIMIT, UNIT)


def _media(media: tuple[Attachment, ...]) -> Iterator[Mapping[str, Any]]:
    for each in media:
        if each.path is None:
            yield {"text": f"[{each.kind}] {each.name}".rstrip()}
        else:
            yield {"media": {"kind": each.kind, "path": each.path, "name": each.name, "mime": each.mime}}
