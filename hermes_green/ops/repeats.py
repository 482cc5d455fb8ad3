"""Repeats: equal errors are counted instead of written again and again, and no library fills the log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import Callable, Hashable

from gevent import monkey

WINDOW = 60.0  # seconds for which an equal error is counted after it was written
PER_LIBRARY = 30  # lines of one library in a window
KEYS = 1_000  # different errors that are remembered; beyond, the oldest is forgotten


@dataclass(slots=True)
class _Seen:
    since: float
    written: int
    held: int = 0
    what: str = ""


class Repeats:
    """Says of each line whether it is written. Lines come from threads too, hence a lock of the system's."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock: Lock = monkey.get_original("threading", "Lock")()
        self._seen: dict[Hashable, _Seen] = {}

    def passes(self, key: Hashable, what: str, most: int = 1) -> bool:
        """Whether a line is written: the first ``most`` of a ``key`` in a window are. ``what`` is told of
        the others when it is over."""
        now = self._monotonic()
        with self._lock:
            seen = self._seen.get(key)
            if seen is None or (seen.held == 0 and now - seen.since >= WINDOW):
                self._seen.pop(key, None)
                self._seen[key] = _Seen(now, 1)
                if len(self._seen) > KEYS:
                    del self._seen[next(iter(self._seen))]
                return True
            if seen.written < most:
                seen.written += 1
                return True
            seen.held += 1
            seen.what = what
            return False

    def due(self, at_once: bool = False) -> list[tuple[int, str]]:
        """How often what was not written, once its window is over; each is told once."""
        now = self._monotonic()
        with self._lock:
            over = [key for key, seen in self._seen.items() if at_once or now - seen.since >= WINDOW]
            told = [(seen.held, seen.what) for seen in map(self._seen.pop, over) if seen.held]
        return told
