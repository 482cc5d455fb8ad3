"""Limits: how much one user and one chat may ask of the agent, counted in bounded memory.

A minute begins with its first message; a day is the machine's local day. Who is over a limit is told
once, politely, and met with silence until the minute or the day ends.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Literal, Mapping

from hermes_green.core.clock import Clock
from hermes_green.core.model import Peer
from hermes_green.core.tokens import tokens_of

MINUTE = 60.0
# Users and chats that are counted; beyond them whoever was quiet longest is forgotten.
SUBJECTS = 5_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What one user, or one chat, may ask; 0: as much as they like."""

    messages_per_minute: int = 0
    turns_per_day: int = 0
    tokens_per_day: int = 0

    @property
    def daily(self) -> bool:
        """Whether days have to be counted."""
        return bool(self.turns_per_day or self.tokens_per_day)


@dataclass(frozen=True, slots=True)
class Rules:
    """gateway.yaml ``limits``."""

    user: Limit = Limit()
    chat: Limit = Limit()


@dataclass(frozen=True, slots=True)
class Over:
    """A limit is reached; ``first``: it is to be said, and only now."""

    span: Literal["minute", "day"]
    first: bool


@dataclass(slots=True)
class _Minute:
    began: float
    count: int = 0
    told: bool = False


@dataclass(slots=True)
class _Day:
    turns: int = 0
    tokens: int = 0
    told: bool = False


class Limits:
    """``state``: what ``state()`` gave before; ``changed`` is told when that is to be saved again."""

    def __init__(
        self,
        clock: Clock,
        rules: Callable[[], Rules],
        state: Mapping[str, Any] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._changed = changed
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()
        self._days: OrderedDict[str, _Day] = OrderedDict()
        self._today = ""
        if state and state.get("day") == self._day():
            self._today = state["day"]
            self._days.update((name, _Day(*values)) for name, values in state.get("counts", {}).items())

    def admit(self, peer: Peer, turn: bool = True) -> Over | None:
        """Count a message; None: it may pass. ``turn``: it asks for the agent."""
        subjects = self._subjects(peer)
        over = self._over(subjects, turn)
        if over is not None:
            span, first = over
            told = first.told
            first.told = True
            return Over(span, not told)
        for name, limit in subjects:
            if limit.messages_per_minute:
                self._minute(name).count += 1
            if limit.daily and turn:
                self._of_today(name).turns += 1
                self._changed()
        return None

    def passes(self, peer: Peer) -> bool:
        """Whether ``admit`` would let a message for the agent pass; counts nothing."""
        return self._over(self._subjects(peer), True) is None

    def spent(self, peer: Peer, usage: Mapping[str, Any] | None) -> None:
        """Count the tokens of an answer, as the agent reports them."""
        tokens = tokens_of(usage)
        for name, limit in self._subjects(peer):
            if tokens and limit.tokens_per_day:
                self._of_today(name).tokens += tokens
                self._changed()

    def state(self) -> dict[str, Any]:
        """The counts of the day, as JSON."""
        counts = {name: [day.turns, day.tokens, day.told] for name, day in self._days.items()}
        return {"day": self._today, "counts": counts}

    def _subjects(self, peer: Peer) -> list[tuple[str, Limit]]:
        rules = self._rules()
        found = []
        if rules.user != Limit() and peer.user_id is not None:
            found.append((f"user {peer.child} {peer.user_id}", rules.user))
        if rules.chat != Limit():
            found.append((f"chat {peer.child} {peer.chat_id}", rules.chat))
        return found

    def _over(
        self, subjects: list[tuple[str, Limit]], turn: bool
    ) -> tuple[Literal["minute", "day"], _Minute | _Day] | None:
        for name, limit in subjects:
            most = limit.messages_per_minute
            if most and (minute := self._minute(name)).count >= most:
                return "minute", minute
            if turn and limit.daily:
                day = self._of_today(name)
                if limit.turns_per_day and day.turns >= limit.turns_per_day:
                    return "day", day
                if limit.tokens_per_day and day.tokens >= limit.tokens_per_day:
                    return "day", day
        return None

    def _minute(self, name: str) -> _Minute:
        now = self._clock.monotonic()
        found = self._minutes.get(name)
        if found is None or now - found.began >= MINUTE:
            found = self._minutes[name] = _Minute(now)
        self._minutes.move_to_end(name)
        if len(self._minutes) > SUBJECTS:
            self._minutes.popitem(last=False)
        return found

    def _of_today(self, name: str) -> _Day:
        today = self._day()
        if today != self._today:
            self._today = today
            self._days.clear()
        found = self._days.setdefault(name, _Day())
        self._days.move_to_end(name)
        if len(self._days) > SUBJECTS:
            self._days.popitem(last=False)
        return found

    def _day(self) -> str:
        return datetime.fromtimestamp(self._clock.wall()).date().isoformat()
