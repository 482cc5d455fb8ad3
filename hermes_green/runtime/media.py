"""Media: what users sent besides text, brought to files that an agent can read, and let go in time.

A file's name is made of its message, so that whoever looks for it finds it: a rerun, and a process that
comes after the one that fetched it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from hermes_green.core.errors import HermesError
from hermes_green.core.model import Attachment, Inbound
from hermes_green.core.ports import Adapter
from hermes_green.runtime.borders import ANYTHING

LIMIT = 20 * 1024 * 1024
TIMEOUT = 60.0
# Messages whose media are fetched ahead of their turn: at a time, and that wait for it.
AHEAD = 8
WAITING = 200
# Small chunks are gathered, so that a slow sender does not cost a thread hop per packet.
WRITE = 256 * 1024
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

    def of(self, adapter: Adapter, inbound: Inbound) -> tuple[Attachment, ...]:
        """What came with a message and what it quotes, brought where the platform can."""
        items = media_of(inbound)
        if not items or not adapter.caps.of(inbound.peer.chat_type).media:
            return items
        return self.bring(adapter, items, stem_of(inbound))

    def bring(self, adapter: Adapter, attachments: Sequence[Attachment], stem: str) -> tuple[Attachment, ...]:
        """The attachments of the message ``stem`` (see ``stem_of``) with ``path`` set where they could be
        fetched, now or before.

        One that could not be keeps ``path`` None; why is in the log.
        """
        return tuple(self._one(adapter, item, f"{stem}-{n}") for n, item in enumerate(attachments))

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
        with self._room:
            self.bring(adapter, items, stem)

    def sweep(self, days: float) -> int:
        """Delete files older than ``days``; how many. Blocks: call it off the hub."""
        horizon = time.time() - days * 86_400
        gone = 0
        for directory in self._root.glob("*") if self._root.is_dir() else ():
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

    def _one(self, adapter: Adapter, item: Attachment, stem: str) -> Attachment:
        """Whoever comes second waits for whoever fetches the same."""
        if item.path is not None:
            return item
        while stem in self._flying:
            self._flying[stem].wait()
        landed = self._flying[stem] = Event()
        try:
            return self._fetched(adapter, item, stem)
        finally:
            del self._flying[stem]
            landed.set()

    def _fetched(self, adapter: Adapter, item: Attachment, stem: str) -> Attachment:
        target = self._root / _today() / f"{stem}-{_safe(item.name or item.kind)}"
        try:
            found = self._offhub(_existing, self._root, target.name)
            if found is not None:
                return replace(item, path=str(found))
            if item.size is not None and item.size > self._limit:
                raise TooLarge(f"{item.size} bytes are more than the {self._limit} that are kept")
            with gevent.Timeout(TIMEOUT, HermesError(f"not fetched within {TIMEOUT:.0f} s")):
                source: Any = adapter
                size = self._write(source.fetch(item.ref), target)
        except (HermesError, OSError) as error:
            self._log.warning("an attachment ({}) could not be fetched: {}", item.kind, error)
            return item
        except ANYTHING:  # border: an adapter's fetch must not cost the answer
            self._log.exception("fetching an attachment failed: this is a bug")
            return item
        return replace(item, path=str(target), size=size)

    def _write(self, chunks: Iterator[bytes], target: Path) -> int:
        """Stream to a file that appears whole or not at all; its size. By name, piece by piece: a thread may
        still write when nobody waits for it any more, and a descriptor could be another file's by then."""
        part = target.with_name(f"{target.name}.{next(self._parts)}.part")
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


def media_of(inbound: Inbound) -> tuple[Attachment, ...]:
    """A message's attachments, and then those of what it quotes."""
    return inbound.attachments + (inbound.quote.attachments if inbound.quote is not None else ())


def stem_of(inbound: Inbound) -> str:
    """How the names of a message's files begin, in every process."""
    name = "\0".join((inbound.peer.child, inbound.peer.chat_id, inbound.message_id, *inbound.keys[:1]))
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:24]


def _safe(name: str) -> str:
    """A file name that stays in its directory."""
    return _UNSAFE.sub("_", name).strip(". ")[-80:] or "file"


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
    return next(iter(root.glob(f"*/{name}")), None) if root.is_dir() else None
