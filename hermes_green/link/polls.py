"""Polls: a link that is no socket but a row of questions, each held until the platform has something to tell."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import gevent
from gevent.event import Event
from gevent.util import wrap_errors

from hermes_green.core.errors import LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.cursor import Cursor

Answer = TypeVar("Answer")


class _Left(Exception):
    """The run was told to end."""


class Polls:
    """One link. ``live`` is its whole life; ``leave`` ends it from outside, at any time.

    A platform's own asks and hands in, in ``_converse``. A poll tells how far the one before it was taken in,
    and the platform forgets it: so the next one waits in ``_settle`` until that is committed. ``memo`` names the
    memo that keeps the position.
    """

    def __init__(self, port: Port, ctx: Context, memo: str) -> None:
        self._port = port
        self._ctx = ctx
        at = ctx.memo(memo)
        self._cursor = Cursor(port, lambda to: {memo: to}, at if isinstance(at, int) else 0)
        self._left = Event()
        self._asking: gevent.Greenlet | None = None

    def live(self) -> None:
        """Ask until told to leave. Raises LinkError, ConfError: why it ended otherwise."""
        try:
            self._converse()
        except _Left:
            return

    def leave(self) -> None:
        """End a question that waits by closing its connection; nothing is asked any more."""
        self._left.set()
        self._cursor.end()
        if self._asking is not None:
            self._asking.kill(block=False)

    def _converse(self) -> None:
        """All that is asked, until an error ends it."""

    def _ask(self, call: Callable[..., Answer], *args: Any) -> Answer:
        """One call, which leaving ends; in a greenlet of its own, because it may wait for longer than a stop."""
        self._stay()
        # Its error belongs to the run's greenlet, and not to the call's.
        asking = self._asking = gevent.spawn(wrap_errors(Exception, call), *args)
        asking.name = f"poll-{self._ctx.child}"
        try:
            asking.join()
        finally:
            asking.kill(block=False)
            self._asking = None
        self._stay()
        if isinstance(asking.value, Exception):
            raise asking.value
        answer: Answer = asking.value
        return answer

    def _settle(self, seconds: float) -> None:
        """Wait until everything handed in is committed. Raises LinkLost: it is not within so many seconds."""
        if not self._cursor.settle(seconds):
            raise LinkLost(f"nothing was committed for {seconds:g} s", code="store_away")
        self._stay()

    def _pause(self, seconds: float) -> None:
        """Ask nothing for so long."""
        self._left.wait(seconds)
        self._stay()

    def _stay(self) -> None:
        if self._left.is_set():
            raise _Left
