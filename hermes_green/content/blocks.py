"""Blocks: what an agent's answer says, free of any platform's markup; frozen values.

A document is a tuple of blocks; a block of text is a tuple of spans. White space inside a span is as
the agent wrote it, but line ends are spans of their own (``Break``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

Alignment = Literal["", "left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words; no line end among them."""

    text: str


@dataclass(frozen=True, slots=True)
class Bold:
    """Strong words."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Italic:
    """Words with a stress."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Strike:
    """Words taken back."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class CodeSpan:
    """Code within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead somewhere; ``spans`` may be empty. No link stands in another."""

    spans: tuple[Span, ...]
    href: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that lies elsewhere; ``alt`` may be empty."""

    alt: str
    href: str


@dataclass(frozen=True, slots=True)
class Break:
    """The end of a line within a block: in a chat each one is meant."""


Span = Union[Text, Bold, Italic, Strike, CodeSpan, Link, Image, Break]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that stands by itself."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; ``level`` is 1 to 6."""

    level: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of code. ``info``: what followed the opening fence, mostly a language."""

    info: str
    text: str

    @property
    def language(self) -> str:
        """The first word of ``info``, or nothing."""
        words = self.info.split(None, 1)
        return words[0] if words else ""


@dataclass(frozen=True, slots=True)
class Quote:
    """Blocks that somebody else said."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class List:
    """Items, each of blocks. ``tight``: the agent left no empty lines between them."""

    ordered: bool
    start: int
    items: tuple[tuple[Block, ...], ...]
    tight: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of spans; every row is as long as ``header`` and ``alignments``."""

    header: tuple[tuple[Span, ...], ...]
    rows: tuple[tuple[tuple[Span, ...], ...], ...]
    alignments: tuple[Alignment, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


Block = Union[Paragraph, Heading, Code, Quote, List, Table, Rule]


def words_of(spans: tuple[Span, ...]) -> str:
    """The words of spans without marks; a line end is a blank, links and images give their words or address."""
    said: list[str] = []
    for span in spans:
        if isinstance(span, (Text, CodeSpan)):
            said.append(span.text)
        elif isinstance(span, Break):
            said.append(" ")
        elif isinstance(span, Image):
            said.append(span.alt or span.href)
        elif isinstance(span, Link):
            said.append(words_of(span.spans) or span.href)
        else:
            said.append(words_of(span.spans))
    return "".join(said)
