"""Render: a reply as the messages Telegram takes; pure.

Markup is HTML, which needs but three escapes. The limit of 4,096 UTF-16 units counts what is left when
it has been parsed. Source: core.telegram.org/bots/api "Formatting options".
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape, unescape
from typing import Any, Mapping

from hermes_green.content import markdown
from hermes_green.content.media import lost, named, payloads
from hermes_green.content.pack import Wrap, pack
from hermes_green.content.plain import untouched
from hermes_green.content.writer import Dialect, address_after, write
from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import measure

LIMIT = 4096
UNIT = Unit.UTF16

# tdlib/telegram-bot-api issue 165: entities of some 9,500 bytes in all are taken; beyond a hundred they are left out,
# and an address with them. A tag counts here as what it takes of them, in units of text.
TAGS, TAG_BYTES = 200, 8_000
# tdlib/td LinkManager.cpp (check_link_impl): of a link elsewhere, its words alone would be shown.
_LEADS = re.compile(r"https?://(?:[^/?#]*@)?+(?:\[|[^/?#.]*\.)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, at least one: ``{"text": ..., "html"?: ...}``, then ``{"media": ...}``."""
    lines = [reply.text, *map(named, lost(reply.media))]
    texts = _texts(markdown.storable("\n\n".join(line for line in lines if line.strip())))
    return tuple([*texts, *payloads(reply.media)] or [{"text": "…"}])


def _texts(text: str) -> list[Mapping[str, Any]]:
    found = markdown.blocks(text)
    if markdown.unmarked(text, found):
        return [{"text": piece} for piece in pack(untouched(text), LIMIT, UNIT)]
    pieces = write(found, DIALECT)
    pages = pack(pieces, LIMIT, _shown)
    if any(_marked(html) > LIMIT for html in pages):
        pages = pack(pieces, LIMIT, lambda html: _shown(html) + _marked(html))
    return [{"text": text, "html": html} for html in pages if (text := plain_of(html)).strip()]


def plain_of(html: str) -> str:
    """What a stretch of our own HTML shows."""
    return unescape(_TAG.sub("", html))


def _shown(html: str) -> int:
    return measure(plain_of(html), UNIT)


def _marked(html: str) -> int:
    """What the tags of a stretch take of a message, as if that were its length."""
    return sum(LIMIT // TAGS + len(tag.encode()) * LIMIT // TAG_BYTES for tag in _TAG.findall(html))


def _escaped(text: str) -> str:
    return escape(text, quote=False)


def _tag(name: str) -> Wrap:
    return Wrap(f"<{name}>", f"</{name}>")


def _fence(info: str, text: str) -> Wrap:
    language = info.split(None, 1)[0] if info else ""
    if not language:
        return _tag("pre")
    return Wrap(f'<pre><code class="language-{escape(language)}">', "</code></pre>")


def _link(href: str, text: str) -> Wrap:
    if _LEADS.match(href):
        return Wrap(f'<a href="{escape(href)}">', "</a>", spare=f" ({href})")
    after = address_after(href, text)
    return replace(after, close=_escaped(after.close))


DIALECT = Dialect(
    escape=_escaped,
    code_escape=_escaped,
    bold=_tag("b"),
    italic=_tag("i"),
    strike=_tag("s"),
    code=lambda text: _tag("code"),
    code_alone=True,
    fence=_fence,
    heading=lambda level: _tag("b"),
    link=_link,
    quote=_tag("blockquote"),
    quote_lead="",
)
