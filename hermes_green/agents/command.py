"""Command: a program of the user's answers: the turn as JSON on its input, the answer on its output."""

from __future__ import annotations

import codecs
import json
import os
import time
from typing import Any, Iterator, Protocol, Sequence

import gevent
from gevent.os import nb_read, nb_write

from hermes_green.agents import frames
from hermes_green.agents.pool import epitaph
from hermes_green.agents.yard import Ward, Yard
from hermes_green.core.errors import AgentError, AgentFailed, AgentTimeout
from hermes_green.core.model import Delta, Turn
from hermes_green.link.fair import Fair

_LINE = 1024 * 1024  # characters of one line of deltas
_KEYS = {"text", "media", "usage"}
_REST = 0.5  # seconds for what is still in the pipe once the program has ended


class CommandOptions(Protocol):
    """What the agent reads of its settings; ``timeout`` in seconds."""

    @property
    def argv(self) -> Sequence[str]: ...
    @property
    def timeout(self) -> float: ...


class Command:
    """One process a turn. Its whole family ends with it; what it says on standard error is logged."""

    def __init__(self, options: CommandOptions, yard: Yard) -> None:
        self._options = options
        self._yard = yard

    def run(self, turn: Turn) -> Iterator[Delta]:
        """Plain text, or lines of JSON objects with ``text``, ``media`` or ``usage``; the first line
        decides which.

        Raises:
            AgentTimeout: not ended in time.
            AgentFailed: not started, not ended with exit code 0, or not lines of deltas.
        """
        parse = Answer()
        for piece in converse(self._yard, self._options.argv, json.dumps(frames.turn_out(turn)), self._options.timeout):
            yield from parse.feed(piece)
        yield from parse.end()

    def close(self) -> None:
        """Nothing to free."""


def converse(yard: Yard, argv: Sequence[str], said: str, seconds: float) -> Iterator[str]:
    """What a program prints when told ``said``; it must end well and in time. Raises AgentError."""
    until = time.monotonic() + seconds
    name = os.path.basename(argv[0])
    late = AgentTimeout(f"{name}: no complete answer in {seconds:g} s")
    try:
        ward, feed, take = yard.exec(argv, name)
    except AgentError as error:
        raise type(error)(f"{name}: {error.text}") from None
    feeder = gevent.spawn(_feed, feed, said.encode() + b"\n")
    feeder.name = f"feed-{name}"
    feeder.rawlink(lambda _: os.close(feed))  # also where it is ended before its first step
    decoder, fair = codecs.getincrementaldecoder("utf-8")("replace"), Fair()
    try:
        while data := _read(ward, take, until, late):
            yield decoder.decode(data)
            fair.breathe()
        with gevent.Timeout(max(0.001, until - time.monotonic()), late):
            ward.gone.wait()
        if ward.why.get("exit") != 0:
            why = epitaph(ward.why).replace(" itself in the middle,", "")
            raise AgentFailed(f"{name}: {why}" + (f": {ward.said[:300]}" if ward.said else ""), code="ended")
        yield decoder.decode(b"", True)
    finally:
        yard.kill(ward)
        feeder.kill(block=False)
        os.close(take)


def _feed(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[nb_write(descriptor, rest) :]
    except OSError:
        pass  # it need not read its input


def _read(ward: Ward, descriptor: int, until: float, late: AgentTimeout) -> bytes:
    """What it prints next; nothing: it has ended its output, or has ended and so has what it left."""
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise late
        over = ward.gone.is_set()
        data: bytes | None = None
        with gevent.Timeout(_REST if over else min(left, 1.0), False):
            data = nb_read(descriptor, 16_384)
        if data is not None:
            return data
        if over:
            return b""


class Answer:
    """Plain text as it comes, or deltas line by line; the first line that is not blank decides."""

    def __init__(self) -> None:
        self._rest = ""
        self._lines: bool | None = None
        self._number = 0

    def feed(self, text: str) -> Iterator[Delta]:
        """Raises AgentFailed."""
        self._rest += text
        if self._lines is None:
            start = self._rest.lstrip()
            first, end, _ = start.partition("\n")
            if end or len(first) > _LINE or (first and not first.startswith("{")):
                self._lines = _delta(first) is not None
        if self._lines is False:
            # The last line break is not part of the answer, unless more comes.
            whole = self._rest.rstrip("\r\n")
            self._rest = self._rest[len(whole) :]
            if whole:
                yield Delta(whole)
        elif self._lines:
            *lines, self._rest = self._rest.split("\n")
            if len(self._rest) > _LINE:
                raise AgentFailed(f"line {self._number + 1} of the answer is longer than {_LINE} characters")
            for line in lines:
                yield from self._line(line)
        if len(self._rest) > 2 * _LINE:  # which is gone through again each time that something comes
            raise AgentFailed(f"{_LINE} characters of the answer are blank, or more")

    def end(self) -> Iterator[Delta]:
        """What is left. Raises AgentFailed."""
        if self._lines is None:
            self._lines = _delta(self._rest.strip()) is not None
            if not self._lines and self._rest.strip():
                yield Delta(self._rest.rstrip("\r\n"))
        if self._lines:
            yield from self._line(self._rest)

    def _line(self, line: str) -> Iterator[Delta]:
        self._number += 1
        if not line.strip():
            return
        delta = _delta(line)
        if delta is None:
            raise AgentFailed(f"line {self._number} of the answer is no delta: {line.strip()[:100]}")
        yield delta


def _delta(line: str) -> Delta | None:
    try:
        plain = json.loads(line)
        return frames.delta_in(plain) if isinstance(plain, dict) and plain and plain.keys() <= _KEYS else None
    except (ValueError, RecursionError, frames.BadFrames):
        return None


def create(options: CommandOptions, log: Any, yard: Yard) -> Command:
    """Starts nothing yet."""
    return Command(options, yard)
