"""Parser: markdown-it with the rules that chats need and none that costs more than linear time.

Departures from CommonMark: see ``markdown.py``. What markdown-it would leave out is kept (cells
beyond a table's columns, what is nested too deep), for an answer must not lose words.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from functools import cache
from types import SimpleNamespace
from typing import Callable, Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.helpers import parseLinkDestination, parseLinkTitle
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_inline import StateInline, autolink
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

# Quotes count one level, lists two. What is deeper is text: markdown-it would leave it out.
DEPTH = 16

_PIPE = re.compile(r"(?<!\\)\|")
_CELL = re.compile(r"(`+|\\.|\|)")
_BRACKET = re.compile(r"\\.|`+|!?\[|\]", re.DOTALL)
# What stands in angles and leads nowhere is a piece of a path or a type, and no address.
_FOREIGN = re.compile(r"<(?!https?:|mailto:|tel:|ftp:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[\w.~:/?#@!$&'*+,;=%-]+", re.ASCII | re.IGNORECASE)
_UNSAFE = re.compile(r"[\s<>\"`|\\^{}\x00-\x1f]")
_BlockRule = Callable[[StateBlock, int, int, bool], bool]


@cache
def parser() -> MarkdownIt:
    """The one parser; it keeps no state between texts."""
    md = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 2 * DEPTH})
    md.enable(["table", "strikethrough"])
    md.disable(["code", "reference", "lheading", "html_block", "html_inline"])
    rule = md.block.ruler
    rule.at("blockquote", _shallow(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    rule.at("list", _shallow(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    rule.at("table", _whole_rows(table), {"alt": ["paragraph", "reference"]})
    md.inline.ruler.at("emphasis", _emphasis)
    md.inline.ruler.at("autolink", _autolink)
    md.helpers = SimpleNamespace(  # type: ignore[assignment]
        parseLinkLabel=_label_end, parseLinkDestination=parseLinkDestination, parseLinkTitle=parseLinkTitle
    )
    md.normalizeLink = _href  # type: ignore[method-assign]
    return md


def _href(url: str) -> str:
    """An address as the agent wrote it, but for what would end the markup around it."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}" if match[0].isascii() else "", url)


def _shallow(rule: _BlockRule) -> _BlockRule:
    """The rule, but nothing that is nested deeper than ``DEPTH``."""

    def bounded(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        return state.level < DEPTH and rule(state, start, end, silent)

    return bounded


def _whole_rows(rule: _BlockRule) -> _BlockRule:
    """The table rule, but cells beyond the header's are kept instead of dropped: a bar within code is
    no border, and what still is too many goes to the last cell."""

    def keeping(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        before = len(state.tokens)
        if not rule(state, start, end, silent):
            return False
        cells: list[Token] = []
        for token in state.tokens[before:]:
            if token.type == "tr_open":
                cells, line = [], token.map[0] if token.map else start
            elif token.type == "inline":
                cells.append(token)
            elif token.type == "tr_close" and cells:
                source = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
                _keep(cells, source)
        return True

    return keeping


def _keep(cells: Sequence[Token], line: str) -> None:
    found = _trim(_PIPE.split(line))
    if len(found) <= len(cells):
        return
    whole = _trim(_outside_code(line))
    if len(whole) <= len(cells):
        found = whole + [""] * (len(cells) - len(whole))
    else:
        found = found[: len(cells) - 1] + [" | ".join(part.strip() for part in found[len(cells) - 1 :])]
    for token, part in zip(cells, found):
        token.content = part.replace("\\|", "|").strip()


def _outside_code(line: str) -> list[str]:
    """The columns of a line at the bars that stand neither in code nor behind a backslash."""
    parts = _CELL.split(line)
    last = {part: number for number, part in enumerate(parts) if part.startswith("`")}
    found, closing = [""], ""
    for number, part in enumerate(parts):
        if part == "|" and not closing:
            found.append("")
            continue
        found[-1] += part
        if part == closing:
            closing = ""
        elif not closing and last.get(part, 0) > number:
            closing = part
    return found


def _trim(columns: list[str]) -> list[str]:
    if columns and not columns[0].strip():
        columns = columns[1:]
    if columns and not columns[-1].strip():
        columns = columns[:-1]
    return columns


def _label_end(state: StateInline, start: int, disableNested: bool = False) -> int:
    """Where the label that opens at ``start`` ends, or -1. markdown-it looks for each bracket anew and
    into what it holds, which takes minutes for a text of brackets; here all are paired once."""
    known = state.env.setdefault("labels", {})
    if state.src not in known:
        known[state.src] = _labels(state.src)
    found: int = known[state.src].get(start, -1)
    return found


def _labels(source: str) -> dict[int, int]:
    """Pairs of brackets outside code. No link stands in another or in an image, no image in an image."""
    marks = list(_BRACKET.finditer(source))
    last = {mark[0]: number for number, mark in enumerate(marks) if mark[0][0] == "`"}
    pairs: dict[int, int] = {}
    opened: list[int] = []
    images: set[int] = set()
    closing = ""
    dead = dead_images = 0  # how many of the open ones, counted from the outside, can no longer hold anything
    for number, mark in enumerate(marks):
        found = mark[0]
        if found[0] == "`":
            if found == closing:
                closing = ""
            elif not closing and last[found] > number:
                closing = found
        elif closing or found[0] == "\\":
            continue
        elif found[-1] == "[":
            opened.append(mark.end() - 1)
            if found[0] == "!":
                images.add(mark.end() - 1)
        elif opened:
            start, depth = opened.pop(), len(opened)
            image = start in images
            if depth >= dead and not (image and depth < dead_images):
                pairs[start] = mark.start()
                if source.startswith("(", mark.end()):
                    dead, dead_images = (dead, depth) if image else (depth, dead_images)
            dead, dead_images = min(dead, depth), min(dead_images, depth)
    return pairs


def _emphasis(state: StateInline, silent: bool) -> bool:
    """markdown-it's rule with the flanking of https://github.com/tats-u/markdown-cjk-friendly: next to
    a wide letter, punctuation neither opens nor closes anything."""
    marker = state.src[state.pos]
    if silent or marker not in "_*":
        return False
    start = end = state.pos
    while end < state.posMax and state.src[end] == marker:
        end += 1
    before = state.src[start - 1] if start else " "
    after = state.src[end] if end < state.posMax else " "
    left, right = _flanks(before, after), _flanks(after, before)
    inside = _in_address(state, start)
    opens = not inside and left and (marker == "*" or not right or _is_mark(before))
    closes = not inside and right and (marker == "*" or not left or _is_mark(after))
    for _ in range(end - start):
        token = state.push("text", "", 0)
        token.content = marker
        state.delimiters.append(
            Delimiter(
                marker=ord(marker),
                length=end - start,
                token=len(state.tokens) - 1,
                end=-1,
                open=opens,
                close=closes,
            )
        )
    state.pos = end
    return True


def _autolink(state: StateInline, silent: bool) -> bool:
    return not _FOREIGN.match(state.src, state.pos) and autolink(state, silent)


def _in_address(state: StateInline, place: int) -> bool:
    """Whether a place is in an address that stands for itself: what would be marks is part of it, but at its end."""
    known = state.env.setdefault("addresses", {})
    if state.src not in known:
        found = _ADDRESS.finditer(state.src)
        known[state.src] = [(mark.start(), mark.start() + len(mark[0].rstrip("?!.,:;*_'"))) for mark in found]
    spans = known[state.src]
    before = bisect(spans, (place, len(state.src)))
    return before > 0 and place < spans[before - 1][1]


def _flanks(outside: str, inside: str) -> bool:
    """Whether a run between these two characters may stand at that border of marked words."""
    if isWhiteSpace(ord(inside)):
        return False
    if not _is_mark(inside) or _is_wide(inside):
        return True
    return isWhiteSpace(ord(outside)) or _is_mark(outside) or _is_wide(outside)


def _is_mark(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


def _is_wide(character: str) -> bool:
    return not character.isascii() and unicodedata.east_asian_width(character) in "WF"
