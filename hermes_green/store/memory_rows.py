"""The tables of MemoryStore: plain rows in dictionaries, and what was said in them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from hermes_green.core.errors import StoreAway
from hermes_green.core.model import Inbound, Message, Part
from hermes_green.core.ports import Line, SessionInfo
from hermes_green.store import codec, rules


def plain(value: Any) -> Any:
    """A copy of a value as JSON gives it back; a TypeError for what JSON cannot hold, a Secret above all."""
    return None if value is None else json.loads(codec.dumps(value))


@dataclass(slots=True)
class InRow:
    """A row of the inbox."""

    row: int
    child: str
    session_id: str
    inbound: Inbound
    accepted_at: float
    state: str = "waiting"
    attempt: int = 0
    turn_id: str | None = None
    token: str = ""
    until: float = 0.0
    express: bool = False
    draft: dict[str, Any] | None = None
    joined: int | None = None
    usage: dict[str, Any] | None = None
    reason: str = ""
    ended_at: float = 0.0
    stale: bool = False

    @property
    def active(self) -> bool:
        """Neither answered nor given up."""
        return self.state in {"waiting", "leased"}

    def waits(self, now: float) -> bool:
        """May be leased: nobody has it, or whoever had it let it run out."""
        return self.state == "waiting" or (self.state == "leased" and self.until <= now)


@dataclass(slots=True)
class OutRow:
    """A row of the outbox; ``part`` holds what does not change often."""

    row: int
    lane: str
    turn: str
    message_id: str
    part: Part
    key_lifetime: float | None
    born_at: float
    due_at: float
    send_id: str | None = None
    first_at: float | None = None
    stuck_at: float | None = None
    state: str = "queued"
    attempt: int = 0
    token: str = ""
    until: float = 0.0
    uncertain: bool = False
    receipt_id: str = ""
    receipt_at: float | None = None
    reason: str = ""
    ended_at: float = 0.0

    @property
    def active(self) -> bool:
        """Neither delivered nor given up."""
        return self.state in {"queued", "sending"}

    @property
    def given_up(self) -> bool:
        """A dead letter."""
        return self.state in {"dead", "held"}

    def head(self) -> rules.Head:
        """As the lane's rule sees it."""
        until = self.until if self.state == "sending" else None
        return rules.head(self.row, self.turn, self.due_at, until, self.stuck_at)

    def final(self) -> rules.SentRow:
        """As the sender from outside sees it."""
        state: Any = "dead" if self.given_up else self.state
        return rules.SentRow(state, self.receipt_id, self.receipt_at, self.reason)


@dataclass(slots=True)
class Session:
    """A session's lines, in turns."""

    child: str
    chat_id: str
    turns: list[tuple[Message, ...]] = field(default_factory=list)
    last_at: float = 0.0


@dataclass(slots=True)
class Send:
    """A send from outside; ``gone`` is what became of parts whose rows are no more."""

    id: str
    digest: str
    gone: list[rules.SentRow] = field(default_factory=list)


class Tables:
    """All state, and the gate through which every call goes."""

    def __init__(self) -> None:
        self.away = False
        self._before_commit: Callable[[], None] | None = None
        self._now = 0.0
        self._last_in = 0
        self._last_out = 0
        self._inbox: dict[int, InRow] = {}
        self._outbox: dict[int, OutRow] = {}
        self._keys: dict[tuple[str, str], float] = {}
        self._numbers: dict[tuple[str, str], tuple[int, float]] = {}
        self._memos: dict[tuple[str, str], Any] = {}
        self._sends: dict[str, Send] = {}
        self._frames: list[tuple[str, bytes, str, float]] = []
        self._sessions: dict[str, Session] = {}
        self._generations: dict[str, int] = {}
        self._archived: dict[str, list[tuple[float, tuple[Message, ...]]]] = defaultdict(list)

    def _check(self) -> None:
        if self.away:
            raise StoreAway("the store is away")

    def _begin(self, now: float) -> None:
        """Before every change: nothing is changed when this raises."""
        self._check()
        if self._before_commit is not None:
            self._before_commit()
        self._now = now

    def _number(self, child: str, message_id: str, now: float) -> int:
        used = self._numbers.get((child, message_id), (0, 0.0))[0] + 1
        self._numbers[child, message_id] = (used, now)
        return used

    def _remember(self, session_id: str, child: str, chat_id: str, lines: Sequence[Message], now: float) -> None:
        session = self._sessions.setdefault(session_id, Session(child, chat_id))
        session.turns.append(tuple(Message(line.role, codec.clean(line.text)) for line in lines))
        session.last_at = now

    def _archive(self, session_id: str, now: float, always: bool = False) -> bool:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._archived[session_id].extend((now, turn) for turn in session.turns)
        if session is not None or always:
            self._generations[session_id] = self._generations.get(session_id, 0) + 1
        return session is not None

    def _undo(self, session_id: str, now: float) -> None:
        session = self._sessions.get(session_id)
        if session is not None and session.turns:
            self._archived[session_id].append((now, session.turns.pop()))
            if not session.turns:
                del self._sessions[session_id]


class MemoryLines(Tables):
    """Sessions and transcripts."""

    def history(self, session_id: str, turns: int) -> Sequence[Message]:
        """See ``Store.history``."""
        self._check()
        session = self._sessions.get(session_id)
        if session is None or turns <= 0:
            return ()
        return tuple(line for turn in session.turns[-turns:] for line in turn)

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]:
        """See ``Store.sessions``."""
        self._check()
        found = [
            SessionInfo(
                id,
                session.child,
                session.chat_id,
                sum(map(len, session.turns)),
                session.last_at,
                self._generations.get(id, 0),
            )
            for id, session in self._sessions.items()
        ]
        return tuple(sorted(found, key=lambda info: -info.last_at)[:limit])

    def reset_session(self, session_id: str, now: float) -> bool:
        """See ``Store.reset_session``."""
        self._begin(now)
        return self._archive(session_id, now)

    def archived(self, session_id: str, turns: int) -> Sequence[Message]:
        """See ``Store.archived``."""
        self._check()
        kept = self._archived.get(session_id, [])[-turns:] if turns > 0 else []
        return tuple(line for _, turn in kept for line in turn)

    def transcript(self, child: str, chat_id: str, limit: int = 100) -> Sequence[Line]:
        """See ``Store.transcript``."""
        self._check()
        lines: list[tuple[float, int, int, Line]] = []
        for row in self._inbox.values():
            inbound = row.inbound
            if row.child == child and inbound.peer.chat_id == chat_id and inbound.text and row.state != "refused":
                line = Line(inbound.message_id, "user", inbound.text, row.accepted_at)
                lines.append((row.accepted_at, 0, row.row, line))
        for out in self._outbox.values():
            peer, text = out.part.peer, rules.text_of(out.part.payload)
            if out.state == "delivered" and peer.child == child and peer.chat_id == chat_id and text:
                line = Line(out.part.key, "assistant", codec.clean(text), out.ended_at)
                lines.append((out.ended_at, 1, out.row, line))
        lines.sort(key=lambda entry: entry[:3])
        return tuple(entry[3] for entry in lines[-limit:])
