"""Thread: the one native thread that waits for the disk, with as little as can be between it and the hub.

A ThreadPool makes a watcher, a result and an entry of a queue for each piece of work. Where the processor
sleeps between two messages, that is a tenth of a millisecond of each commit; one lock and one watcher, kept,
cost half of it.
"""

from __future__ import annotations

from typing import Any, Callable

import gevent
from gevent import monkey
from gevent.hub import Waiter

_start_thread: Callable[..., Any] = monkey.get_original("_thread", "start_new_thread")
_new_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")


class Thread:
    """Runs one piece of work at a time for the hub that made it. ``end`` it; one that hangs is left behind."""

    def __init__(self) -> None:
        self._bell = _new_lock()
        self._bell.acquire()
        self._work: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._outcome: tuple[Any, BaseException | None] = (None, None)
        self._done = gevent.get_hub().loop.async_()
        _start_thread(self._live, ())

    def do(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What ``fn(*args)`` returns, or raises; only one greenlet may ask at a time."""
        waiter: Waiter[None] = Waiter()
        self._work = fn, args
        # The greenlet is switched to out of the watcher itself: no further round of the hub lies between.
        self._done.start(waiter.switch, None)
        self._bell.release()
        try:
            waiter.get()
        finally:
            self._done.stop()
        (value, error), self._outcome = self._outcome, (None, None)
        if error is not None:
            raise error
        return value

    def end(self) -> None:
        """End it; nothing may be under way."""
        self._work = None
        self._bell.release()

    def _live(self) -> None:
        while True:
            self._bell.acquire()
            if self._work is None:
                return
            (fn, args), self._work = self._work, None
            try:
                self._outcome = fn(*args), None
            except BaseException as error:  # border: it belongs to the greenlet that asked
                self._outcome = None, error
            del fn, args
            self._done.send()
