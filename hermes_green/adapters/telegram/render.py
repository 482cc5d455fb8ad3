"""Render: a reply as the messages Telegram takes; pure.

Markup is HTML, which needs but three escapes. The limit of 4,096 UTF-16 units counts what is left when
it has been parsed, so text is measured and cut first, and marked after. Source:
core.telegram.org/bots/api "Formatting options": which marks may stand in which.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.content.blocks import (
    Block,
    Bold,
    Break,
    Code,
    CodeSpan,
    Heading,
    Image,
    Italic,
    Link,
    List,
    Paragraph,
    Quote,
    Rule,
    Span,
    Strike,
    Table,
    Text,
    words_of,
)
from hermes_green.content.columns import aligned
from hermes_green.content.markdown import blocks
from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import split

LIMIT = 4096
UNIT = Unit.UTF16

Marks = tuple[str, ...]
_QUOTE = "blockquote"


@dataclass(frozen=True, slots=True)
class Run:
    """Words with the marks around them, outermost first."""

    text: str
    marks: Marks = ()


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, at least one: ``{"text": ..., "html"?: ...}``, then ``{"media": ...}``."""
    # Half a surrogate pair, which some models emit at a token's border, has no form in UTF-8.
    text = reply.text.encode("utf-8", "replace").decode()
    media = [
        {"media": {"kind": each.kind, "path": each.path or "", "name": each.name, "mime": each.mime}}
        for each in reply.media
    ]
    texts = list(_messages(text)) if text.strip() else []
    return tuple([*texts, *media] or [{"text": "…"}])


def _messages(text: str) -> Iterator[Mapping[str, Any]]:
    runs = list(_Writer().document(blocks(text)))
    whole = "".join(run.text for run in runs)
    position = 0
    for piece in split(whole, LIMIT, UNIT):
        begin = whole.find(piece, position)
        if begin < 0:  # what looks like a fence within code was cut: right, but not as it stood
            yield {"text": piece}
            continue
        position = begin + len(piece)
        html = _html(_between(runs, begin, position))
        yield {"text": piece, "html": html} if "<" in html else {"text": piece}


def _between(runs: Sequence[Run], begin: int, end: int) -> Iterator[Run]:
    """What of the runs lies there."""
    at = 0
    for run in runs:
        first, last = max(begin, at), min(end, at + len(run.text))
        if first < last:
            yield Run(run.text[first - at : last - at], run.marks)
        at += len(run.text)


def _html(runs: Iterator[Run]) -> str:
    out: list[str] = []
    opened: Marks = ()
    for run in (*runs, Run("")):
        same = 0
        while same < min(len(opened), len(run.marks)) and opened[same] == run.marks[same]:
            same += 1
        out += [f"</{mark.split()[0]}>" for mark in reversed(opened[same:])]
        out += [f"<{mark}>" for mark in run.marks[same:]]
        out.append(escape(run.text, quote=False))
        opened = run.marks
    return "".join(out)


class _Writer:
    """One walk over blocks, to runs."""

    def document(self, found: Sequence[Block], marks: Marks = (), indent: str = "") -> Iterator[Run]:
        """Blocks with an empty line between them."""
        for number, block in enumerate(found):
            if number:
                yield Run("\n\n", marks if _QUOTE in marks else ())
            yield from self._block(block, marks, indent)

    def _block(self, block: Block, marks: Marks, indent: str) -> Iterator[Run]:
        if isinstance(block, Paragraph):
            yield from self._spans(block.spans, marks, indent)
        elif isinstance(block, Heading):
            yield from self._spans(block.spans, (*marks, "b"), indent)
        elif isinstance(block, Code):
            language = f'code class="language-{escape(block.language)}"'
            yield Run(block.text or " ", (*marks, "pre", language) if block.language else (*marks, "pre"))
        elif isinstance(block, Quote):
            # Quotes do not nest on the platform.
            yield from self.document(block.blocks, marks if _QUOTE in marks else (*marks, _QUOTE))
        elif isinstance(block, List):
            yield from self._list(block, marks, indent)
        elif isinstance(block, Table):
            yield Run(aligned(block), (*marks, "pre"))
        elif isinstance(block, Rule):
            yield Run("———", marks)

    def _list(self, found: List, marks: Marks, indent: str) -> Iterator[Run]:
        for number, item in enumerate(found.items, found.start):
            if number > found.start:
                yield Run("\n" if found.tight else "\n\n", marks)
            mark = f"{number}. " if found.ordered else ("◦ " if indent else "• ")
            yield Run(indent + mark, marks)
            inner = indent + " " * 3
            for place, block in enumerate(item):
                if place:
                    yield Run("\n" if isinstance(block, List) else "\n\n", marks)
                    if isinstance(block, (Paragraph, Heading)):
                        yield Run(inner, marks)
                elif isinstance(block, List):
                    yield Run("\n", marks)
                yield from self._block(block, marks, inner)

    def _spans(self, spans: Sequence[Span], marks: Marks, indent: str) -> Iterator[Run]:
        for span in spans:
            if isinstance(span, Text):
                yield Run(span.text, marks)
            elif isinstance(span, Break):
                yield Run("\n" + indent, marks)
            elif isinstance(span, CodeSpan):
                # Code stands in no other mark but a quote.
                yield Run(span.text, (*(mark for mark in marks if mark == _QUOTE), "code"))
            elif isinstance(span, (Link, Image)):
                yield from self._link(span, marks, indent)
            else:
                mark = {Bold: "b", Italic: "i", Strike: "s"}[type(span)]
                yield from self._spans(span.spans, marks if mark in marks else (*marks, mark), indent)

    def _link(self, span: Link | Image, marks: Marks, indent: str) -> Iterator[Run]:
        """Words that lead somewhere; an address that Telegram would not make one is shown."""
        spans = span.spans if isinstance(span, Link) else (Text(span.alt),) if span.alt else ()
        words = words_of(spans)
        if not span.href.startswith(("http://", "https://", "mailto:", "tel:")):
            yield from self._spans(spans, marks, indent)
            if span.href and span.href != words:
                yield Run(f" ({span.href})" if words else span.href, marks)
        elif not words or words == span.href:
            yield Run(span.href, marks)
        else:
            yield from self._spans(spans, (*marks, f'a href="{escape(span.href)}"'), indent)
