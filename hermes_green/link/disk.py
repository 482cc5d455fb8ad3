"""Disk: files that somebody else names, opened and read beside the hub, and waited for only so long.

An agent may name what is no file (a pipe that nobody writes into is waited for as it is opened), or one on a disk
that hangs: each of them would hold every link.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, BinaryIO, Callable

import gevent
from gevent.threadpool import ThreadPool

WITHIN = 10.0
_THREADS = 4
_pool: ThreadPool | None = None


class Reading:
    """A file, open at its beginning; ``size`` in bytes. Each wait is of ``WITHIN`` seconds at most.

    Raises:
        TimeoutError: the disk does not answer.
        OSError: it cannot be opened, or is no file.
    """

    def __init__(self, path: str) -> None:
        self._file, self.size = _beside(_open, path, late=lambda opened: opened[0].close())
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes, b"" at the end. Raises OSError, TimeoutError."""
        data: bytes = _beside(self._file.read, size)
        return data

    def seek(self, place: int) -> None:
        """Go on from there."""
        self._file.seek(place)

    def close(self) -> None:
        """Let it go; nobody waits for that."""
        if not self.closed:
            self.closed = True
            gevent.spawn(_closed, self._file).name = "close-file"


def _open(path: str) -> tuple[BinaryIO, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"this is no path ({error})") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return os.fdopen(descriptor, "rb", buffering=0), found.st_size
    except BaseException:
        os.close(descriptor)
        raise


def _closed(file: BinaryIO) -> None:
    try:
        _beside(file.close)
    except OSError:
        pass  # what hangs is closed by the thread that is held up, once it can


def _beside(call: Callable[..., Any], *values: Any, late: Callable[[Any], None] = lambda result: None) -> Any:
    """What ``call`` answers, in a thread; ``late`` takes it where nobody waits any more. Raises its OSError."""
    global _pool
    if _pool is None:
        _pool = ThreadPool(_THREADS)
    pending = None
    try:
        with gevent.Timeout(WITHIN, TimeoutError(errno.ETIMEDOUT, f"the disk has not answered for {WITHIN:g} s")):
            pending = _pool.spawn(_guarded, call, values)
            result, error = pending.get()
    except BaseException:
        if pending is not None:
            pending.rawlink(lambda ended: late(ended.value[0]) if ended.value and ended.value[0] else None)
        raise
    if error is not None:
        raise error
    return result


def _guarded(call: Callable[..., Any], values: tuple[Any, ...]) -> tuple[Any, OSError | None]:
    # An error is carried as a value: gevent would print one that leaves a thread.
    try:
        return call(*values), None
    except OSError as error:
        return None, error
