"""Columns: a table as lines of text, for platforms that show none but keep letters under letters."""

from __future__ import annotations

import unicodedata

from hermes_green.content.blocks import Table, words_of


def aligned(table: Table) -> str:
    """The table in a fixed-width fount: cells padded to columns, a line under the header."""
    lines = [[words_of(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(width_of, column)) for column in zip(*lines)]
    shown = [
        " | ".join(_padded(cell, width, side) for cell, width, side in zip(line, widths, table.alignments)).rstrip()
        for line in lines
    ]
    shown.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(shown)


def width_of(text: str) -> int:
    """Columns that a text takes: two for wide letters, none for marks that join the letter before."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(cell: str, width: int, side: str) -> str:
    room = width - width_of(cell)
    left = room if side == "right" else room // 2 if side == "center" else 0
    return " " * left + cell + " " * (room - left)
