"""Reads on threads of their own: a slow disk or a long list never keeps the hub or the writer waiting."""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path
from typing import Any, Callable

import gevent
from gevent.threadpool import ThreadPool

from hermes_green.core.errors import StoreAway
from hermes_green.store.connection import connect, translate


class Reader:
    """Runs queries, at most ``threads`` side by side, each on a connection that nobody else has meanwhile.
    ``tell`` is called with what the disk answered instead, on the thread."""

    def __init__(
        self, path: Path, *, busy_timeout: float, patience: float, threads: int, tell: Callable[[Exception], None]
    ) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._patience = patience
        self._tell = tell
        self._pool = ThreadPool(threads)
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    def ask(self, query: Callable[..., Any], *args: Any) -> Any:
        """What ``query(connection, *args)`` returns.

        Raises:
            StoreAway: it cannot be read now, or not within ``patience`` seconds.
            StoreBroken: the file cannot be trusted.
        """
        if self._closed:
            raise StoreAway("the store is closed")
        with gevent.Timeout(self._patience, StoreAway(f"no answer from the disk within {self._patience:g} s")):
            result, error = self._pool.apply(self._run, (query, args))
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End threads and connections; a thread that hangs in the disk is left behind after ``patience``."""
        if self._closed:
            return
        self._closed = True
        with gevent.Timeout(self._patience, False):
            self._pool.join()
            self._pool.kill()
        while self._idle:
            self._idle.pop().close()

    def _run(self, query: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """On the thread: result and error; gevent would print an error that was raised here.

        ``deque`` operations are atomic, so connections change hands without a lock.
        """
        connection: sqlite3.Connection | None = None
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self._path, busy_timeout=self._busy_timeout)
            result = query(connection, *args)
        except Exception as error:  # border: it belongs to the greenlet that asked
            if connection is not None:
                connection.close()
            known = translate(error, self._path) or error
            if known is not error:
                known.__cause__ = error
            self._tell(known)
            return None, known
        self._idle.append(connection)
        return result, None
