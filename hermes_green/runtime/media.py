"""Media: what users sent besides text, brought to files that an agent can read, and let go in time.

A file's name is made of its message, so that whoever looks for it finds it: a rerun, and a process that
comes after the one that fetched it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from hermes_green.core.errors import HermesError
from hermes_green.core.model import Attachment, Called, Inbound
from hermes_green.core.ports import Adapter
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.closing import end_all

LIMIT = 20 * 1024 * 1024
# Seconds for one file.
TIMEOUT = 60.0
# Files of one turn, or of one message ahead of it, that are fetched at a time: one that is slow does not hold up
# the others, and no platform meets a crowd of requests because somebody sends an album.
AT_ONCE = 3
# Seconds for all of them. A turn has its agent's time and two minutes more (``lanes.LEASE_SLACK``): files that come
# slowly must not take so much of those that it has lost its lease when the answer is there.
TOTAL = 90.0
# And for their end, whatever the disk does.
ENDING = 1.0
# Ahead of their turns: files that are fetched at a time, and messages that wait for it.
AHEAD = 8
WAITING = 200
# Small chunks are gathered, so that a slow sender does not cost a thread hop per packet.
WRITE = 256 * 1024
_PART = ".part"
# Bytes; a file system takes 255 with the stem and what a file is called that is not whole yet.
LONGEST_NAME = 180
_UNSAFE = re.compile(r"[^\w.\- ]+")


class TooLarge(HermesError):
    """An attachment exceeds what we keep."""


class Media:
    """Files under ``root``, one directory a day; ``offhub`` runs what waits for the disk."""

    def __init__(self, root: Path, offhub: Callable[..., Any], log: Any, limit: int = LIMIT) -> None:
        self._root = root
        self._offhub = offhub
        self._log = log
        self._limit = limit
        self._room = BoundedSemaphore(AHEAD)
        self._ahead: set[gevent.Greenlet] = set()
        self._flying: dict[str, Event] = {}
        self._parts = count()

    def of(self, adapter: Adapter, *messages: Inbound) -> tuple[Attachment, ...]:
        """What came with the messages of a turn and what they quote, in order, brought where the platform can."""
        wanted: list[tuple[Attachment, str]] = []
        for inbound in messages:
            items = media_of(inbound)
            fetches = items and adapter.caps.of(inbound.peer.chat_type).media
            wanted += _named(items, stem_of(inbound) if fetches else "")
        return self._together(adapter, wanted)

    def bring(self, adapter: Adapter, attachments: Sequence[Attachment], stem: str) -> tuple[Attachment, ...]:
        """The attachments of the message ``stem`` (see ``stem_of``) with ``path`` set where they could be
        fetched, now or before.

        One that could not be, or not in time, keeps ``path`` None; why is in the log.
        """
        return self._together(adapter, _named(attachments, stem))

    def expect(self, adapter: Adapter, inbound: Inbound) -> None:
        """A message was committed and its turn may be long in coming: fetch now what cannot be fetched then.
        Returns at once. What does not find room here is left to the turn."""
        items = media_of(inbound)
        caps = adapter.caps.of(inbound.peer.chat_type)
        if not items or not caps.media or caps.media_expires is None or len(self._ahead) >= WAITING:
            return
        greenlet = gevent.spawn(self._fetch_ahead, adapter, items, stem_of(inbound))
        greenlet.name = f"media-{inbound.peer.child}"
        self._ahead.add(greenlet)
        greenlet.link(self._ahead.discard)

    def close(self) -> None:
        """Fetch nothing ahead any more."""
        gevent.killall(list(self._ahead), block=False)

    def _fetch_ahead(self, adapter: Adapter, items: Sequence[Attachment], stem: str) -> None:
        with ExitStack() as rooms:
            rooms.enter_context(self._room)
            places = 1
            while places < min(AT_ONCE, len(items)) and self._room.acquire(blocking=False):
                rooms.callback(self._room.release)
                places += 1
            self._together(adapter, _named(items, stem), places)

    def _together(
        self, adapter: Adapter, wanted: Sequence[tuple[Attachment, str]], at_once: int = AT_ONCE
    ) -> tuple[Attachment, ...]:
        """Each as it could be had, in order; a few are fetched at a time, and all within ``TOTAL``. Whoever ends this
        ends them all."""
        found = [item for item, _ in wanted]
        left = [place for place, (item, stem) in enumerate(wanted) if stem and item.path is None]
        if not left:
            return tuple(found)
        places, until = iter(left), time.monotonic() + TOTAL

        def fetch() -> None:
            for place in places:
                item, stem = wanted[place]
                found[place] = self._one(adapter, item, stem, until)

        workers = [gevent.spawn(fetch) for _ in left[:at_once]]
        for place, worker in zip(left, workers):
            worker.name = f"fetch-{wanted[place][1]}"
        try:
            # They keep the time themselves; only a disk that hangs lets them not.
            gevent.joinall(workers, timeout=TOTAL + ENDING)
        finally:
            end_all(workers, ENDING)
        return tuple(found)

    def sweep(self, days: float) -> int:
        """Delete files older than ``days``; how many. Blocks: call it off the hub."""
        horizon = time.time() - days * 86_400
        gone = 0
        for directory in self._root.glob("*/") if self._root.is_dir() else ():
            for file in directory.iterdir():
                # What is being fetched appears and vanishes meanwhile.
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime < horizon:
                        file.unlink()
                        gone += 1
            if directory.name != _today():
                with suppress(OSError):
                    directory.rmdir()  # it fails where there is something in it
        return gone

    def _one(self, adapter: Adapter, item: Attachment, stem: str, until: float) -> Attachment:
        """Whoever comes second waits for whoever fetches the same."""
        try:
            while stem in self._flying:
                with _within(until):
                    self._flying[stem].wait()
            landed = self._flying[stem] = Event()
            try:
                return self._fetched(adapter, item, stem, until)
            finally:
                del self._flying[stem]
                landed.set()
        except (HermesError, OSError) as error:
            self._log.warning("an attachment ({}) could not be fetched: {}", item.kind, error)
        except ANYTHING:  # border: an adapter's fetch must not cost the answer
            self._log.exception("fetching an attachment failed: this is a bug")
        return item

    def _fetched(self, adapter: Adapter, item: Attachment, stem: str, until: float) -> Attachment:
        # Without a name in its message it may have got one when it was fetched.
        found = self._offhub(_existing, self._root, _file_of(stem, item) if item.name else f"{stem}-*")
        if found is not None:
            told = found.name.removeprefix(f"{stem}-")
            return replace(item, path=str(found), name=item.name or (told if told != item.kind else ""))
        if item.size is not None and item.size > self._limit:
            raise TooLarge(f"{item.size} bytes are more than the {self._limit} that are kept")
        with _within(until):
            source: Any = adapter
            chunks = iter(source.fetch(item.ref))
            first = next(chunks, b"")
            if isinstance(first, Called):
                item, first = replace(item, name=item.name or _safe(first.name)), b""
            target = self._root / _today() / _file_of(stem, item)
            size = self._write(chain((first,), chunks), target)
        return replace(item, path=str(target), size=size)

    def _write(self, chunks: Iterator[bytes], target: Path) -> int:
        """Stream to a file that appears whole or not at all; its size. By name, piece by piece: a thread may
        still write when nobody waits for it any more, and a descriptor could be another file's by then."""
        part = target.with_name(f"{target.name}.{next(self._parts)}{_PART}")
        self._offhub(_create, part)
        size, pending = 0, bytearray()
        try:
            for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise TooLarge(f"more than the {self._limit} bytes that are kept")
                pending += chunk
                if len(pending) >= WRITE:
                    self._offhub(_append, part, bytes(pending))
                    pending.clear()
            self._offhub(_append, part, bytes(pending))
            self._offhub(os.replace, part, target)
        except BaseException:
            self._offhub(part.unlink, True)
            raise
        return size


def media_of(*messages: Inbound) -> tuple[Attachment, ...]:
    """Of each message its attachments, and then those of what it quotes."""
    found: list[Attachment] = []
    for each in messages:
        found += each.attachments
        found += each.quote.attachments if each.quote is not None else ()
    return tuple(found)


def stem_of(inbound: Inbound) -> str:
    """How the names of a message's files begin, in every process."""
    name = "\0".join((inbound.peer.child, inbound.peer.chat_id, inbound.message_id, *inbound.keys[:1]))
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:24]


def _named(items: Sequence[Attachment], stem: str) -> list[tuple[Attachment, str]]:
    """Each with how its file's name begins; "": it is not to be fetched."""
    return [(item, stem and f"{stem}-{n}") for n, item in enumerate(items)]


def _within(until: float) -> gevent.Timeout:
    """The time of one file, which ends with that of all. Raises HermesError then: at once, where none is left."""
    left = until - time.monotonic()
    if left > TIMEOUT:
        return gevent.Timeout(TIMEOUT, HermesError(f"not fetched within {TIMEOUT:.0f} s"))
    late = HermesError(f"not fetched within the {TOTAL:.0f} s that all files of a turn have")
    if left <= 0:
        raise late
    return gevent.Timeout(left, late)


def _file_of(stem: str, item: Attachment) -> str:
    """What its file is called."""
    return f"{stem}-{_safe(item.name or item.kind)}"


def _safe(name: str) -> str:
    """A file name that stays in its directory, and leaves the stem its room there."""
    whole = _UNSAFE.sub("_", name).strip(". ")[-80:]
    return whole.encode()[-LONGEST_NAME:].decode(errors="ignore") or "file"


def _today() -> str:
    return time.strftime("%Y%m%d")


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))


def _append(path: Path, data: bytes) -> None:
    """All of it, or an OSError; a file that is gone stays so."""
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags & ~os.O_CREAT)) as file:
        file.write(data)


def _existing(root: Path, name: str) -> Path | None:
    whole = (path for path in root.glob(f"*/{name}") if not path.name.endswith(_PART))
    return next(whole, None) if root.is_dir() else None
