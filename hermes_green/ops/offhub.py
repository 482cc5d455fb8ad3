"""OffHub: a few native threads for file work, so that the hub never waits in an fsync.

gevent's default pool is not used: DNS runs there, and nothing else may fill it.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from hermes_green.core.errors import HermesError

T = TypeVar("T")


class OffHubTimeout(HermesError):
    """A call did not end within its deadline; it may still be running and may still take effect."""


class OffHub:
    """A bounded pool of native threads. For functions that wait in the kernel (fsync, flock, stat);
    not for computing, which would fight the hub for the interpreter."""

    def __init__(self, size: int = 2, name: str = "offhub") -> None:
        self._pool = ThreadPool(size)
        self.name = name

    def call(self, fn: Callable[..., T], *args: Any, timeout: float = 30.0) -> T:
        """The result of ``fn(*args)``; the calling greenlet waits, the hub does not.

        Errors of ``fn`` are raised here. ``timeout`` (seconds) covers waiting for a free thread too.

        Raises:
            OffHubTimeout: no result in time.
        """
        late = OffHubTimeout(f"{getattr(fn, '__name__', fn)} took more than {timeout:g} s", code="disk_slow")
        with gevent.Timeout(timeout, late):
            value, error = self._pool.spawn(_guarded, fn, args).get()
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Let idle threads end; a thread stuck in the kernel is left behind."""
        with gevent.Timeout(1.0, False):
            self._pool.join()
        self._pool.kill()


def _guarded(fn: Callable[..., T], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    # An error is carried as a value: raised in the thread, gevent would print it as unhandled.
    try:
        return fn(*args), None
    except Exception as error:
        return None, error
