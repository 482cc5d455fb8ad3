"""Markdown: walk an agent's answer once, into neutral blocks.

CommonMark with tables and ~~struck~~ text, read as people write chats: HTML is text, a line end is a
line end, indented text is no code, a line under a paragraph is a rule and not a heading, and link
definitions stay where they are written. Bold works next to Chinese, Japanese and Korean letters,
where CommonMark's rule needs blanks that these languages do not have. An address that stands for itself keeps
its letters, and ``<int:id>`` is no address.
"""

from __future__ import annotations

import re
from typing import Callable, Iterator, Sequence

from markdown_it.token import Token

from hermes_green.content import blocks as doc
from hermes_green.content.parser import parser

# An answer beyond these is not read by people, and walking it would take a second; it passes as text.
LONGEST = 128 * 1024
LINES = 10_000
_INLINE_DEPTH = 8
_LONGEST_INFO = 40

# Blanks are looked at from the first of a row alone: from each of them it takes a square of their number.
_BR = re.compile(r"(?:(?<!\s)\s+)?<br\s*/?>\s*", re.IGNORECASE)
_PARAGRAPHS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def blocks(text: str) -> tuple[doc.Block, ...]:
    """The blocks of a Markdown text; linear in its length and raises nothing."""
    text = storable(text)
    if len(text) > LONGEST or text.count("\n") > LINES:
        return as_text(text)
    try:
        return tuple(_Reader(parser().parse(text)).blocks())
    except Exception:  # the border of foreign code: an answer that cannot be walked is sent as it is
        return as_text(text)


def storable(text: str) -> str:
    """Half a surrogate pair, which some model APIs emit at a token's border, has no UTF-8 form: a
    question mark stands for it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def as_text(text: str) -> tuple[doc.Block, ...]:
    """The paragraphs of a text in which no mark means anything."""
    found = (part.strip("\n") for part in _PARAGRAPHS.split(text))
    return tuple(doc.Paragraph(_lines(part.split("\n"))) for part in found if part.strip())


def is_plain(found: Sequence[doc.Block]) -> bool:
    """Whether nothing but paragraphs of unmarked words was found."""
    return all(
        isinstance(block, doc.Paragraph) and all(isinstance(span, (doc.Text, doc.Break)) for span in block.spans)
        for block in found
    )


def unmarked(text: str, found: Sequence[doc.Block]) -> bool:
    """Whether ``found``, the blocks of ``text``, say no more than the text as it stands: it may be sent so."""
    if not is_plain(found):
        return False
    said = "".join(span.text for block in found for span in block.spans if isinstance(span, doc.Text))  # type: ignore
    return "".join(said.split()) == "".join(storable(text).split())


def _lines(lines: Sequence[str]) -> tuple[doc.Span, ...]:
    spans: list[doc.Span] = []
    for line in lines:
        spans += [doc.Break(), doc.Text(line)] if spans else [doc.Text(line)]
    return tuple(spans)


class _Reader:
    """One reading of one row of tokens; the depth of its recursion is bounded by the parser's ``DEPTH``."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = iter(tokens)

    def blocks(self, closing: str = "") -> Iterator[doc.Block]:
        """The blocks up to the token ``closing``."""
        for token in self._tokens:
            kind = token.type
            if kind == closing:
                return
            if kind == "paragraph_open":
                spans = self._spans("paragraph_close")
                if spans:
                    yield doc.Paragraph(spans)
            elif kind == "heading_open":
                yield doc.Heading(int(token.tag[1:]), self._spans("heading_close"))
            elif kind in ("fence", "code_block"):
                yield _code(token.info.strip(), token.content.removesuffix("\n"))
            elif kind == "blockquote_open":
                yield doc.Quote(tuple(self.blocks("blockquote_close")))
            elif kind in ("bullet_list_open", "ordered_list_open"):
                yield self._list(token)
            elif kind == "table_open":
                yield self._table()
            elif kind == "hr":
                yield doc.Rule()

    def _spans(self, closing: str) -> tuple[doc.Span, ...]:
        spans: tuple[doc.Span, ...] = ()
        for token in self._tokens:
            if token.type == closing:
                break
            spans += _spans_of(token.children or ())
        return spans

    def _list(self, opening: Token) -> doc.List:
        ordered = opening.type == "ordered_list_open"
        items, tight = [], True
        for token in self._tokens:
            if token.type == "list_item_open":
                reader = _Item(self._tokens)
                items.append(tuple(reader.blocks("list_item_close")))
                tight = tight and not reader.loose
            else:
                break
        return doc.List(ordered, int(opening.attrGet("start") or 1) if ordered else 1, tuple(items), tight)

    def _table(self) -> doc.Table:
        rows: list[tuple[tuple[doc.Span, ...], ...]] = []
        row: list[tuple[doc.Span, ...]] = []
        alignments: list[doc.Alignment] = []
        for token in self._tokens:
            if token.type == "table_close":
                break
            if token.type == "th_open":
                alignments.append(_alignment(token))
            elif token.type == "inline":
                row.append(_spans_of(token.children or ()))
            elif token.type == "tr_close":
                rows.append(tuple(row))
                row = []
        return doc.Table(rows[0], tuple(rows[1:]), tuple(alignments))


def _code(info: str, text: str) -> doc.Code:
    """Code, in which what is too much for the name of a language is the first line."""
    return doc.Code(info, text) if len(info) <= _LONGEST_INFO else doc.Code("", f"{info}\n{text}")


class _Item(_Reader):
    """The reading of a list item, which notices whether its paragraphs stand apart."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        super().__init__(())
        self.loose = False
        self._depth = 0
        self._tokens = self._watch(tokens)

    def _watch(self, tokens: Iterator[Token]) -> Iterator[Token]:
        for token in tokens:
            if token.type == "paragraph_open" and self._depth == 0 and not token.hidden:
                self.loose = True
            self._depth += token.nesting if token.type != "paragraph_open" else 1
            yield token


def _alignment(token: Token) -> doc.Alignment:
    for side in ("left", "center", "right"):
        if str(token.attrGet("style") or "").endswith(side):
            return side
    return ""


_MARKS: dict[str, Callable[[tuple[doc.Span, ...]], doc.Span]] = {"strong": doc.Bold, "em": doc.Italic, "s": doc.Strike}


def _spans_of(tokens: Sequence[Token]) -> tuple[doc.Span, ...]:
    """Spans of inline tokens. Marks nested too deep to mean anything are left out, their words are not."""
    stack: list[tuple[Callable[[tuple[doc.Span, ...]], doc.Span] | None, list[doc.Span]]] = [(None, [])]
    in_link = 0
    for token in tokens:
        here = stack[-1][1]
        if token.nesting > 0:
            # An address may stand by itself in the words of a link; it is none there.
            known = len(stack) <= _INLINE_DEPTH and not (token.type == "link_open" and in_link)
            in_link += token.type == "link_open"
            stack.append((_opening(token), []) if known else (None, here))
        elif token.nesting < 0:
            in_link -= token.type == "link_close"
            make, inside = stack.pop() if len(stack) > 1 else (None, here)
            outside = stack[-1][1]
            if make is not None and (inside or make not in _MARKS.values()):
                outside.append(make(tuple(inside)))
            elif inside is not outside:
                outside.extend(inside)
        elif token.type in ("softbreak", "hardbreak"):
            here.append(doc.Break())
        elif token.type == "code_inline":
            here.append(doc.CodeSpan(token.content))
        elif token.type == "image":
            here.append(_image(token))
        else:
            _append_text(here, token.content)
    return tuple(stack[0][1])


def _opening(token: Token) -> Callable[[tuple[doc.Span, ...]], doc.Span]:
    if token.type != "link_open":
        return _MARKS[token.tag]
    href, title = str(token.attrGet("href") or ""), str(token.attrGet("title") or "")

    def link(spans: tuple[doc.Span, ...]) -> doc.Span:
        # A chat shows no tooltips; what one would say belongs to the words.
        return doc.Link((*spans, doc.Text(f" ({title})")) if title else spans, href)

    return link


def _image(token: Token) -> doc.Image:
    words = "".join(" " if child.type == "softbreak" else child.content for child in token.children or ())
    title = str(token.attrGet("title") or "")
    return doc.Image(f"{words} ({title})".strip() if title else words, str(token.attrGet("src") or ""))


def _append_text(spans: list[doc.Span], text: str) -> None:
    for number, part in enumerate(_BR.split(text)):
        if number:
            spans.append(doc.Break())
        if part and spans and isinstance(spans[-1], doc.Text):
            spans[-1] = doc.Text(spans[-1].text + part)
        elif part:
            spans.append(doc.Text(part))
