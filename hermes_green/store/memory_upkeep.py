"""Upkeep of MemoryStore: dead letters, counts, retention, recovery."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any, Callable, Iterable, Sequence, TypeVar

from hermes_green.core.model import renamed
from hermes_green.core.ports import Counts, DeadLetter, Recovered, Retention
from hermes_green.store import codec, rules
from hermes_green.store.memory_outbox import MemoryOutbox
from hermes_green.store.memory_rows import Session

T = TypeVar("T")


class MemoryUpkeep(MemoryOutbox):
    """What operators and slow loops ask for."""

    def dead(self, limit: int = 100) -> Sequence[DeadLetter]:
        """See ``Store.dead``."""
        self._check()
        letters: list[DeadLetter] = []
        for row in self._inbox.values():
            if row.state == "dead":
                chat, text = row.inbound.peer.chat_id, row.inbound.text
                letters.append(DeadLetter(f"in-{row.row}", "inbox", row.child, chat, row.reason, row.ended_at, text))
        for out in self._outbox.values():
            if out.given_up:
                peer, text = out.part.peer, codec.clean(rules.text_of(out.part.payload))
                at, chat = out.ended_at, peer.chat_id
                letters.append(DeadLetter(f"out-{out.row}", "outbox", peer.child, chat, out.reason, at, text))
        return tuple(sorted(letters, key=lambda letter: -letter.at)[:limit])

    def dead_retry(self, id: str, now: float) -> bool:
        """See ``Store.dead_retry``."""
        self._begin(now)
        row = self._inbox.get(_number(id, "in"))
        if row is not None and row.state == "dead":
            row.state, row.attempt, row.turn_id, row.draft, row.reason = "waiting", 0, None, None, ""
            row.express, row.joined = False, None
            return True
        out = self._outbox.get(_number(id, "out"))
        if out is not None and out.given_up:
            out.state, out.attempt, out.uncertain, out.stuck_at, out.reason = "queued", 0, False, None, ""
            out.born_at = out.due_at = now
            if out.first_at is None or out.key_lifetime is None or out.first_at + out.key_lifetime <= now:
                out.first_at = None
            return True
        return False

    def dead_drop(self, id: str, now: float) -> bool:
        """See ``Store.dead_drop``."""
        self._begin(now)
        row = self._inbox.get(_number(id, "in"))
        if row is not None and row.state == "dead":
            del self._inbox[row.row]
            return True
        out = self._outbox.get(_number(id, "out"))
        if out is not None and out.given_up:
            self._forget(out, "dropped")
            return True
        return False

    def rekey(self, child: str, old: str, new: str) -> None:
        """See ``Store.rekey``."""
        self._begin(self._now)
        for row in self._inbox.values():
            peer = row.inbound.peer
            if row.active and row.child == child and peer.chat_id == old:
                row.inbound = replace(row.inbound, peer=replace(peer, chat_id=new))
                row.session_id = renamed(row.session_id, child, old, new)
        for out in self._outbox.values():
            peer = out.part.peer
            if out.active and peer.child == child and peer.chat_id == old:
                out.part = replace(out.part, peer=replace(peer, chat_id=new))
                out.lane = new + out.lane[len(old) :]
        for id, session in list(self._sessions.items()):
            if session.child == child and session.chat_id == old:
                del self._sessions[id]
                into = self._sessions.setdefault(renamed(id, child, old, new), Session(child, new))
                into.turns = session.turns + into.turns
                into.last_at = max(into.last_at, session.last_at)
        for id, number in list(self._generations.items()):
            after = renamed(id, child, old, new)
            if after != id:
                del self._generations[id]
                self._generations[after] = max(number, self._generations.get(after, 0))
        for id in [each for each in self._archived if renamed(each, child, old, new) != each]:
            aside = self._archived.setdefault(renamed(id, child, old, new), [])
            aside[:] = sorted(self._archived.pop(id) + aside, key=lambda entry: entry[0])

    def counts(self, now: float) -> Counts:
        """See ``Store.counts``."""
        self._check()
        self._now = now
        undelivered = [row.born_at for row in self._outbox.values() if row.active]
        return Counts(
            inbox=sum(row.active for row in self._inbox.values()),
            outbox=len(undelivered),
            dead=len(self.dead(len(self._inbox) + len(self._outbox))),
            quarantine=len(self._frames),
            oldest_undelivered=max(0.0, now - min(undelivered)) if undelivered else None,
        )

    def ping(self) -> None:
        """See ``Store.ping``."""
        self._begin(self._now)

    def recover(self, now: float) -> Recovered:
        """See ``Store.recover``."""
        self._begin(now)
        cut = 0
        for row in self._inbox.values():
            if row.state == "leased":
                cut += not row.express
                row.state, row.token, row.express = "waiting", "", False
        for out in self._outbox.values():
            if out.state == "sending":
                out.state, out.token, out.uncertain, out.due_at = "queued", "", True, now
        waiting = sum(row.active for row in self._inbox.values()) - cut
        return Recovered(cut=cut, waiting=waiting, undelivered=sum(row.active for row in self._outbox.values()))

    def prune(self, retention: Retention, now: float) -> int:
        """See ``Store.prune``."""
        self._begin(now)
        inbox, outbox = now - retention.inbox_days * rules.DAY, now - retention.outbox_days * rules.DAY
        dead, dedup = now - retention.dead_days * rules.DAY, now - retention.dedup_days * rules.DAY
        deleted = 0
        for row in _some(self._inbox, lambda r: r.state in {"done", "refused"} and r.ended_at < inbox):
            deleted += self._inbox.pop(row.row) is not None
        for row in _some(self._inbox, lambda r: r.state == "dead" and r.ended_at < dead):
            deleted += self._inbox.pop(row.row) is not None
        for out in _some(self._outbox, lambda r: r.state == "delivered" and r.ended_at < outbox):
            self._forget(out)
            deleted += 1
        for out in _some(self._outbox, lambda r: r.given_up and r.ended_at < dead):
            self._forget(out)
            deleted += 1
        for key in _first(key for key, at in self._keys.items() if at < dedup or at > now + rules.DAY):
            deleted += self._keys.pop(key) is not None
        old = min(inbox, outbox, dead)
        for number in _first(number for number, (_, at) in self._numbers.items() if number[1] and at < old):
            deleted += self._numbers.pop(number) is not None
        return deleted + self._prune_lines(retention.history_turns, dead)

    def _prune_lines(self, turns: int, dead: float) -> int:
        deleted = 0
        for id in list(self._archived):
            kept = [entry for entry in self._archived[id] if entry[0] >= dead]
            deleted += sum(len(turn) for at, turn in self._archived[id] if at < dead)
            self._archived[id] = kept
        for session in self._sessions.values():
            excess = max(0, len(session.turns) - turns)
            deleted += sum(map(len, session.turns[:excess]))
            del session.turns[:excess]
        kept_frames = [frame for frame in self._frames if frame[3] >= dead][-rules.QUARANTINE_ROWS :]
        deleted += len(self._frames) - len(kept_frames)
        self._frames = kept_frames
        return deleted


def _first(found: Iterable[T]) -> list[T]:
    return list(islice(found, rules.PRUNE_ROWS))


def _some(rows: dict[int, Any], rule: Callable[[Any], bool]) -> list[Any]:
    return _first(row for row in rows.values() if rule(row))


def _number(id: str, kind: str) -> int:
    """The row of ``in-7``; 0, which no row has, for anything else."""
    name, _, number = id.partition("-")
    return int(number) if name == kind and number.isdecimal() else 0
