"""Watchdog: a hub that hangs is seen, written down and ended, even when nothing of Python runs any more.

Layer one is a native thread that looks at the stack of a hub that is late: it is logged once the hub turns
again, or written by that thread if it may never. Layer two is
faulthandler's own thread, which needs no interpreter lock: unless it is put off in time, it dumps all
stacks and ends the process. The third layer is the service manager's, fed by the same loop.
"""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import sys
import time
import traceback
from collections import deque
from contextlib import suppress
from typing import Any, Callable

import gevent
from gevent import monkey

BEAT = 0.05
# A hub that is late for so many seconds may never log anything again; for a third of ``kill``, where that is less.
PATIENCE = 4.0
STDERR = 2

_start_thread: Callable[..., Any] = monkey.get_original("_thread", "start_new_thread")
_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")


class Watchdog:
    """``warn``: lateness in seconds that is reported (0: never). ``kill``: seconds without
    ``put_off`` after which the process ends with all stacks on standard error (0: never).

    ``log(seconds, stack)`` is called from the hub once it turns again, for what was not written meanwhile: each
    block is told once.
    """

    def __init__(self, warn: float, kill: float, log: Callable[[float, str], None]) -> None:
        self._warn = warn
        self._kill = kill
        self._log = log
        self._beat = time.monotonic()
        self._hub_thread = _thread_id()
        # At most one; whoever takes it out tells it.
        self._report: deque[tuple[float, str]] = deque(maxlen=1)
        self._over = False
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to watch; called in the hub's thread."""
        self._beat = time.monotonic()
        self._greenlet = gevent.spawn(self._beats)
        self._greenlet.name = "watchdog-beat"
        _start_thread(self._watch, ())
        self.put_off()

    def retune(self, warn: float, kill: float) -> None:
        """Other deadlines from now on."""
        self._warn, self._kill = warn, kill
        self.put_off()

    def put_off(self) -> None:
        """Everything that must turn has just been seen turning."""
        if self._kill > 0 and not self._over:
            faulthandler.dump_traceback_later(self._kill, exit=True, file=STDERR)
        else:
            faulthandler.cancel_dump_traceback_later()

    def suspend(self) -> None:
        """Stop, as Ctrl-Z asks for, until somebody lets us go on; neither layer counts that time."""
        faulthandler.cancel_dump_traceback_later()
        self._beat = math.inf
        signal.raise_signal(signal.SIGSTOP)
        self._beat = time.monotonic()
        self.put_off()

    def stop(self) -> None:
        """End both layers."""
        self._over = True
        faulthandler.cancel_dump_traceback_later()
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1)

    # --- the hub ---

    def _beats(self) -> None:
        while True:
            gevent.sleep(BEAT)
            before, self._beat = self._beat, time.monotonic()
            try:
                late, stack = self._report.pop()
            except IndexError:
                continue
            self._log(max(late, self._beat - before - BEAT), stack)

    # --- the native thread; it uses nothing that gevent has patched ---

    def _watch(self) -> None:
        seen = False
        while not self._over:
            _sleep(BEAT)
            late = time.monotonic() - self._beat - BEAT
            if self._warn <= 0 or late < self._warn:
                seen = False
            elif not seen:
                seen = True
                self._report.append((late, self._stack()))
            elif late >= (min(PATIENCE, self._kill / 3) if self._kill > 0 else PATIENCE):
                self._write(late)

    def _write(self, late: float) -> None:
        """Straight to the descriptor: the log's own locks belong to the hub that hangs."""
        stack = self._stack()
        with suppress(IndexError):
            self._report.pop()
            os.write(STDERR, f"the hub has been blocked for {late:.2f} s at:\n{stack}".encode())

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._hub_thread)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)\n"


def resident_mb() -> float:
    """This process's resident memory in MB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000
    except OSError:
        pass
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000_000
    except ImportError:
        return 0.0
