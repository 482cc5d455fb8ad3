"""Shelter: frames that nobody will send again, in memory that outlives this process until they are committed.

A commit takes milliseconds, more on a slow disk, and a process can be killed in any of them. Files below
``/dev/shm`` are memory and no disk: to keep a frame is one copy, which waits for nothing, and what was copied
is there for the next process. It does not outlive the machine, which the commit does.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

MEMORY = Path("/dev/shm")
# Bytes for the frames of one child that are on their way to the commit; a usual frame has one to four thousand.
SIZE = 256 * 1024
# Length of what follows, its checksum, what it is.
_HEAD = struct.Struct("<IIB")
_TEXT, _BINARY, _FREE = 1, 2, 3
_END = bytes(_HEAD.size)


class Held:
    """A frame in the shelter, until ``done``."""

    def __init__(self, shelter: Shelter, at: int, raw: str | bytes) -> None:
        self.raw = raw
        self._shelter = shelter
        self._at = at
        self._over = False

    def done(self) -> None:
        """What it says is committed, or says nothing."""
        if not self._over:
            self._over = True
            self._shelter._free(self, self._at)

    def leave(self) -> None:
        """It could not be taken in now: the next run shall."""
        if not self._over:
            self._shelter._leave(self)


class Shelter:
    """The frames of one child. ``place``: the file; nothing is kept where its directory is missing.

    Records follow each other from the beginning of the file, and an empty head ends them; once all of them are
    done the next one is written at the beginning again. What does not fit is not kept.
    """

    def __init__(self, place: Path, log: Any, size: int = SIZE) -> None:
        self._place = place
        self._log = log
        self._size = size
        self._map: mmap.mmap | None = None
        self._refused = False
        self._at = 0
        self._held = 0
        self._left: list[Held] = []
        if place.exists():
            self._open()

    def keep(self, raw: str | bytes) -> Held | None:
        """Copy a frame; None: there is no room, or no such memory."""
        if self._map is None and not self._open():
            return None
        assert self._map is not None
        data = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        at = self._at if self._held else 0
        begin = at + _HEAD.size
        end = begin + len(data)
        if not data or end + _HEAD.size > self._size:
            return None
        # Last of all the head: a copy that our end has cut short is not there.
        self._map[end : end + _HEAD.size] = _END
        self._map[begin:end] = data
        self._map[at:begin] = _HEAD.pack(len(data), zlib.crc32(data), _TEXT if isinstance(raw, str) else _BINARY)
        self._at = end
        self._held += 1
        return Held(self, at, raw)

    def left(self) -> list[Held]:
        """Frames that nobody is taking in: of a process that has ended, or left by a run; told once."""
        left, self._left = self._left, []
        return left

    def close(self) -> None:
        """Remove the file, unless somebody still has to take in what is there."""
        if self._map is None or self._held:
            return
        self._map.close()
        self._map = None
        self._place.unlink(missing_ok=True)

    def _open(self) -> bool:
        if self._refused or not self._place.parent.is_dir():
            return False
        try:
            self._map = _mapped(self._place, self._size)
        except OSError as error:
            self._refused = True
            text = "messages are not sheltered until their commit, a kill may cost one: {}: {}"
            self._log.warning(text, self._place, error)
            return False
        self._find()
        return True

    def _find(self) -> None:
        """What another process has left."""
        assert self._map is not None
        at = 0
        while at + _HEAD.size <= self._size:
            length, checksum, kind = _HEAD.unpack_from(self._map, at)
            begin = at + _HEAD.size
            data = self._map[begin : begin + length]
            if not length or len(data) < length or kind not in (_TEXT, _BINARY, _FREE) or zlib.crc32(data) != checksum:
                break
            if kind != _FREE:
                raw = data.decode("utf-8", "surrogateescape") if kind == _TEXT else data
                self._left.append(Held(self, at, raw))
            at = begin + length
        self._at, self._held = at, len(self._left)

    def _free(self, held: Held, at: int) -> None:
        assert self._map is not None
        self._map[at + _HEAD.size - 1] = _FREE
        self._held -= 1

    def _leave(self, held: Held) -> None:
        if held not in self._left:
            self._left.append(held)


def place_of(data_dir: Path, child: str) -> Path:
    """The file for a child of the gateway that has this data directory, and of this user."""
    whose, name = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (str(data_dir.resolve()), child))
    return MEMORY / f"hermes-green-{os.geteuid()}-{whose}-{name}"


def _mapped(place: Path, size: int) -> mmap.mmap:
    """The file as memory, all of which is there: to touch a missing page of it would be the end of us.

    Raises:
        OSError: it cannot be had, or somebody else could read it.
    """
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError("the file is not ours alone")
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
