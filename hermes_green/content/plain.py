"""Plain: an answer for people whose client shows no markup."""

from __future__ import annotations

from typing import Callable

from hermes_green.content.markdown import blocks, storable, unmarked
from hermes_green.content.pack import BLOCK, LINE, Piece, Wrap, join, same
from hermes_green.content.writer import Dialect, write

# Bullets, "text (address)", fences around code; the words of bold and the like stand bare.
PLAIN = Dialect(strike=Wrap("~", "~"))


def pieces(markdown: str, dialect: Dialect = PLAIN) -> tuple[Piece, ...]:
    """A Markdown text in a dialect, for ``pack``; a text without marks stays as it is, blanks and empty
    lines included."""
    found = blocks(markdown)
    return untouched(markdown, dialect.escape) if unmarked(markdown, found) else write(found, dialect)


def untouched(text: str, escape: Callable[[str], str] = same) -> tuple[Piece, ...]:
    """The pieces of a text in which nothing is changed but white space at cuts."""
    found: list[Piece] = []
    gap, rank = "", BLOCK
    for line in storable(text).strip("\n").split("\n"):
        words = line.strip()
        if words:
            indent = line[: len(line) - len(line.lstrip())]
            found.append(Piece(words, gap=gap, lead=indent, escape=escape, rank=rank))
            gap, rank = "\n", LINE
        else:
            gap, rank = gap + "\n", BLOCK
    return tuple(found)


def text(markdown: str) -> str:
    """A Markdown text as readable plain text."""
    return join(pieces(markdown))
