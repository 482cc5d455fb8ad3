"""Cursor: how far in the gateway's sequence of events we have come, and what of it is committed.

Heartbeats and RESUME tell the platform only what is committed, so that an event lost between
socket and store is replayed. The position travels as the memo ``session``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Port

MEMO = "session"


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the gateway: what a RESUME needs, and as whom the platform knows us.

    ``asked``: the events the settings asked for. A RESUME carries none, so that settings which ask
    for others now need a new session.
    """

    id: str
    app_id: str
    asked: int
    seq: int = 0
    bot_id: str = ""
    bot_name: str = ""

    def as_memo(self, seq: int) -> dict[str, Any]:
        """The value stored under ``session``."""
        return {
            "id": self.id,
            "seq": seq,
            "app_id": self.app_id,
            "asked": self.asked,
            "bot_id": self.bot_id,
            "bot_name": self.bot_name,
        }

    @classmethod
    def of_memo(cls, value: Any, app_id: str, asked: int) -> Session | None:
        """The session a memo describes; None when it is none, another bot's, or for other events."""
        if not isinstance(value, Mapping) or value.get("app_id") != app_id or value.get("asked", asked) != asked:
            return None
        session_id, seq = value.get("id"), value.get("seq")
        if not isinstance(session_id, str) or not session_id or not isinstance(seq, int):
            return None
        return cls(session_id, app_id, asked, seq, str(value.get("bot_id") or ""), str(value.get("bot_name") or ""))

    @classmethod
    def of_ready(cls, d: Any, app_id: str, asked: int) -> Session | None:
        """The session that READY opens; None when it names none."""
        session_id = d.get("session_id") if isinstance(d, Mapping) else None
        if not isinstance(session_id, str) or not session_id:
            return None
        user = d.get("user")
        user = user if isinstance(user, Mapping) else {}
        return cls(session_id, app_id, asked, 0, str(user.get("id") or ""), str(user.get("username") or ""))


class Cursor:
    """The position in one session, as one run sees it.

    Every event moves it, ours or not; a move without a message is written when nothing else is on
    its way to the store, so that a flood of events not for us costs one write per commit, not one
    per event.
    """

    def __init__(self, port: Port, session: Session | None) -> None:
        self.session = session
        self.committed = session.seq if session else None
        self._port = port
        self._received = self._offered = session.seq if session else 0
        self._pending = 0
        self._ended = False

    def open(self, session: Session, seq: int | None) -> None:
        """READY: a new session, whose first event this is."""
        self.session = session
        self.committed = None
        self._received = self._offered = seq or 0
        self._offer(None)

    def take(self, seq: int | None, inbound: Inbound) -> None:
        """Hand in a message, and with it the position after it.

        Raises:
            LinkLost: as ``Port.accept``.
        """
        self._advance(seq)
        self._offer(inbound)

    def skip(self, seq: int | None) -> None:
        """Pass over an event that is not for us.

        Raises:
            LinkLost: as ``Port.accept``.
        """
        self._advance(seq)
        self._catch_up()

    def forget(self) -> None:
        """The platform does not know the session any more: the next run identifies anew."""
        self.end()
        self.session = None
        self._port.accept(None, memo={MEMO: None})

    def end(self) -> None:
        """Write nothing more."""
        self._ended = True

    def _advance(self, seq: int | None) -> None:
        # Never backwards: an event sent twice must not undo the one after it.
        if seq is not None and seq > self._received:
            self._received = seq

    def _catch_up(self) -> None:
        if self._pending == 0 and self._received > self._offered and not self._ended:
            self._offer(None)

    def _offer(self, inbound: Inbound | None) -> None:
        session, seq = self.session, self._received
        memo = {MEMO: session.as_memo(seq)} if session else None
        if inbound is None and memo is None:
            return
        self._port.accept(inbound, ack=lambda taken: self._acked(session, seq), memo=memo)
        self._pending += 1
        self._offered = seq

    def _acked(self, session: Session | None, seq: int) -> None:
        self._pending -= 1
        if session is not self.session or session is None:
            return
        self.committed = max(self.committed or 0, seq)
        try:
            self._catch_up()
        except LinkLost:
            pass  # the intake is full or the run is over: what comes next carries the position too
