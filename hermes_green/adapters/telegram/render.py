"""Render: a reply as the messages Telegram takes; pure.

Markup is HTML, which needs but three escapes. The limit of 4,096 UTF-16 units counts what is left when
it has been parsed. Source: core.telegram.org/bots/api "Formatting options".
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any, Mapping

from hermes_green.content import markdown
from hermes_green.content.media import lost, named, payloads
from hermes_green.content.pack import Wrap, pack
from hermes_green.content.plain import untouched
from hermes_green.content.writer import Dialect, write
from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import measure

LIMIT = 4096
UNIT = Unit.UTF16

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
    return [{"text": plain_of(html), "html": html} for html in pack(write(found, DIALECT), LIMIT, _shown)]


def plain_of(html: str) -> str:
    """What a stretch of our own HTML shows."""
    return unescape(_TAG.sub("", html))


def _shown(html: str) -> int:
    return measure(plain_of(html), UNIT)


def _escaped(text: str) -> str:
    return escape(text, quote=False)


def _tag(name: str) -> Wrap:
    return Wrap(f"<{name}>", f"</{name}>")


def _fence(info: str, text: str) -> Wrap:
    language = info.split(None, 1)[0] if info else ""
    if not language:
        return _tag("pre")
    return Wrap(f'<pre><code class="language-{escape(language)}">', "</code></pre>")


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
    link=lambda href, text: Wrap(f'<a href="{escape(href)}">', "</a>", spare=f" ({href})"),
    quote=_tag("blockquote"),
    quote_lead="",
)
