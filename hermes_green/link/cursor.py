"""Cursor: how far a platform's sequence of events was taken in, and what of it is committed.

A platform may be told only what is committed, so that an event lost between socket and store comes
again. The position travels with the messages, as a memo of the same transaction.
"""

from __future__ import annotations

from typing import Callable, Mapping

from gevent.event import Event

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Json, Port


class Cursor:
    """The position in one sequence, as one run sees it. It is what the platform wants to hear: the number of
    an event, or the one after it.

    ``memo``: the memo that keeps a position. ``received``: the position behind all that came; ``committed``:
    the one that may be told, None as long as there is none. Every event moves it, ours or not; a move without
    a message is written when nothing else is on its way to the store, so that a flood of events not for us
    costs one write per commit, not one per event.
    """

    def __init__(self, port: Port, memo: Callable[[int], Mapping[str, Json]], at: int | None = None) -> None:
        self.committed = self._offered = at
        self.received = at or 0
        self._port = port
        self._memo = memo
        self._open = 0  # handed in, not yet committed
        self._ended = False
        self._settled = Event()

    def take(self, inbound: Inbound | None, to: int) -> None:
        """Hand in a message, and with it the position ``to`` behind it; None: pass over an event that is not for us.

        Raises:
            LinkLost: as ``Port.accept``.
        """
        self.received = to
        if inbound is not None:
            self._offer(inbound)
        else:
            self._catch_up()

    def settle(self, seconds: float) -> bool:
        """Wait until all that was handed in is committed, or the cursor ended; False: not within ``seconds``."""
        return self._open == 0 or self._ended or self._settled.wait(seconds)

    def end(self) -> None:
        """Write no more moves, and let nobody wait."""
        self._ended = True
        self._settled.set()

    def _catch_up(self) -> None:
        if self._open == 0 and self.received != self._offered and not self._ended:
            self._offer(None)

    def _offer(self, inbound: Inbound | None) -> None:
        to = self.received
        self._settled.clear()
        self._port.accept(inbound, ack=lambda taken: self._acked(to), memo=self._memo(to))
        self._open += 1
        self._offered = to

    def _acked(self, to: int) -> None:
        # Acks come in the order in which things were handed in.
        self._open -= 1
        self.committed = to
        try:
            self._catch_up()
        except LinkLost:
            pass  # the intake is full or the run is over: what comes next carries the position too
        if self._open == 0:
            self._settled.set()
