"""Assembler: puts what came in several frames together again."""

from __future__ import annotations

from dataclasses import dataclass, field

from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame
from hermes_green.core.remembered import Remembered


@dataclass(slots=True)
class _Whole:
    """The parts of one thing that have come so far; ``until`` is monotonic."""

    total: int
    until: float
    size: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)


class Assembler:
    """Parts come in any order within ``timeout`` seconds of the first one, at most ``most_bytes`` in all; so many
    as ``most_open`` things may be under way. What is late, too large or too much is dropped."""

    def __init__(self, clock: Clock, *, timeout: float, most_bytes: int, most_open: int) -> None:
        self._clock = clock
        self._timeout = timeout
        self._most = most_bytes
        self._open: Remembered[str, _Whole] = Remembered(most_open)

    def __len__(self) -> int:
        return len(self._open)

    def put(self, id: str, total: int, seq: int, data: bytes) -> bytes | None:
        """Part ``seq`` (from 0) of ``total``: all of ``id`` once its last part is here, else None.

        Raises:
            BadFrame: too large, or not as many parts as before.
        """
        now = self._clock.monotonic()
        while self._open and next(iter(self._open.values())).until <= now:
            self._open.popitem(last=False)  # the order of coming is that of the deadlines
        if id not in self._open:
            self._open[id] = _Whole(total, now + self._timeout)
        whole = self._open[id]
        whole.size += len(data) - len(whole.parts.get(seq, b""))
        if whole.total != total or whole.size > self._most:
            del self._open[id]
            raise BadFrame(f"{id!r} has {whole.total} parts, then {total}, or exceeds {self._most} bytes")
        whole.parts[seq] = data
        if len(whole.parts) < total:
            return None
        del self._open[id]
        return b"".join(whole.parts[index] for index in range(total))
