"""Files: what an agent hands over to be sent, read only if the platform would take it."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Generic, Iterator, Mapping, TypeVar

from hermes_green.core.clock import Clock, SystemClock
from hermes_green.core.errors import SendRefused
from hermes_green.core.remembered import Remembered
from hermes_green.link.fair import Fair
from hermes_green.link.multipart import Multipart
from hermes_green.link.said import unseen

_CHUNK = 256 * 1024
MIB = 1024 * 1024
REMEMBERED = 500
What = TypeVar("What")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to be sent, open for reading; ``size`` in bytes."""

    file: BinaryIO
    name: str
    size: int
    mime: str

    def form(self, fields: Mapping[str, str], field: str, name: str = "") -> Multipart:
        """The file as the ``field`` of a form; ``name``: what it is called there."""
        return Multipart(fields, field, name or self.name, self.file, self.size, self.mime)


def place_of(media: Mapping[str, Any]) -> tuple[str, str]:
    """Where a payload's ``media`` lies, and what people call it."""
    path = str(media.get("path") or "")
    return path, str(media.get("name") or "") or os.path.basename(path)


@contextmanager
def outgoing(media: Mapping[str, Any], limit: int) -> Iterator[Outgoing]:
    """The file of a payload's ``media`` (path, name?, mime?), of 1 to ``limit`` bytes.

    Raises:
        SendRefused: it cannot be read, is empty or too large; the sentence says the limit.
    """
    path, name = place_of(media)
    try:
        file = open(path, "rb")
    except OSError as error:
        raise SendRefused(f"the file {name or path!r} cannot be read: {error.strerror}", code="file") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= limit:
            most = limit if size else None
            raise SendRefused(f"{name} has {size} bytes; the platform takes 1 to {limit}", code="file_size", limit=most)
        yield Outgoing(file, name, size, str(media.get("mime") or ""))


@dataclass(frozen=True, slots=True)
class Shown(Generic[What]):
    """A kind of medium as a platform shows it: what it calls that, and the endings and the most bytes with which
    it does so."""

    name: What
    endings: tuple[str, ...]
    limit: float = math.inf


def shown_as(media: Mapping[str, Any], kinds: Mapping[str, Shown[What]], size: int) -> What | None:
    """What the platform shows a payload's ``media`` of ``size`` bytes as; None: as a file."""
    path, name = place_of(media)
    kind = kinds.get(str(media.get("kind") or ""))
    if kind is None or size > kind.limit:
        return None
    return kind.name if name.lower().endswith(kind.endings) or path.lower().endswith(kind.endings) else None


def read_file(media: Mapping[str, Any], limit: int) -> tuple[str, bytes]:
    """What people call the file of a payload's ``media``, and the whole of it, of at most ``limit`` bytes.

    Raises:
        SendRefused: it cannot be read, is empty, or is larger; the sentence says the limit.
    """
    path, shown = place_of(media)
    pieces, size, fair = [], 0, Fair()
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                said = f"{shown} has {size} bytes; the platform takes {limit // MIB} MiB"
                raise SendRefused(said, code="too_large", limit=limit)
            size = 0
            while piece := file.read(_CHUNK):
                fair.breathe()
                size += len(piece)
                if size > limit:
                    said = f"{shown} grew beyond the {limit // MIB} MiB that are taken"
                    raise SendRefused(said, code="too_large", limit=limit)
                pieces.append(piece)
    except OSError as error:
        raise SendRefused(f"{shown} cannot be read: {error.strerror}", code="unreadable") from error
    if not size:
        raise SendRefused(f"{shown} is empty", code="empty")
    return shown, b"".join(pieces)


class Uploads(Generic[What]):
    """What was uploaded for which part, so that a repeated send can use it again. ``lives``: for how many
    seconds it can, where the platform forgets."""

    def __init__(self, clock: Clock | None = None, lives: Callable[[What], float] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lives = lives
        self._done: Remembered[str, tuple[What, float]] = Remembered(REMEMBERED)

    def once(self, key: str, upload: Callable[[], What]) -> What:
        """What ``upload`` answers, asked once for a part; nobody sees a file before a message names it, so that
        an upload without an answer may be repeated. Raises SendError, never SendUnknown."""
        known = self._done.get(key)
        if known is None or known[1] <= self._clock.monotonic():
            with unseen("the upload"):
                what = upload()
            seconds = self._lives(what) if self._lives is not None else math.inf
            known = self._done[key] = (what, self._clock.monotonic() + seconds)
        return known[0]
