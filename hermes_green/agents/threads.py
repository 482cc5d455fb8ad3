"""Threads: native threads of our own for user code that waits in the kernel or in C.

Their limits: code that computes slows every link down, C code that keeps the interpreter lock stops
them all, and a thread cannot be ended. gevent's own pool is not used, because DNS runs there.
"""

from __future__ import annotations

import time
from typing import Any, Callable

import gevent
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

from hermes_green.agents import calling
from hermes_green.core.errors import AgentTimeout

# In a patched process, two threads that import the same module at the same time may wait for each other
# for ever: the import system's locks are gevent's. So one thread loads at a time, in all of the process.
_LOADING = BoundedSemaphore(1)


class Threads:
    """``count`` threads, lent one at a time, so that a generator is advanced by the thread that began it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._room = BoundedSemaphore(count)
        self._idle = [ThreadPool(1) for _ in range(count)]
        self._closed = False

    def borrow(self, seconds: float) -> Thread:
        """Raises AgentTimeout: none was free within ``seconds``."""
        if not self._room.acquire(timeout=seconds):
            raise AgentTimeout(f"all {self._count} threads were busy for {seconds:g} s")
        return Thread(self._idle.pop(), self._back)

    def close(self) -> None:
        """End the idle ones; a busy one ends when its code does."""
        self._closed = True
        for thread in self._idle:
            thread.kill()

    def _back(self, thread: ThreadPool) -> None:
        self._idle.append(thread)
        self._room.release()
        if self._closed:
            gevent.spawn(thread.kill)


class Thread:
    """One borrowed thread."""

    def __init__(self, pool: ThreadPool, back: Callable[[ThreadPool], None]) -> None:
        self._pool = pool
        self._back = back
        self._last: AsyncResult | None = None

    def do(self, fn: Callable[[], Any], until: float) -> Any:
        """``fn()``. Raises what it raises, and AgentTimeout when it is not done in time (monotonic)."""
        left = until - time.monotonic()
        with gevent.Timeout(max(0.001, left), AgentTimeout("no complete answer in time; its thread goes on")):
            self._last = self._pool.spawn(_guarded, fn)
            value, error = self._last.get()
        if error is not None:
            raise error
        return value

    def load(self, target: str, until: float) -> Callable[..., Any]:
        """The callable of this name. Raises as ``do`` does, and what its import raises."""
        if not _LOADING.acquire(timeout=max(0.001, until - time.monotonic())):
            raise AgentTimeout("another thread is loading code and does not end")
        try:
            made: Callable[..., Any] = self.do(lambda: calling.resolve(target), until)
            return made
        finally:
            _LOADING.release()

    def give_back(self) -> None:
        """At once, or when what it does has ended."""
        last, pool, back = self._last, self._pool, self._back
        if last is None or last.ready():
            back(pool)
        else:
            last.rawlink(lambda _: back(pool))


def _guarded(fn: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    # An error is carried as a value: raised in the thread, gevent would print it as unhandled.
    try:
        return fn(), None
    except BaseException as error:  # border: foreign code, SystemExit included
        return None, error
