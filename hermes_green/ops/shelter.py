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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

MEMORY = Path("/dev/shm")
# Bytes for the frames of one child that are on their way to the commit; a usual frame has one to four thousand.
SIZE = 256 * 1024
# Length of what follows, its checksum, what it is: one of the three below, and how many processes have ended
# while they read it.
_HEAD = struct.Struct("<IIB")
_TEXT, _BINARY, _FREE = 1, 2, 3
_KIND_BITS = 2
_END = bytes(_HEAD.size)
# Whoever reads a frame after so many have ended over it would do so, too.
FATAL = 2


class Held:
    """A frame in the shelter, until ``done``. ``at``: where its record begins; ``kind``: text or not."""

    def __init__(self, shelter: Shelter, at: int, kind: int, raw: str | bytes, ends: int = 0) -> None:
        self.raw = raw
        self.at = at
        self.kind = kind
        self._shelter = shelter
        self._ends = ends

    def done(self) -> None:
        """What it says is committed, or says nothing."""
        self._shelter._free(self)

    def leave(self) -> None:
        """It could not be taken in now: the next run shall."""
        self._shelter._leave(self)

    def take(self) -> None:
        """Somebody is taking it in after all."""
        self._shelter._take(self)

    @property
    def fatal(self) -> bool:
        """Processes have ended while they read it, and more than one: it is no chance."""
        return self._ends >= FATAL

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read it; should that be our end, the next process knows of it."""
        self._shelter._mark(self, self._ends + 1)
        try:
            yield
        finally:
            self._shelter._mark(self, self._ends)


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
        self._inode = 0
        self._refused = False  # told that there is no such memory
        self._crowded = False  # told that there is no room in it
        self._at = 0
        self._held: set[Held] = set()
        self._left: set[Held] = set()
        if place.exists():
            self._open()

    def keep(self, raw: str | bytes) -> Held | None:
        """Copy a frame; None: there is no room, or no such memory."""
        if not self._there() and not self._open():
            return None
        assert self._map is not None
        kind, data = (_TEXT, raw.encode("utf-8", "surrogateescape")) if isinstance(raw, str) else (_BINARY, raw)
        at = self._at if self._held else 0
        begin = at + _HEAD.size
        end = begin + len(data)
        if not data:
            return None  # no record is empty
        if end + _HEAD.size > self._size:
            self._tell_crowded()
            return None
        # Last of all the head: a copy that our end has cut short is not there.
        self._map[end : end + _HEAD.size] = _END
        self._map[begin:end] = data
        self._map[at:begin] = _HEAD.pack(len(data), zlib.crc32(data), kind)
        self._at = end
        held = Held(self, at, kind, raw)
        self._held.add(held)
        return held

    def left(self) -> list[Held]:
        """Frames that nobody is taking in, in the order in which they came: of a process that has ended, or left
        by a run; told once."""
        left, self._left = self._left, set()
        return sorted(left, key=lambda held: held.at)

    def close(self) -> None:
        """Nobody takes anything in any more: what is held is left to whoever comes next, here or in another
        process; where there is nothing, the file goes."""
        self._left = set(self._held)
        if self._map is None or self._held:
            return
        self._map.close()
        self._map = None
        self._place.unlink(missing_ok=True)

    def _there(self) -> bool:
        """Whether the file is mapped, and still the one that others would find: systemd-logind removes what a
        user has in this memory when he logs out (RemoveIPC). It is looked at while there is nothing in it."""
        if self._map is None or self._held:
            return self._map is not None
        try:
            if os.stat(self._place).st_ino == self._inode:
                return True
        except OSError:
            pass
        self._map.close()
        self._map = None
        return False

    def _open(self) -> bool:
        if not self._place.parent.is_dir():
            return False
        try:
            self._map, self._inode = _mapped(self._place, self._size)
        except OSError as error:
            if not self._refused:
                self._refused = True
                text = "messages are not sheltered until their commit, a kill may cost one: {}: {}"
                self._log.warning(text, self._place, error)
            return False
        self._refused = False
        self._find()
        return True

    def _find(self) -> None:
        """What another process has left."""
        assert self._map is not None
        at = 0
        while at + _HEAD.size <= self._size:
            length, checksum, said = _HEAD.unpack_from(self._map, at)
            kind, ends = said & _FREE, said >> _KIND_BITS
            begin = at + _HEAD.size
            data = self._map[begin : begin + length]
            if not length or len(data) < length or kind not in (_TEXT, _BINARY, _FREE) or zlib.crc32(data) != checksum:
                break
            if kind != _FREE:
                raw = data.decode("utf-8", "surrogateescape") if kind == _TEXT else data
                self._held.add(Held(self, at, kind, raw, ends))
            at = begin + length
        self._at, self._left = at, set(self._held)

    def _free(self, held: Held) -> None:
        if held in self._held:
            self._say(held, _FREE)
            self._held.discard(held)
            self._left.discard(held)
            self._crowded = self._crowded and bool(self._held)

    def _leave(self, held: Held) -> None:
        if held in self._held:
            self._left.add(held)

    def _take(self, held: Held) -> None:
        self._left.discard(held)

    def _mark(self, held: Held, ends: int) -> None:
        if held in self._held:
            self._say(held, held.kind | ends << _KIND_BITS)

    def _say(self, held: Held, said: int) -> None:
        assert self._map is not None
        self._map[held.at + _HEAD.size - 1] = said

    def _tell_crowded(self) -> None:
        if not self._crowded:
            self._crowded = True
            self._log.warning("no room to shelter more messages until their commit: a kill now would cost them")


def place_of(data_dir: Path, child: str, bot: str = "") -> Path:
    """The file for a child of the gateway that has this data directory, and of this user. ``bot``: its credential, for
    containers that share this memory may call their directories and children alike, and are other bots."""
    texts = (data_dir.resolve(), f"{child}\0{bot}")
    whose, name = (hashlib.sha256(os.fsencode(text)).hexdigest()[:16] for text in texts)
    return MEMORY / f"hermes-green-{os.geteuid()}-{whose}-{name}"


def _mapped(place: Path, size: int) -> tuple[mmap.mmap, int]:
    """The file as memory, and its inode. All of it is there: to touch a missing page would be the end of us.

    Raises:
        OSError: it cannot be had, or somebody else could read it.
    """
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError("the file is not ours alone")
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            if not found.st_size:
                os.unlink(place)
            raise
        return mmap.mmap(descriptor, size), found.st_ino
    finally:
        os.close(descriptor)
