"""Engine: one file with its writer and its readers, which the nouns of the SQLite store share."""

from __future__ import annotations

import errno
import sqlite3
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Sequence

from gevent.threadpool import ThreadPool

from hermes_green.core.errors import StoreBroken
from hermes_green.store import schema
from hermes_green.store.connection import broken, translate
from hermes_green.store.reader import Reader
from hermes_green.store.writer import Writer

# One statement inserts up to this many rows: each step of a statement gives the GIL away, and a
# busy hub takes a while to give it back, so few steps matter more than short statements.
_ROWS = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


class Engine:
    """Opens the file, off the hub. Base of the store's nouns; ``now`` is the latest wall time given."""

    def __init__(
        self,
        path: str | Path,
        *,
        busy_timeout: float,
        patience: float,
        capacity: int,
        batch: int,
        readers: int,
        max_page_count: int | None,
        before_commit: Callable[[], None] | None,
    ) -> None:
        self._path = Path(path)
        self._now = 0.0
        self._prepare(busy_timeout)
        self._writer = Writer(
            self._path,
            busy_timeout=busy_timeout,
            patience=patience,
            capacity=capacity,
            batch=batch,
            max_page_count=max_page_count,
            before_commit=before_commit,
        )
        self._reader = Reader(
            self._path, busy_timeout=busy_timeout, patience=patience, threads=readers, tell=self._writer.learn
        )

    def close(self) -> None:
        """Commit what waits, then end every greenlet, thread and connection."""
        self._writer.close()
        self._reader.close()

    def _prepare(self, busy_timeout: float) -> None:
        pool = ThreadPool(1)
        try:
            error = pool.apply(_prepared, (self._path, busy_timeout))
        finally:
            pool.kill()
        if error is not None:
            raise error


def _prepared(path: Path, busy_timeout: float) -> Exception | None:
    """On a thread: migrations wait for the disk."""
    try:
        schema.prepare(path, busy_timeout=busy_timeout)
        return None
    except PermissionError as error:
        action = f"Give this user read and write permission on {path}."
        if error.errno == errno.EPERM:  # what only its owner may do: to let nobody else read it
            action = f"Let {path} and what lies beside it belong to this user alone."
        return StoreBroken(f"{path}: {error}", action=action)
    except Exception as error:  # border: it belongs to the greenlet that opens the store
        if getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_SHMMAP":
            text = f"{path}: this file system shares no memory among programs, which a database needs"
            return StoreBroken(text, action="Put data_dir on a local file system.")
        known = translate(error, path)
        if known is None and isinstance(error, sqlite3.Error):
            known = broken(path, str(error))
        return known or error


def insert_rows(connection: sqlite3.Connection, head: str, columns: int, rows: Sequence[Sequence[Any]]) -> None:
    """``INSERT ... VALUES`` of many rows in few statements; ``head`` ends before VALUES."""
    index = 0
    for size in _ROWS:
        while len(rows) - index >= size:
            values = list(chain.from_iterable(rows[index : index + size]))
            connection.execute(_statement(head, columns, size), values)
            index += size


@cache
def _statement(head: str, columns: int, size: int) -> str:
    """Kept, because a statement is found again by its text, and the hash of a long text takes its time."""
    one = "(" + ",".join("?" * columns) + ")"
    return f"{head} VALUES {','.join([one] * size)}"
