"""MemoryStore: the official fake; the semantics of the durable store without disk, thread or wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Collection, Mapping, Sequence

from hermes_green.core.errors import LeaseLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Intake, Lease, NewPart, Resets, TurnEnd
from hermes_green.store import codec, rules
from hermes_green.store.memory_audit import MemoryAudit
from hermes_green.store.memory_outbox import MemoryOutbox
from hermes_green.store.memory_rows import InRow, MemoryLines, plain
from hermes_green.store.memory_upkeep import MemoryUpkeep


class MemoryInbox(MemoryOutbox, MemoryLines):
    """Rows before their turn."""

    def accept(self, child: str, batch: Sequence[Intake], now: float) -> Sequence[int | None]:
        """See ``Store.accept``."""
        # Like a row on its way to the disk, a message is copied, and what cannot be stored fails first.
        checked = [(item, plain(dict(item.memo)), _kept(item.inbound)) for item in batch]
        self._begin(now)
        found: list[int | None] = []
        for item, memo, inbound in checked:
            for name, value in memo.items():
                if value is None:
                    self._memos.pop((child, name), None)
                else:
                    self._memos[child, name] = value
            found.append(self._take(child, item.session_id, inbound, now))
        return found

    def _take(self, child: str, session_id: str, inbound: Inbound | None, now: float) -> int | None:
        if inbound is None:
            return None
        pairs = [(child, key) for key in inbound.keys]
        seen = any(pair in self._keys for pair in pairs)
        for pair in pairs:
            self._keys.setdefault(pair, now)
        if seen:
            return None
        self._last_in += 1
        self._inbox[self._last_in] = InRow(self._last_in, child, session_id, inbound, now)
        return self._last_in

    def quarantine(self, child: str, raw: bytes, error: str, now: float) -> None:
        """See ``Store.quarantine``."""
        self._begin(now)
        self._frames.append((child, bytes(raw[: rules.QUARANTINE_BYTES]), error, now))

    def memo(self, child: str, name: str) -> Any:
        """See ``Store.memo``."""
        self._check()
        return plain(self._memos.get((child, name)))

    def sessions_waiting(self) -> Mapping[str, int]:
        """See ``Store.sessions_waiting``."""
        self._check()
        waiting: dict[str, int] = {}
        for row in self._inbox.values():
            if row.waits(self._now):
                waiting[row.session_id] = waiting.get(row.session_id, 0) + 1
        return waiting

    def sessions_cut(self) -> frozenset[str]:
        """See ``Store.sessions_cut``."""
        self._check()
        return frozenset(row.session_id for row in self._inbox.values() if row.state == "waiting" and row.attempt > 0)

    def lease_session(
        self,
        session_id: str,
        worker: str,
        ttl: float,
        now: float,
        history: int | None = None,
        join: float | None = None,
        resets: Resets | None = None,
    ) -> Lease | None:
        """See ``Store.lease_session``."""
        self._begin(now)
        rows = [row for row in self._inbox.values() if row.session_id == session_id]
        if any(row.state == "leased" and not row.express and row.until > now for row in rows):
            return None
        rows = _together([row for row in rows if row.waits(now)], join)
        if not rows:
            return None
        head = next((row for row in rows if row.row == row.joined), rows[-1])
        session = self._sessions.get(session_id)
        old = session is not None and resets is not None and session.last_at < resets.before(head.inbound.peer)
        lines = None if history is None else () if old else self.history(session_id, history)
        reset = old and self._archive(session_id, now)
        lease = self._lease(head, now + ttl, counted=1)
        if len(rows) > 1:
            for row in rows:
                row.state, row.token, row.until, row.express = "leased", lease.token, lease.until, False
                row.attempt, row.turn_id, row.joined = lease.attempt, lease.turn_id, lease.row
            messages = tuple(row.inbound for row in rows)
            lease = replace(lease, messages=messages, rows=tuple(row.row for row in rows))
        return replace(lease, history=lines, reset=reset, generation=self._generations.get(session_id, 0))

    def join(self, lease: Lease, row: int, now: float) -> bool:
        """See ``Store.join``."""
        self._begin(now)
        head, found = self._leased(lease), self._inbox.get(row)
        if found is None or found.state != "waiting" or found.session_id != head.session_id:
            return False
        found.state, found.token, found.until, found.attempt = "leased", head.token, head.until, head.attempt
        found.turn_id, found.joined, head.joined = head.turn_id, head.row, head.row
        return True

    def detach(self, lease: Lease, rows: Collection[int], now: float) -> Sequence[Lease]:
        """See ``Store.detach``."""
        self._begin(now)
        ours = self._ours(lease)
        left = [row for row in ours if row.row not in rows]
        if not left:
            raise _lost(lease)
        head = next((row for row in left if row.row == lease.row), left[-1])
        for row in left:
            row.joined = head.row
        rest = replace(
            lease,
            row=head.row,
            inbound=head.inbound,
            accepted_at=head.accepted_at,
            seq_used=self._used(head),
            messages=tuple(row.inbound for row in left),
            rows=tuple(row.row for row in left),
        )
        alone = [row for row in ours if row.row in rows]
        for row in alone:
            row.attempt, row.joined, row.turn_id, row.draft = row.attempt - 1, None, None, None
        return rest, *(self._lease(row, lease.until, counted=0) for row in alone)

    def lease_row(self, row: int, worker: str, ttl: float, now: float) -> Lease | None:
        """See ``Store.lease_row``."""
        self._begin(now)
        found = self._inbox.get(row)
        return self._lease(found, now + ttl, counted=0) if found is not None and found.waits(now) else None

    def _lease(self, row: InRow, until: float, counted: int) -> Lease:
        row.state, row.token, row.until = "leased", rules.new_key(), until
        row.attempt += counted
        row.express = not counted
        row.turn_id = row.turn_id or rules.new_key()
        return Lease(
            row=row.row,
            token=row.token,
            until=until,
            attempt=row.attempt,
            turn_id=row.turn_id,
            session_id=row.session_id,
            inbound=row.inbound,
            accepted_at=row.accepted_at,
            seq_used=self._used(row),
            draft=plain(row.draft),
        )

    def _used(self, row: InRow) -> int:
        """How many reply numbers to a message are allotted."""
        return self._numbers.get((row.child, row.inbound.message_id), (0, 0.0))[0]

    def _leased(self, lease: Lease) -> InRow:
        row = self._inbox.get(lease.row)
        if row is None or row.state != "leased" or row.token != lease.token:
            raise _lost(lease)
        return row

    def _ours(self, lease: Lease) -> list[InRow]:
        """Every row of a lease."""
        self._leased(lease)
        return [row for row in self._inbox.values() if row.state == "leased" and row.token == lease.token]

    def renew(self, lease: Lease, ttl: float, now: float) -> Lease:
        """See ``Store.renew``."""
        self._begin(now)
        for row in self._ours(lease):
            row.until = now + ttl
        return replace(lease, until=now + ttl)

    def release(self, lease: Lease, now: float) -> None:
        """See ``Store.release``."""
        self._begin(now)
        for row in self._ours(lease):
            row.attempt -= not row.express
            row.state, row.token, row.express = "waiting", "", False

    def put_draft(self, lease: Lease, handle: Mapping[str, Any] | None, now: float) -> Mapping[str, Any]:
        """See ``Store.put_draft``."""
        handle = plain(handle)
        self._begin(now)
        row = self._leased(lease)
        if row.draft is None:
            number = self._number(row.child, row.inbound.message_id, now)
            row.draft = {"key": row.turn_id, "reply_seq": number, "handle": None}
        if handle is not None:
            row.draft["handle"] = handle
        draft: Mapping[str, Any] = plain(row.draft)
        return draft

    def commit_turn(self, lease: Lease, end: TurnEnd, now: float) -> Sequence[int]:
        """See ``Store.commit_turn``."""
        parts = [self._kept(part) for part in end.parts]
        usage = plain(end.usage)
        self._begin(now)
        row = self._leased(lease)
        inbound = row.inbound
        row.usage = usage
        for each in self._ours(lease):
            each.state, each.token, each.reason, each.ended_at = end.state, "", end.reason, now
            each.stale = each.stale or end.stale
            if end.state == "refused":
                each.inbound = replace(each.inbound, text="", attachments=(), reply_ref={}, keys=())
        if end.reset_session:
            self._archive(row.session_id, now, always=True)
        if end.undo:
            self._undo(row.session_id, now)
        if end.history:
            self._remember(row.session_id, row.child, inbound.peer.chat_id, end.history, now)
        assert row.turn_id is not None
        there, here = lease.inbound.peer.chat_id, inbound.peer.chat_id
        if there != here:
            parts = [_moved(part, here) if part.peer.chat_id == there else part for part in parts]
        return self._bear(parts, row.turn_id, inbound.message_id, inbound.sent_at, row.accepted_at, now)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"row {lease.row}: the lease of turn {lease.turn_id} is not the row's any more")


def _together(waiting: list[InRow], join: float | None) -> list[InRow]:
    """The first row with those that are one turn with it: since an earlier lease, or from now on."""
    if not waiting:
        return []
    first, *others = waiting[: rules.JOIN_ROWS]
    if first.joined is not None:
        return [row for row in waiting if row.joined == first.joined]
    rows = [first]
    for row in others:
        # What has been a turn before stays that turn.
        if join is None or first.turn_id is not None:
            break
        near = rules.may_join(rows[-1].inbound, row.inbound, abs(row.accepted_at - rows[-1].accepted_at), join)
        if row.turn_id is not None or not near:
            break
        rows.append(row)
    return rows


def _moved(part: NewPart, chat_id: str) -> NewPart:
    return replace(part, peer=replace(part.peer, chat_id=chat_id))


def _kept(inbound: Inbound | None) -> Inbound | None:
    if inbound is None:
        return None
    peer, text, body = inbound.peer, codec.clean(inbound.text), codec.inbound_body(inbound)
    return codec.inbound_from(peer.child, peer.chat_id, inbound.message_id, text, body, inbound.sent_at)


class MemoryStore(MemoryInbox, MemoryUpkeep, MemoryLines, MemoryAudit):
    """``core.ports.Store`` in this process's memory, for tests and trials; nothing outlives it.

    ``away``: while True every call raises StoreAway. ``before_commit`` is called before each
    change, and may raise: then nothing is changed.
    """

    def __init__(self, before_commit: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._before_commit = before_commit

    def close(self) -> None:
        """Every later call raises StoreAway."""
        self.away = True
