"""Tables where a platform has none: as aligned columns, or as one small list a row."""

from __future__ import annotations

import unicodedata
from typing import Sequence

from hermes_green.content.blocks import (
    Alignment,
    Block,
    Bold,
    Break,
    Code,
    Image,
    Link,
    Paragraph,
    Span,
    Table,
    Text,
    words_of,
)

# Columns a phone shows in a monospaced font without wrapping.
NARROW = 40


def auto(table: Table, width: int = NARROW) -> tuple[Block, ...]:
    """Aligned columns if they fit into ``width`` and hide no address, else records."""
    cells = [cell for row in (table.header, *table.rows) for cell in row]
    if any(isinstance(span, (Link, Image)) for cell in cells for span in cell):
        return records(table)
    lines = _grid(table)
    return (Code("", "\n".join(lines)),) if max(map(width_of, lines)) <= width else records(table)


def grid(table: Table) -> tuple[Block, ...]:
    """Aligned columns as code, however wide; a letter that is two columns wide counts as such."""
    return (Code("", "\n".join(_grid(table))),)


def records(table: Table) -> tuple[Block, ...]:
    """A paragraph for each row: its first cell bold, then ``column: cell`` a line. Marks and links of
    the cells are kept; columns without a cell are left out."""
    if not table.rows:
        return (Paragraph(_joined([(Bold(cell),) for cell in table.header if cell])),)
    return tuple(Paragraph(_joined(_record(table.header, row))) for row in table.rows)


def _record(header: Sequence[tuple[Span, ...]], row: Sequence[tuple[Span, ...]]) -> list[tuple[Span, ...]]:
    lines: list[tuple[Span, ...]] = []
    for number, (name, cell) in enumerate(zip(header, row)):
        if not cell:
            continue
        value: tuple[Span, ...] = (Bold(cell),) if number == 0 else cell
        lines.append((*name, Text(": "), *value) if name else value)
    return lines


def _joined(lines: Sequence[tuple[Span, ...]]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for line in lines:
        spans += [Break(), *line] if spans else line
    return tuple(spans)


def _grid(table: Table) -> list[str]:
    rows = [[" ".join(words_of(cell).split()) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(1, *map(width_of, column)) for column in zip(*rows)]
    lines = ["  ".join(map(_padded, row, widths, table.alignments)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _padded(text: str, width: int, side: Alignment) -> str:
    room = width - width_of(text)
    left = room if side == "right" else room // 2 if side == "center" else 0
    return " " * left + text + " " * (room - left)


def width_of(text: str) -> int:
    """How many columns a line takes in a monospaced font."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
