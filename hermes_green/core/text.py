"""Text: how long a message is in a platform's own units, and where it may be cut."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import Callable, Iterator

from hermes_green.core.model import Unit

_FENCE = re.compile(r"^([ \t]*)(`{3,16}|~{3,16})([^\n]*)$", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?][)\"'”’]*(?=\s)|[。！？…]+[”’」』）]*")
_WORD = re.compile(r"(?=\s)|(?<=[，、；：])")
_BLANK_LINES = re.compile(r"(?:[ \t]*\n)+")
_BLANKS = re.compile(r"[ \t]+")
_JOINER = "\u200d"
# Characters that are kept for the line which closes a fence, and for marks that take more once they are rendered.
_SPARE = 100
# Python reads a codec from disk when it is first asked for: not with the first message, when nothing may wait.
codecs.lookup("utf-16-le")


def measure(text: str, unit: Unit) -> int:
    """The length of ``text`` in ``unit``."""
    if unit is Unit.CHARS:
        return len(text)
    if text.isascii():
        return len(text)
    if unit is Unit.BYTES:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_blank(text: str) -> bool:
    """Whether nobody would see anything: blanks, and characters without a width. Platforms refuse such messages."""
    return all(each.isspace() or unicodedata.category(each) == "Cf" for each in text)


def split(text: str, limit: int, unit: Unit = Unit.CHARS) -> list[str]:
    """Pieces of at most ``limit`` units, at least one, in linear time.

    Cut is, in this order of preference, at a paragraph, a line, a sentence, a word, and only then
    between two characters, never within one that is made of several code points (unless it alone
    exceeds the limit). White space at a cut is dropped. A code fence that must be cut is closed and
    opened again with its info string.

    Raises:
        ValueError: the limit is less than 4 units, into which some characters do not fit.
    """
    if limit < 4:
        raise ValueError(f"no text can be cut into pieces of {limit} {unit}")
    if measure(text, unit) <= limit:
        return [text]
    return list(_Cutter(text, limit, unit).pieces()) or [""]


def reworded(text: str, marks: re.Pattern[str], word: Callable[[re.Match[str]], str]) -> str:
    """The text with words in place of marks; where that is "", as for our own name, the blank behind it goes too,
    which is the last group of ``marks``."""

    def shown(mark: re.Match[str]) -> str:
        said = word(mark)
        return said + mark[marks.groups] if said else ""

    return marks.sub(shown, text)


def beginning(text: str, least: int, limit: int) -> tuple[str, str]:
    """A text in two, the first of at most ``limit`` characters and with all of the first ``least`` as they are;
    the whole of it and "" where it is not longer.

    For what was shown already of a text that grows. Cut is at a paragraph, a line or a word, where there is one
    in between; a code fence that is cut is closed and opened again.
    """
    if len(text) <= limit:
        return text, ""
    most = limit - _SPARE
    found = (text.rfind(border, least, most) for border in ("\n\n", "\n", " "))
    cut = next((at for at in found if at >= 0), most)
    head, tail = text[:cut], text[cut:].strip("\n")
    for fence in _fences(text, limit, Unit.CHARS):
        if fence.start < cut < fence.closing:
            return f"{head}\n{fence.closer.strip()}", f"{fence.opener.strip()}\n{tail}"
    return head, tail


@dataclass(frozen=True, slots=True)
class _Fence:
    """A fenced block: its first line from ``start``, its lines from ``body``, its last line from
    ``closing`` to ``end`` (both the end of the text where it is never closed)."""

    start: int
    body: int
    closing: int
    end: int
    opener: str
    closer: str


def _fences(text: str, limit: int, unit: Unit) -> list[_Fence]:
    """The fences in order; those whose marks alone would fill half a piece are taken for text."""
    found: list[_Fence] = []
    opening: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        if opening is None:
            if not (line[2][0] == "`" and "`" in line[3]):
                opening = line
        elif line[2].startswith(opening[2]) and not line[3].strip():
            found.append(_fence(opening, line.start(), line.end(), limit, unit))
            opening = None
    if opening is not None:
        found.append(_fence(opening, len(text), len(text), limit, unit))
    return [fence for fence in found if 2 * measure(fence.opener + fence.closer, unit) + 4 <= limit]


def _fence(opening: re.Match[str], closing: int, end: int, limit: int, unit: Unit) -> _Fence:
    opener, closer = opening[0].rstrip(), opening[1] + opening[2]
    if 4 * measure(opener, unit) > limit:
        opener = closer
    body = min(opening.end() + 1, len(opening.string))
    return _Fence(opening.start(), body, max(body, closing), max(body, end), opener, closer)


class _Cutter:
    """One splitting of one text; walks from cut to cut."""

    def __init__(self, text: str, limit: int, unit: Unit) -> None:
        self._text = text
        self._limit = limit
        self._unit = unit
        self._wide = unit is not Unit.CHARS and not text.isascii()
        self._fences = _fences(text, limit, unit)
        self._fence = 0  # the first fence that does not lie wholly before the walk

    def pieces(self) -> Iterator[str]:
        """The pieces, in order, none of them empty."""
        position, prefix = 0, ""
        while position < len(self._text):
            piece, position, inside = self._next(position, prefix)
            prefix = inside.opener + "\n" if inside else ""
            if piece.strip():
                yield piece

    def _next(self, position: int, prefix: str) -> tuple[str, int, _Fence | None]:
        """The piece at ``position``, where the next begins, and the fence that goes on there."""
        reach = self._reach(position, self._limit - measure(prefix, self._unit))
        if reach == len(self._text):
            return prefix + self._text[position:].rstrip(), reach, None
        fence, floor = self._fences_between(position, reach)
        if fence is None:
            return self._cut_text(position, max(position, floor), reach, prefix)
        if fence.start > position and self._better_before(fence, position, reach):
            return self._piece(position, fence.start, prefix)
        return self._cut_fence(position, reach, prefix, fence)

    def _fences_between(self, position: int, reach: int) -> tuple[_Fence | None, int]:
        """The fence that a cut at ``reach`` would hurt, and where the last one before it ends."""
        while self._fence < len(self._fences) and self._fences[self._fence].end <= position:
            self._fence += 1
        floor = 0
        for fence in islice(self._fences, self._fence, None):
            if fence.start >= reach:
                break
            if fence.end > reach:
                return fence, floor
            floor = fence.end
        return None, floor

    def _better_before(self, fence: _Fence, position: int, reach: int) -> bool:
        """Whether to cut before a fence: it fits into a piece of its own, or hardly any of it would fit here."""
        if not self._text[position : fence.start].strip():
            return False
        alone = fence.end - fence.start <= self._limit and (
            measure(self._text[fence.start : fence.end], self._unit) <= self._limit
        )
        far = fence.start - position >= (reach - position) // 2
        closer = len(fence.closer) + 1
        return alone or far or self._text.find("\n", fence.body, max(fence.body, reach - closer)) < 0

    def _cut_text(self, position: int, floor: int, reach: int, prefix: str) -> tuple[str, int, _Fence | None]:
        """A piece that ends outside any fence; before ``floor`` lie fences that are whole."""
        half = max(floor, position + (reach - position) // 2)
        quarter = max(floor, position + (reach - position) // 4)
        for mark in ("\n\n", "\n"):
            cut = self._text.rfind(mark, half, min(len(self._text), reach + len(mark)))
            if cut > position:
                return self._piece(position, cut, prefix)
        for border, least in ((_SENTENCE, half), (_WORD, quarter)):
            ends = (match.end() for match in border.finditer(self._text, least, reach + 1))
            cut = max((end for end in ends if position < end <= reach), default=position)
            if cut > position and not self._joined(cut, position):
                return self._piece(position, cut, prefix)
        return self._piece(position, self._whole(position, reach), prefix)

    def _piece(self, position: int, cut: int, prefix: str) -> tuple[str, int, _Fence | None]:
        lines = _BLANK_LINES.match(self._text, cut)
        blanks = None if lines else _BLANKS.match(self._text, cut)
        following = lines.end() if lines else blanks.end() if blanks else cut
        return prefix + self._text[position:cut].rstrip(), following, None

    def _cut_fence(self, position: int, reach: int, prefix: str, fence: _Fence) -> tuple[str, int, _Fence | None]:
        suffix = "\n" + fence.closer
        reach = self._reach(position, self._limit - measure(prefix + suffix, self._unit))
        if reach >= fence.closing - 1 and fence.closing > fence.body:
            # All of its lines fit; only the mark that closes it does not, and that is the suffix.
            end = _BLANK_LINES.match(self._text, fence.end)
            body = self._text[position : fence.closing].removesuffix("\n")
            return prefix + body + suffix, end.end() if end else fence.end, None
        first = max(position, fence.body)
        cut = self._text.rfind("\n", first + 1, reach + 1)
        following = cut + 1
        if cut < 0:
            cut = following = self._whole(first, reach) if reach > first else reach
        if cut <= first:  # not even one character of a line: the opening line is as long as the piece
            cut = following = max(self._whole(position, reach), position + 1)
            return prefix + self._text[position:cut], following, None
        return prefix + self._text[position:cut] + suffix, following, fence

    def _reach(self, position: int, budget: int) -> int:
        """How far ``budget`` units go from ``position``."""
        end = min(len(self._text), position + budget)
        if not self._wide:
            return end
        if self._unit is Unit.BYTES:
            data = self._text[position:end].encode("utf-8", "surrogatepass")
            if len(data) <= budget:
                return end
            while budget and data[budget] & 0xC0 == 0x80:
                budget -= 1
            return position + len(data[:budget].decode("utf-8", "surrogatepass"))
        data = self._text[position:end].encode("utf-16-le", "surrogatepass")
        if len(data) <= 2 * budget:
            return end
        if data[2 * budget - 1] & 0xFC == 0xD8 and data[2 * budget + 1] & 0xFC == 0xDC:
            budget -= 1
        return position + len(data[: 2 * budget].decode("utf-16-le", "surrogatepass"))

    def _whole(self, position: int, reach: int) -> int:
        """The last cut at or before ``reach`` that tears no character apart."""
        cut = reach
        while cut > position and self._joined(cut, position):
            cut -= 1
        return cut if cut > position else reach

    def _joined(self, cut: int, position: int) -> bool:
        """Whether the code points before and after ``cut`` make one character together."""
        if cut >= len(self._text):
            return False
        before, after = self._text[cut - 1], self._text[cut]
        if after.isascii():
            return before == "\r" and after == "\n"
        if _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc"):
            return True
        if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
            return True
        if _is_flag(before) and _is_flag(after):
            run = cut - 1
            while run > position and _is_flag(self._text[run - 1]):
                run -= 1
            return (cut - run) % 2 == 1
        # Hangul written in its letters: a vowel or final joins what is before it.
        return "\u1160" <= after <= "\u11ff" and "\u1100" <= before <= "\u11ff"


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
