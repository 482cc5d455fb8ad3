"""Render: a reply as the messages Slack takes, in its mrkdwn; pure.

docs.slack.dev/messaging/formatting-message-text: three escapes, marks that count only beside blanks, links
as ``<address|words>``. docs.slack.dev/reference/methods/chat.postMessage: 40,000 characters are the end of
a text, 4,000 the advice, and what chat.update takes at most; counted here as they go on the wire.
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.content import plain
from hermes_green.content.media import lost, named, payloads
from hermes_green.content.pack import Wrap, pack
from hermes_green.content.writer import Dialect
from hermes_green.core.model import Reply, Unit

LIMIT = 4000
UNIT = Unit.CHARS

# Slack sees a mark only where no letter stands beside it; a blank without width is none.
_JOINT = "\u200b"


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order, at least one: ``{"text": ...}`` and then ``{"media": ...}``."""
    media = payloads(reply.media)
    lines = [reply.text, *map(named, lost(reply.media))]
    text = "\n".join(line for line in lines if line.strip())
    return (*({"text": piece} for piece in (texts_of(text) if text or not media else ())), *media)


def texts_of(text: str) -> list[str]:
    """The text in mrkdwn, in messages of at most 4,000 characters; at least one, as Slack takes no empty one."""
    return pack(plain.pieces(text, DIALECT), LIMIT, UNIT) or ["…"]


def shown(text: str) -> str:
    """An unfinished answer as a draft shows it: what fits into one message; the rest comes with the parts."""
    return texts_of(text)[0]


def escaped(text: str) -> str:
    """Text without the three characters that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    """Code cannot hold what ends it; a blank without width keeps the marks apart."""
    return escaped(text.replace("```", f"`{_JOINT}`{_JOINT}`"))


def _span(text: str) -> Wrap:
    return Wrap() if "`" in text else Wrap("`", "`", joint=_JOINT)


def _link(href: str, text: str) -> Wrap:
    address = href.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")
    return Wrap(f"<{address}|", ">", spare=f" ({href})")


DIALECT = Dialect(
    escape=escaped,
    code_escape=_code,
    bold=Wrap("*", "*", joint=_JOINT),
    italic=Wrap("_", "_", joint=_JOINT),
    strike=Wrap("~", "~", joint=_JOINT),
    code=_span,
    fence=lambda info, text: Wrap("```\n", "\n```"),
    heading=lambda level: Wrap("*", "*", joint=_JOINT),
    link=_link,
)
