"""What a simulator saw, and what it was told to do wrong."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable

from gevent.event import Event as Signal

Entry = dict[str, Any]

FAULTS = frozenset(
    "rst fin close half_open mute_acks slow stop_reading refuse 429 redeliver duplicate lose_answer hang".split()
)
MOMENTARY = frozenset({"rst", "fin", "close", "redeliver"})


class Record:
    """A bounded list of events, each with a running number ``n`` (from 1), wall time ``t`` and ``kind``."""

    def __init__(self, size: int = 200_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=size)
        self._last = 0
        self._more = Signal()

    @property
    def last(self) -> int:
        """The number of the newest entry, 0 when there is none."""
        return self._last

    def add(self, kind: str, **fields: Any) -> Entry:
        """Append one entry and wake whoever waits for more."""
        self._last += 1
        entry: Entry = {"n": self._last, "t": time.time(), "kind": kind, **fields}
        self._entries.append(entry)
        self._more.set()
        self._more = Signal()
        return entry

    def since(self, number: int = 0, kind: str = "") -> list[Entry]:
        """Entries after ``number``, oldest first; ``kind`` keeps only those."""
        newer: list[Entry] = []
        for entry in reversed(self._entries):
            if entry["n"] <= number:
                break
            if not kind or entry["kind"] == kind:
                newer.append(entry)
        newer.reverse()
        return newer

    def wait(self, wanted: Callable[[Entry], bool], since: int = 0, timeout: float = 60.0) -> Entry:
        """The first entry after ``since`` that ``wanted`` accepts.

        Raises:
            TimeoutError: none came within ``timeout`` seconds; the text ends with the last entries.
        """
        deadline = time.monotonic() + timeout
        seen = since
        while True:
            more = self._more
            for entry in self.since(seen):
                if wanted(entry):
                    return entry
                seen = entry["n"]
            left = deadline - time.monotonic()
            if left <= 0 or not more.wait(left):
                tail = "\n".join(str(entry) for entry in self.since(max(since, self._last - 12)))
                raise TimeoutError(f"nothing of the kind within {timeout} s; the last entries:\n{tail}")


class Fault:
    """One fault that is switched on: its arguments, since when, until when, how many times."""

    __slots__ = ("name", "args", "since", "until", "left", "hits")

    def __init__(self, name: str, args: dict[str, Any], seconds: float | None, count: int | None) -> None:
        self.name = name
        self.args = args
        self.since = time.monotonic()
        self.until = self.since + seconds if seconds is not None else None
        self.left = count
        self.hits = 0


class Faults:
    """The switches. A fault lasts until ``clear``, its ``seconds`` are over or its ``count`` is used up."""

    def __init__(self) -> None:
        self._on: dict[str, Fault] = {}

    def set(self, name: str, args: dict[str, Any], seconds: float | None, count: int | None) -> Fault:
        """Switch ``name`` on, in place of an earlier one of that name.

        Raises:
            ValueError: no such fault.
        """
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(FAULTS))}")
        fault = Fault(name, args, seconds, count)
        if name not in MOMENTARY:
            self._on[name] = fault
        return fault

    def on(self, name: str) -> Fault | None:
        """The fault while it lasts; does not count as a use."""
        fault = self._on.get(name)
        if fault is None:
            return None
        if (fault.until is not None and time.monotonic() >= fault.until) or fault.left == 0:
            self._on.pop(name, None)
            return None
        return fault

    def take(self, name: str) -> Fault | None:
        """The fault while it lasts, using up one of its ``count``."""
        fault = self.on(name)
        if fault is not None:
            fault.hits += 1
            if fault.left is not None:
                fault.left -= 1
        return fault

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        if name:
            self._on.pop(name, None)
        else:
            self._on.clear()

    def names(self) -> list[str]:
        """What is on now."""
        return sorted(name for name in list(self._on) if self.on(name))
