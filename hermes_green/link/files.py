"""Files: what an agent hands over to be sent, read only if the platform would take it."""

from __future__ import annotations

import math
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Generic, Iterator, Mapping, TypeVar

from hermes_green.core.clock import Clock, SystemClock
from hermes_green.core.errors import SendRefused, SendRetry
from hermes_green.core.remembered import Remembered
from hermes_green.link.disk import Reading
from hermes_green.link.multipart import Multipart, pieces_of
from hermes_green.link.said import unseen

_CHUNK = 256 * 1024
MIB = 1024 * 1024
REMEMBERED = 500
# Seconds until a disk that hangs is asked again.
HANGS = 30.0
What = TypeVar("What")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to be sent, open for reading; ``size`` in bytes. It is a request's body by itself, too."""

    file: Reading
    name: str
    size: int
    mime: str

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return pieces_of(self.file, self.size)

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
        SendRetry: the disk does not answer.
    """
    path, name = place_of(media)
    with _readable(name or repr(path)):
        file = Reading(path)
    with closing(file):
        size = file.size
        if not 0 < size <= limit:
            most = limit if size else None
            said = f"{name} has {size} bytes; the platform takes 1 to {limit} ({limit / MIB:g} MiB)"
            raise SendRefused(said, code="file_size", limit=most)
        yield Outgoing(file, name, size, str(media.get("mime") or ""))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise SendRetry(f"the file {name} cannot be read now: {error.strerror}", after=HANGS, code="disk") from error
    except OSError as error:
        raise SendRefused(f"the file {name} cannot be read: {error.strerror}", code="file") from error


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
        SendRetry: the disk does not answer.
    """
    path, shown = place_of(media)
    pieces, size = [], 0
    with _readable(shown or repr(path)), closing(Reading(path)) as file:
        if file.size > limit:
            said = f"{shown} has {file.size} bytes; the platform takes {limit // MIB} MiB"
            raise SendRefused(said, code="too_large", limit=limit)
        while piece := file.read(_CHUNK):
            size += len(piece)
            if size > limit:
                said = f"{shown} grew beyond the {limit // MIB} MiB that are taken"
                raise SendRefused(said, code="too_large", limit=limit)
            pieces.append(piece)
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
