"""Output: what a process outside prints, on its way to the log: line by line, and never more than a log bears."""

from __future__ import annotations

import os
import time
from typing import Callable

_READ = 65_536  # bytes taken at a time; a process that prints more waits in its own pipe
_BURST = 65_536  # bytes that are passed on at once
_RATE = 16_384  # bytes a second after that
_LONGEST = 2_000  # characters of a line


class Output:
    """The reading end of a pipe, whose lines go to ``pass_on``. Free of gevent."""

    def __init__(self, descriptor: int, pass_on: Callable[[list[str]], None]) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._pass_on = pass_on
        self._rest = b""
        self._room = float(_BURST)
        self._filled = time.monotonic()
        self._dropped = 0

    def read(self) -> bool:
        """Take what is there; False: everybody who could print is gone."""
        try:
            data = os.read(self.descriptor, _READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > _LONGEST * 4:
                lines.append(self._rest)
                self._rest = b""
            self._lines(lines)
        return bool(data)

    def close(self) -> None:
        """Take the last and close."""
        self.read()
        self._lines([self._rest] if self._rest else [])
        if self._dropped:
            self._pass_on([f"({self._dropped} bytes of output were left out)"])
        os.close(self.descriptor)

    def _lines(self, lines: list[bytes]) -> None:
        now = time.monotonic()
        self._room = min(float(_BURST), self._room + (now - self._filled) * _RATE)
        self._filled = now
        texts = []
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")[:_LONGEST]
            if len(text) > self._room:
                self._dropped += len(line)
                continue
            if self._dropped:
                texts.append(f"({self._dropped} bytes of output were left out)")
                self._dropped = 0
            self._room -= len(text)
            if text.strip():
                texts.append(text)
        if texts:
            self._pass_on(texts)
