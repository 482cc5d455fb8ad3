"""Media: what users sent besides text, brought to files that an agent can read, and let go in time."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import gevent

from hermes_green.core.errors import HermesError
from hermes_green.core.model import Attachment
from hermes_green.core.ports import Adapter

LIMIT = 20 * 1024 * 1024
TIMEOUT = 60.0
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

    def bring(self, adapter: Adapter, attachments: Sequence[Attachment], turn_id: str) -> tuple[Attachment, ...]:
        """The attachments with ``path`` set where they could be fetched.

        One that could not be keeps ``path`` None; why is in the log. Reruns of a turn find the files
        of the first.
        """
        return tuple(self._one(adapter, item, f"{turn_id}-{n}") for n, item in enumerate(attachments))

    def sweep(self, days: float) -> int:
        """Delete files older than ``days``; how many. Blocks: call it off the hub."""
        horizon = time.time() - days * 86_400
        gone = 0
        for directory in self._root.glob("*") if self._root.is_dir() else ():
            for file in directory.iterdir():
                if file.stat().st_mtime < horizon:
                    file.unlink(missing_ok=True)
                    gone += 1
            if not any(directory.iterdir()):
                directory.rmdir()
        return gone

    def _one(self, adapter: Adapter, item: Attachment, stem: str) -> Attachment:
        if item.path is not None:
            return item
        target = self._root / time.strftime("%Y%m%d") / f"{stem}-{_safe(item.name or item.kind)}"
        try:
            found = self._offhub(_existing, self._root, target.name)
            if found is not None:
                return replace(item, path=str(found))
            if item.size is not None and item.size > self._limit:
                raise TooLarge(f"{item.size} bytes are more than the {self._limit} that are kept")
            with gevent.Timeout(TIMEOUT, HermesError(f"not fetched within {TIMEOUT:.0f} s")):
                source: Any = adapter
                size = self._write(source.fetch(item.ref), target)
        except HermesError as error:
            self._log.warning("an attachment ({}) could not be fetched: {}", item.kind, error)
            return item
        except Exception:  # border: an adapter's fetch must not cost the answer
            self._log.exception("fetching an attachment failed: this is a bug")
            return item
        return replace(item, path=str(target), size=size)

    def _write(self, chunks: Iterator[bytes], target: Path) -> int:
        """Stream to a file that appears whole or not at all; its size."""
        part = target.with_name(target.name + ".part")
        descriptor = self._offhub(_open, part)
        size, pending = 0, bytearray()
        try:
            for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise TooLarge(f"more than the {self._limit} bytes that are kept")
                pending += chunk
                if len(pending) >= WRITE:
                    self._offhub(os.write, descriptor, bytes(pending))
                    pending.clear()
            self._offhub(os.write, descriptor, bytes(pending))
        except BaseException:
            os.close(descriptor)
            self._offhub(part.unlink, True)
            raise
        os.close(descriptor)
        self._offhub(os.replace, part, target)
        return size


def _safe(name: str) -> str:
    """A file name that stays in its directory."""
    return _UNSAFE.sub("_", name).strip(". ")[-80:] or "file"


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _existing(root: Path, name: str) -> Path | None:
    return next(iter(root.glob(f"*/{name}")), None) if root.is_dir() else None
