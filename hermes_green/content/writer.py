"""Writer: blocks in a platform's markup, as pieces to be packed into messages.

A ``Dialect`` is all there is to say about a markup; the walk over blocks is here, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Sequence

from hermes_green.content import blocks as doc, tables
from hermes_green.content.pack import BLOCK, GLUED, LINE, SENTENCE, WORD, Piece, Wrap, join, same

_SCHEMES = ("https://", "http://", "mailto:", "tel:")


def linkable(href: str) -> bool:
    """Whether an address leads somewhere outside of the agent's own machine."""
    return href.lower().startswith(_SCHEMES)


def ticks(text: str) -> Wrap:
    """Backticks around code in Markdown: one more than the code has in a row."""
    mark = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return Wrap(mark + pad, pad + mark)


def fences(info: str, text: str) -> Wrap:
    """A fence around code in Markdown, longer than any in the code."""
    mark = "`" * max(3, _longest_run(text) + 1)
    return Wrap(f"{mark}{info.replace('`', '')}\n", f"\n{mark}")


def markdown_link(href: str, text: str) -> Wrap:
    """``[text](href)``."""
    href = href.replace("(", "%28").replace(")", "%29")
    return Wrap("[", f"]({href})", spare=f" ({href})")


def address_after(href: str, text: str) -> Wrap:
    """``text (href)``, for markup without links; an address that is its own text stands once."""
    plain = href.removeprefix("mailto:").removeprefix("tel:")
    return Wrap() if text.strip() in (href, plain) else Wrap("", f" ({plain})", spare=f" ({plain})")


def no_wrap(*_: object) -> Wrap:
    """No marks at all."""
    return Wrap()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A platform's markup, as data and small functions.

    Text: ``escape`` for words, ``code_escape`` for code. Marks: ``bold``, ``italic``, ``strike``;
    ``code(text)``, ``link(href, text)``, ``heading(level)`` and ``fence(info, text)`` give the marks
    for one of them; ``code_alone``: code within a line stands in no other mark. ``image(href, alt)``
    gives finished markup; None writes an image as a link. ``linkable`` judges addresses; those refused
    stand after their words.

    Lines: ``line`` ends one within a block, ``item`` stands between tight items, ``block`` between
    blocks. ``bullets`` are taken by depth, the last for all deeper ones; ``number`` holds an item's
    number; ``indent`` begins the further lines of an item (not those of code). A quote has
    ``quote_lead`` at every line, or ``quote`` around it all.

    ``table`` gives the blocks to write in place of a table; None writes ``| cells |`` with ``escape``d
    words, for platforms that know tables.
    """

    escape: Callable[[str], str] = same
    code_escape: Callable[[str], str] = same
    bold: Wrap = field(default=Wrap())
    italic: Wrap = field(default=Wrap())
    strike: Wrap = field(default=Wrap("~~", "~~"))
    code: Callable[[str], Wrap] = no_wrap
    code_alone: bool = False
    link: Callable[[str, str], Wrap] = address_after
    heading: Callable[[int], Wrap] = no_wrap
    fence: Callable[[str, str], Wrap] = fences
    image: Callable[[str, str], str] | None = None
    linkable: Callable[[str], bool] = linkable
    line: str = "\n"
    item: str = "\n"
    block: str = "\n\n"
    bullets: tuple[str, ...] = ("• ", "◦ ", "▪ ")
    number: str = "{}. "
    indent: str = "   "
    quote: Wrap = field(default=Wrap())
    quote_lead: str = "> "
    rule: str = "———"
    table: Callable[[doc.Table], Sequence[doc.Block]] | None = tables.auto


# What a Markdown of the common kind looks like; platforms replace what theirs does otherwise.
MARKDOWN = Dialect(
    bold=Wrap("**", "**"),
    italic=Wrap("*", "*"),
    code=ticks,
    link=markdown_link,
    heading=lambda level: Wrap("#" * level + " "),
    bullets=("- ",),
    indent="    ",
    rule="---",
    table=None,
)


def write(blocks: Sequence[doc.Block], dialect: Dialect) -> tuple[Piece, ...]:
    """The pieces of a document, for ``pack`` or ``join``."""
    writer = _Writer(dialect)
    writer.blocks(blocks, "", (), dialect.block)
    return tuple(writer.pieces)


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


class _Writer:
    """One walk. Where the next piece goes is kept here: what separates it from the last one, what
    begins its line, and how good a cut there would be."""

    def __init__(self, dialect: Dialect) -> None:
        self.pieces: list[Piece] = []
        self._dialect = dialect
        self._gap = ""
        self._lead = ""
        self._rank = BLOCK
        self._depth = 0  # of lists

    def blocks(self, blocks: Sequence[doc.Block], rest: str, outer: tuple[Wrap, ...], between: str) -> None:
        """Write blocks one after the other; ``rest`` begins each of their lines."""
        for number, block in enumerate(blocks):
            if number:
                rank = SENTENCE if isinstance(blocks[number - 1], doc.Heading) else LINE if self._depth else BLOCK
                self._end_line(between, rest, rank)
            self._block(block, rest, outer)

    def _block(self, block: doc.Block, rest: str, outer: tuple[Wrap, ...]) -> None:
        if isinstance(block, doc.Paragraph):
            self._spans(block.spans, rest, outer, ())
        elif isinstance(block, doc.Heading):
            self._spans(block.spans, rest, outer, _with((), self._dialect.heading(block.level)))
        elif isinstance(block, doc.Code):
            self._code(block, rest, outer)
        elif isinstance(block, doc.Quote):
            self._quote(block, rest, outer)
        elif isinstance(block, doc.List):
            self._list(block, rest, outer)
        elif isinstance(block, doc.Table):
            self._table(block, rest, outer)
        elif isinstance(block, doc.Rule):
            self._put(self._dialect.rule, rest, outer, (), solid=True)

    def _put(
        self,
        text: str,
        rest: str,
        outer: tuple[Wrap, ...],
        inner: tuple[Wrap, ...],
        escape: Callable[[str], str] | None = None,
        code: bool = False,
        solid: bool = False,
    ) -> None:
        gap = self._gap or self._joint(text, inner)
        piece = Piece(
            text=text,
            gap=gap,
            lead=self._lead,
            rest=rest,
            outer=outer,
            inner=inner,
            escape=escape or self._dialect.escape,
            rank=self._rank,
            code=code,
            solid=solid,
        )
        self.pieces.append(piece)
        self._gap, self._lead, self._rank = "", rest, GLUED

    def _joint(self, text: str, inner: tuple[Wrap, ...]) -> str:
        """What keeps a mark apart from a letter beside it."""
        before = self.pieces[-1] if self.pieces else None
        if before is None or before.inner is inner or before.inner == inner:
            return ""
        opened = [wrap for wrap in inner if wrap not in before.inner]
        closed = [wrap for wrap in before.inner if wrap not in inner]
        if not closed and not before.text[-1:].isalnum() or not opened and not text[:1].isalnum():
            return ""
        return next((wrap.joint for wrap in (*closed, *opened) if wrap.joint), "")

    def _end_line(self, gap: str, rest: str, rank: int) -> None:
        """The next piece begins a line, with ``rest``; lines left empty keep a quote's mark."""
        *whole, last = gap.split("\n")
        self._gap = ("\n" + rest.rstrip()).join(whole) + "\n" + last if whole else gap
        self._lead, self._rank = rest, rank

    def _spans(
        self, spans: Sequence[doc.Span], rest: str, outer: tuple[Wrap, ...], inner: tuple[Wrap, ...]
    ) -> None:
        dialect = self._dialect
        for span in spans:
            if isinstance(span, doc.Text):
                self._words(span.text, rest, outer, inner)
            elif isinstance(span, doc.CodeSpan):
                self._put(span.text, rest, outer, self._code_marks(span, inner), escape=dialect.code_escape)
            elif isinstance(span, doc.Break):
                self._end_line(dialect.line, rest, LINE)
            elif isinstance(span, doc.Link):
                self._link(span.spans or (doc.Text(span.href),), span.href, rest, outer, inner)
            elif isinstance(span, doc.Image) and dialect.image and dialect.linkable(span.href):
                self._put(dialect.image(span.href, span.alt), rest, outer, inner, solid=True)
            elif isinstance(span, doc.Image):
                self._link((doc.Text(span.alt or span.href),), span.href, rest, outer, inner)
            else:
                mark = {doc.Bold: dialect.bold, doc.Italic: dialect.italic, doc.Strike: dialect.strike}[type(span)]
                self._spans(span.spans, rest, outer, _with(inner, mark))

    def _words(self, text: str, rest: str, outer: tuple[Wrap, ...], inner: tuple[Wrap, ...]) -> None:
        words = text.strip()
        start = len(text) - len(text.lstrip())
        if start:
            self._gap += text[:start]
            self._rank = max(self._rank, WORD)
        if words:
            self._put(words, rest, outer, inner)
            if start + len(words) < len(text):
                self._gap, self._rank = text[start + len(words) :], WORD

    def _link(
        self, spans: Sequence[doc.Span], href: str, rest: str, outer: tuple[Wrap, ...], inner: tuple[Wrap, ...]
    ) -> None:
        text = doc.words_of(tuple(spans))
        if self._dialect.linkable(href):
            self._spans(spans, rest, outer, _with(inner, self._dialect.link(href, text)))
            return
        self._spans(spans, rest, outer, inner)
        if href and href != text:
            self._words(f" ({href})", rest, outer, inner)

    def _code_marks(self, span: doc.CodeSpan, inner: tuple[Wrap, ...]) -> tuple[Wrap, ...]:
        mark = self._dialect.code(span.text)
        if not self._dialect.code_alone:
            return _with(inner, mark)
        links = tuple(wrap for wrap in inner if wrap.spare)  # an address says more than a fount
        return links or _with((), mark)

    def _code(self, block: doc.Code, rest: str, outer: tuple[Wrap, ...]) -> None:
        if self._lead != rest:  # a fence begins a line of its own
            self._put("", rest, outer, ())
            self._end_line("\n", rest, LINE)
        lead = rest if rest.strip() else ""  # an item's blanks would become part of the code
        mark = self._dialect.fence(block.info, block.text)
        inside = "\n" + lead
        mark = replace(mark, open=lead + mark.open.replace("\n", inside), close=mark.close.replace("\n", inside))
        if mark.open.endswith(inside):  # the first line brings its own lead
            mark = replace(mark, open=mark.open[: len(mark.open) - len(lead)])
        self._lead = lead
        for number, line in enumerate(block.text.split("\n")):
            if number:
                self._end_line("\n", lead, LINE)
            self._put(line, lead, (*outer, mark), (), escape=self._dialect.code_escape, code=True)

    def _quote(self, block: doc.Quote, rest: str, outer: tuple[Wrap, ...]) -> None:
        self._lead += self._dialect.quote_lead
        mark = replace(self._dialect.quote)  # a mark of its own, so that two quotes in a row stay two
        self.blocks(block.blocks, rest + self._dialect.quote_lead, _with(outer, mark), self._dialect.block)

    def _list(self, block: doc.List, rest: str, outer: tuple[Wrap, ...]) -> None:
        dialect = self._dialect
        between = dialect.item if block.tight else dialect.block
        bullet = dialect.bullets[min(self._depth, len(dialect.bullets) - 1)]
        self._depth += 1
        for number, item in enumerate(block.items):
            if number:
                self._end_line(between, rest, LINE)
            self._lead += dialect.number.format(block.start + number) if block.ordered else bullet
            if item:
                self.blocks(item, rest + dialect.indent, outer, between)
            else:
                self._put("", rest + dialect.indent, outer, ())
        self._depth -= 1

    def _table(self, block: doc.Table, rest: str, outer: tuple[Wrap, ...]) -> None:
        if self._dialect.table is not None:
            self.blocks(self._dialect.table(block), rest, outer, self._dialect.block)
            return
        if self._lead != rest:
            self._put("", rest, outer, ())
            self._end_line("\n", rest, LINE)
        lead = rest if rest.strip() else ""
        lines = {"left": ":---", "right": "---:", "center": ":---:", "": "---"}
        border = "| " + " | ".join(lines[side] for side in block.alignments) + " |"
        head = f"{self._row(block.header)}\n{lead}{border}"
        again = (*outer, Wrap(again=f"{lead}{head}\n"))
        self._lead = lead
        self._put(head, lead, outer, (), solid=True)
        for row in block.rows:
            self._end_line("\n", lead, LINE if self.pieces[-1].outer is again else GLUED)
            self._put(self._row(row), lead, again, (), solid=True)

    def _row(self, cells: Sequence[Sequence[doc.Span]]) -> str:
        dialect = replace(self._dialect, line=" ")
        written = (join(write((doc.Paragraph(tuple(cell)),), dialect)).replace("|", "\\|") for cell in cells)
        return "| " + " | ".join(written) + " |"


def _with(wraps: tuple[Wrap, ...], wrap: Wrap) -> tuple[Wrap, ...]:
    """The wraps and one more, unless it does nothing or is open already."""
    if not (wrap.open or wrap.close) or any(w.open == wrap.open and w.close == wrap.close for w in wraps):
        return wraps
    return (*wraps, wrap)
