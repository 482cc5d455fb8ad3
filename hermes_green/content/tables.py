"""Tables in other blocks, for platforms that have none: aligned columns, or a paragraph a row."""

from __future__ import annotations

from typing import Sequence

from hermes_green.content.blocks import Block, Bold, Break, Code, Image, Link, Paragraph, Span, Table, Text
from hermes_green.content.columns import aligned, width_of

# Columns a phone shows in a fixed-width fount without wrapping.
NARROW = 40


def auto(table: Table, width: int = NARROW) -> tuple[Block, ...]:
    """Aligned columns if they fit into ``width`` and hide no address, else records."""
    cells = [cell for row in (table.header, *table.rows) for cell in row]
    if any(isinstance(span, (Link, Image)) for cell in cells for span in cell):
        return records(table)
    shown = aligned(table)
    return (Code("", shown),) if max(map(width_of, shown.split("\n"))) <= width else records(table)


def grid(table: Table) -> tuple[Block, ...]:
    """Aligned columns as code, however wide."""
    return (Code("", aligned(table)),)


def records(table: Table) -> tuple[Block, ...]:
    """A paragraph for each row: its first cell bold, then ``column: cell`` a line. Marks and links of
    the cells are kept; columns without a cell are left out, but not all of them everywhere."""
    found = [_joined(_record(table.header, row)) for row in table.rows]
    unseen = [name for number, name in enumerate(table.header) if name and not any(r[number] for r in table.rows)]
    if unseen:
        found.insert(0, _joined([(Bold(name),) for name in unseen]))
    return tuple(Paragraph(spans) for spans in found if spans)


def _record(header: Sequence[tuple[Span, ...]], row: Sequence[tuple[Span, ...]]) -> list[tuple[Span, ...]]:
    lines: list[tuple[Span, ...]] = []
    for number, (name, cell) in enumerate(zip(header, row)):
        if cell:
            value: tuple[Span, ...] = (Bold(cell),) if number == 0 else cell
            lines.append((*name, Text(": "), *value) if name else value)
    return lines


def _joined(lines: Sequence[tuple[Span, ...]]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for line in lines:
        spans += [Break(), *line] if spans else line
    return tuple(spans)
