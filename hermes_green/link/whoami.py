"""Whoami: who the bot is on its platform, which a link works without and mentions are told by."""

from __future__ import annotations

from typing import Callable, Generic, TypeVar

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, ConfError, LinkError, Throttled
from hermes_green.core.ports import Context

# Seconds for which a dial waits for the answer, and until a failed question is asked again.
WITHIN, ASK_AGAIN = 3.0, 60.0
Bot = TypeVar("Bot")


class Whoami(Generic[Bot]):
    """``ask`` asks the platform; ``bot`` is ``unknown`` until it has answered. ``vital``: credentials that are
    refused here are of no use elsewhere."""

    def __init__(
        self, ask: Callable[[], Bot], unknown: Bot, ctx: Context, clock: Clock, *, vital: bool = False
    ) -> None:
        self.bot = unknown
        self._ask = ask
        self._unknown = unknown
        self._ctx = ctx
        self._clock = clock
        self._vital = vital
        self._asking: gevent.Greenlet | None = None
        self._ask_at = 0.0

    def learn(self) -> None:
        """Ask unless it is known; no longer than a dial may wait for it: a late answer is asked for again in the
        background. Raises AuthRejected where vital."""
        if self.bot == self._unknown:
            late = True
            with gevent.Timeout(WITHIN, False):
                self._learn()
                late = False
            if late:  # for a dial alone
                self._ask_at = self._clock.monotonic()

    def now(self) -> Bot:
        """As far as is known; asked again in the background while it is not."""
        idle = self._asking is None or self._asking.dead
        if self.bot == self._unknown and idle and self._clock.monotonic() >= self._ask_at:
            self._asking = gevent.spawn(self._learn_later)
            self._asking.name = f"whoami-{self._ctx.child}"
        return self.bot

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.kill(block=False)

    def _learn(self) -> None:
        self._ask_at = self._clock.monotonic() + ASK_AGAIN
        try:
            self.bot = self._ask()
        except (LinkError, ConfError) as error:
            if self._vital and isinstance(error, AuthRejected):
                raise
            if isinstance(error, Throttled):
                self._ask_at = self._clock.monotonic() + error.after
            self._ctx.log.warning(f"the bot's own id is not known yet; mentions are told less surely: {error}")

    def _learn_later(self) -> None:
        try:
            self._learn()
        except AuthRejected as rejected:
            self._ctx.reject(rejected)
