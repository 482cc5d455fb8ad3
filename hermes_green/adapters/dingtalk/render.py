"""From a reply to message bodies that fit; pure.

Source: open.dingtalk.com "Message types": Markdown of headings, quotes, bold, italic, links, images and
lists; a line ends only where blanks stand before its end. Clients show code, but no tables.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Mapping

from hermes_green.content import markdown, media, plain, tables
from hermes_green.content.pack import pack
from hermes_green.content.writer import MARKDOWN, write
from hermes_green.core.model import Reply, Unit

# The platform takes 20,000 bytes; clients fold long Markdown, and public bots cut at about 3,500.
LIMIT = 3_500
UNIT = Unit.CHARS
TITLE = 20
EMPTY = "…"

DIALECT = replace(
    MARKDOWN,
    line="  \n",
    table=tables.auto,
    image=lambda href, alt: f"![{alt.replace(']', ')')}]({href.replace(')', '%29')})",
)


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: ``{"text", "markdown"}``, then ``{"media"}``."""
    found = markdown.blocks(reply.text)
    bare = markdown.unmarked(reply.text, found)
    pieces = plain.untouched(reply.text) if bare else write(found, DIALECT)
    pieces += media.lines(media.lost(reply.media))
    texts = [{"text": text, "markdown": not bare} for text in pack(pieces, LIMIT, UNIT)]
    return tuple([*texts, *media.payloads(reply.media)] or [{"text": EMPTY, "markdown": False}])


def shown(text: str) -> str:
    """An unfinished answer as a draft shows it: what fits into one part; the rest comes with the parts."""
    return next(iter(pack(plain.untouched(text), LIMIT, UNIT)), EMPTY)


def title_of(text: str) -> str:
    """What notifications and lists of chats show for a Markdown message."""
    line = next((line for line in text.splitlines() if line.strip(" #>*-|`")), "")
    return line.strip(" #>*-|`")[:TITLE] or EMPTY


def webhook_body(payload: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """The body for a session webhook; ``at``: the staff id of who is called by name, "" nobody."""
    text = str(payload.get("text", ""))
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": text}}
    if payload.get("markdown"):
        body = {"msgtype": "markdown", "markdown": {"title": title_of(text), "text": text}}
    if at:
        body["at"] = {"atUserIds": [at], "isAtAll": False}
    return body


def api_message(payload: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """``msgKey`` and the content of ``msgParam`` for the robots' API."""
    text = str(payload.get("text", ""))
    if payload.get("markdown"):
        return "sampleMarkdown", {"title": title_of(text), "text": text}
    return "sampleText", {"content": text}


def media_message(kind: str, media_id: str, name: str) -> tuple[str, dict[str, Any]]:
    """``msgKey`` and the content of ``msgParam`` for an uploaded file (``kind``: image or file)."""
    if kind == "image":
        return "sampleImageMsg", {"photoURL": media_id}
    suffix = os.path.splitext(name)[1].lstrip(".").lower()
    return "sampleFile", {"mediaId": media_id, "fileName": name, "fileType": suffix or "file"}
