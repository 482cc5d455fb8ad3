"""Pack: pieces of rendered text into messages that keep a platform's limit and are each whole.

A piece is a run of words with the marks around it; what marks mean is not known here. Cut is between
pieces or between their words, best at a block, then at a line, a sentence, a word. Marks open at a
cut are closed and opened again, so that every message stands by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Callable, Iterator, NamedTuple, Sequence

from hermes_green.core.model import Unit
from hermes_green.core.text import measure, split

# How good a cut before a piece is.
GLUED, WORD, SENTENCE, LINE, BLOCK = range(5)

# Below this, marks and one character need not fit together.
LEAST = 100
_CHUNK = 24
_WORDS = re.compile(r"\s+|[^\s，、；：。！？…]*[，、；：。！？…]+[”’」』）》]*|[^\s，、；：。！？…]+")
_CODE = re.compile(r"\s+|\S+")
_ENDS = re.compile(r"[.!?][)\"'”’\]]*$|[。！？…][”’」』）》]*$")

Size = Callable[[str], int]


def same(text: str) -> str:
    """The text as it is: the escape of platforms without markup."""
    return text


@dataclass(frozen=True, slots=True)
class Wrap:
    """A mark around words. ``joint`` stands between it and a letter directly beside it, where a
    platform sees marks at the borders of words only. ``spare`` is written after the words where the
    mark itself has no room, so that nothing is lost (a link's address). ``again`` opens it where a
    message begins with it already open (a table's header), if that differs."""

    open: str = ""
    close: str = ""
    joint: str = ""
    spare: str = ""
    again: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words under the same marks, within one line.

    ``text`` is not yet escaped. ``gap``: what separates it from the piece before, if both are in one
    message. ``lead``: what begins its line (quote mark, bullet), ``rest``: what begins the line if a
    message begins within the piece. ``outer`` wraps stay open over line ends, ``inner`` ones do not.
    ``rank``: how good a cut before it is. ``code``: white space in it means something. ``solid``: it
    is markup already, and cut only if it alone exceeds the limit.
    """

    text: str
    gap: str = ""
    lead: str = ""
    rest: str = ""
    outer: tuple[Wrap, ...] = ()
    inner: tuple[Wrap, ...] = ()
    escape: Callable[[str], str] = same
    rank: int = BLOCK
    code: bool = False
    solid: bool = False


def join(pieces: Sequence[Piece]) -> str:
    """All pieces as one text, of whatever length."""
    return _text([_atom(piece, piece.text, piece.gap, piece.lead, piece.rank) for piece in pieces])


def pack(pieces: Sequence[Piece], limit: int, unit: Unit | Size = Unit.CHARS) -> list[str]:
    """Messages of at most ``limit``, in order, none empty; none for no pieces.

    ``unit`` is a unit, or a function that tells how much of the limit a stretch of finished text
    takes; the size of two stretches together must be no more than the sum.

    Raises:
        ValueError: the limit is below ``LEAST``.
    """
    return list(_pages(pieces, limit, unit))


def fit(
    pieces: Sequence[Piece], count: int, limit: int, unit: Unit | Size, note: Callable[[int], str]
) -> list[str]:
    """As ``pack``, but at most ``count`` messages; where more were needed the last one ends with
    ``note(characters left out)``, which is finished text and not longer for a smaller number."""
    pages = _Pages(pieces, limit, unit)
    cuts = list(pages.cuts())
    if len(cuts) <= count:
        return [text for text in map(pages.text, cuts) if text.strip()]
    start = cuts[count - 1][0]
    room = limit - pages.size("\n\n" + note(pages.letters(start)))
    kept = [pages.text(cut) for cut in cuts[: count - 1]]
    if room < limit // 4:
        return [*kept, note(pages.letters(start))]
    last = next(pages.cuts(start, room))
    return [*kept, pages.text(last) + "\n\n" + note(pages.letters(last[1]))]


def _pages(pieces: Sequence[Piece], limit: int, unit: Unit | Size) -> Iterator[str]:
    size = _size_of(unit)
    whole = join(pieces)
    if size(whole) <= limit:
        if whole.strip():
            yield whole
        return
    pages = _Pages(pieces, limit, unit)
    for cut in pages.cuts():
        text = pages.text(cut)
        if text.strip():
            yield text


def _size_of(unit: Unit | Size) -> Size:
    if isinstance(unit, Unit):
        counted: Unit = unit
        return lambda text: measure(text, counted)
    return unit


class _Atom(NamedTuple):
    """What is never cut: ``text`` is escaped, ``letters`` counts it before that."""

    text: str
    gap: str
    lead: str
    outer: tuple[Wrap, ...]
    inner: tuple[Wrap, ...]
    rank: int
    letters: int


def _atom(piece: Piece, text: str, gap: str, lead: str, rank: int) -> _Atom:
    written = text if piece.solid else piece.escape(text)
    return _Atom(written, gap, lead, piece.outer, piece.inner, rank, len(text) + len(gap))


def _border(before: _Atom | None, after: _Atom) -> str:
    """What stands between two neighbours, or before the first of a message."""
    if before is None:
        return _opened_again(after.outer) + after.lead + _opened_again(after.inner)
    line = "\n" in after.gap
    if not line and before.outer is after.outer and before.inner is after.inner:
        return after.gap
    outer = _common(before.outer, after.outer)
    inner = _common(before.inner, after.inner) if not line and outer == len(before.outer) == len(after.outer) else 0
    closes = _closed(before.inner[inner:]) + _closed(before.outer[outer:])
    opens = _opened(after.outer[outer:]) + (after.lead if line else "") + _opened(after.inner[inner:])
    return closes + after.gap + opens


def _common(some: tuple[Wrap, ...], others: tuple[Wrap, ...]) -> int:
    count = 0
    for one, other in zip(some, others):
        if one is not other:
            break
        count += 1
    return count


def _opened(wraps: Sequence[Wrap]) -> str:
    return "".join(wrap.open for wrap in wraps)


def _opened_again(wraps: Sequence[Wrap]) -> str:
    return "".join(wrap.again or wrap.open for wrap in wraps)


def _closed(wraps: Sequence[Wrap]) -> str:
    return "".join(wrap.close for wrap in reversed(wraps))


def _text(atoms: Sequence[_Atom]) -> str:
    found: list[str] = []
    before: _Atom | None = None
    for atom in atoms:
        found += (_border(before, atom), atom.text)
        before = atom
    if before is not None:
        found.append(_closed(before.inner) + _closed(before.outer))
    return "".join(found)


class _Pages:
    """One packing: the pieces taken apart into atoms, and where messages are cut between them."""

    def __init__(self, pieces: Sequence[Piece], limit: int, unit: Unit | Size) -> None:
        if limit < LEAST:
            raise ValueError(f"no message can be packed into {limit}")
        self.size = _size_of(unit)
        self._limit = limit
        self._sizes: dict[str, int] = {}
        self._atoms = [atom for piece in self._roomy(pieces) for atom in self._apart(piece)]

    def text(self, cut: tuple[int, int]) -> str:
        """The message of one cut."""
        return _text(self._atoms[cut[0] : cut[1]])

    def letters(self, start: int) -> int:
        """How many characters stand from atom ``start`` on, marks not counted."""
        return sum(atom.letters for atom in self._atoms[start:])

    def cuts(self, start: int = 0, limit: int = 0) -> Iterator[tuple[int, int]]:
        """The messages, each as its first atom and the one after its last."""
        limit = limit or self._limit
        atoms, used = self._atoms, [0]
        number = start
        while number < len(atoms):
            atom = atoms[number]
            before = atoms[number - 1] if number > start else None
            total = used[-1] + self._known(_border(before, atom)) + self._known(atom.text)
            if before is not None and total + self._known(_closed(atom.inner) + _closed(atom.outer)) > limit:
                cut = start + self._best(start, used, limit)
                yield start, cut
                start = number = cut
                used = [0]
            else:
                used.append(total)
                number += 1
        if start < len(atoms):
            yield start, len(atoms)

    def _known(self, text: str) -> int:
        size = self._sizes.get(text)
        if size is None:
            size = self._sizes[text] = self.size(text) if text else 0
        return size

    def _best(self, start: int, used: Sequence[int], limit: int) -> int:
        """After how many atoms from ``start`` to cut, where all that are ``used`` fit."""
        best, best_rank = len(used) - 1, -1
        for count in range(len(used) - 1, 0, -1):
            rank = self._atoms[start + count].rank
            if used[count] < limit // 2 and (rank > WORD or best_rank >= WORD) or used[count] < limit // 4:
                break
            if rank > best_rank:
                best, best_rank = count, rank
        return best

    def _roomy(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """The pieces, each with room for words between its marks."""
        fourth = self._limit // 4
        dropped: list[Wrap] = []
        before: Piece | None = None
        for piece in pieces:
            while dropped and dropped[-1] not in piece.inner and before is not None:
                wrap = dropped.pop()
                yield replace(before, text=wrap.spare, gap="", outer=(), inner=(), solid=False, rank=GLUED)
            whole = piece
            large = [wrap for wrap in (*piece.outer, *piece.inner) if self._mark(wrap) > fourth]
            if large or self._marks(piece) > 2 * fourth:
                dropped += [wrap for wrap in large if wrap.spare and wrap not in dropped]
                piece = self._bare(piece, large)
            yield piece
            before = replace(piece, inner=whole.inner) if large else piece
        while dropped and before is not None:
            yield replace(before, text=dropped.pop().spare, gap="", outer=(), inner=(), solid=False, rank=GLUED)

    def _mark(self, wrap: Wrap) -> int:
        return max(self._known(wrap.open), self._known(wrap.again)) + self._known(wrap.close)

    def _marks(self, piece: Piece) -> int:
        border = _opened_again(piece.outer) + piece.lead + piece.rest + _opened_again(piece.inner)
        return self._known(border) + self._known(_closed(piece.inner) + _closed(piece.outer))

    def _bare(self, piece: Piece, large: Sequence[Wrap]) -> Piece:
        fourth = self._limit // 4
        piece = replace(
            piece,
            outer=tuple(wrap for wrap in piece.outer if wrap not in large),
            inner=tuple(wrap for wrap in piece.inner if wrap not in large),
            lead=piece.lead if self._known(piece.lead) <= fourth else "",
            rest=piece.rest if self._known(piece.rest) <= fourth else "",
        )
        if self._marks(piece) > 2 * fourth:
            return replace(piece, outer=(), inner=(), lead="", rest="")
        return piece

    def _apart(self, piece: Piece) -> Iterator[_Atom]:
        """The atoms of a piece: its words; of code the line, if it fits."""
        gap, lead, rank = piece.gap, piece.lead, piece.rank
        if piece.solid or piece.code or not piece.text:
            written = piece.text if piece.solid else piece.escape(piece.text)
            if self._known(written) <= self._limit // (1 if piece.solid else 2) - self._marks(piece):
                yield _atom(piece, piece.text, gap, lead, rank)
                return
        for word in (_CODE if piece.code else _WORDS).findall(piece.text):
            if word.isspace() and not piece.code:
                gap, rank = gap + word, max(rank, WORD)
                continue
            for number, part in enumerate(self._chunks(piece, word)):
                yield _atom(piece, part, gap, lead, rank if not number else GLUED)
                gap, lead = "", piece.rest
            rank = SENTENCE if _ENDS.search(word) else WORD if piece.code or word[-1] in "，、；：" else GLUED

    def _chunks(self, piece: Piece, word: str) -> list[str]:
        """A word that is too long to be kept whole, in parts; no character is torn."""
        most = _CHUNK
        while True:
            parts = [word] if len(word) <= most else _sliced(word, most)
            written = parts if piece.solid else [piece.escape(part) for part in parts]
            if most <= 4 or all(self._known(part) <= self._limit // 4 for part in written):
                return parts
            most = max(4, most // 2)


def _sliced(word: str, most: int) -> list[str]:
    if word.isspace():
        return [word[start : start + most] for start in range(0, len(word), most)]
    return split(word, most)
