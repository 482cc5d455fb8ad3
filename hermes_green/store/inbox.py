"""The inbox in SQLite: taking messages in, leasing them to one worker at a time, ending them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from typing import Any, Collection, Mapping, Sequence

from hermes_green.core.ports import Intake, Lease, Resets, TurnEnd
from hermes_green.store import codec, leasing, rules
from hermes_green.store.accepting import accept_many, accept_one, encode
from hermes_green.store.births import Birth, bear
from hermes_green.store.engine import Engine
from hermes_green.store.lines import archive, remember, undo
from hermes_green.store.schema import DEAD, DONE, LEASED, REFUSED

_ENDS = {"done": DONE, "dead": DEAD, "refused": REFUSED}


class Inbox(Engine):
    """Rows before their turn."""

    def accept(self, child: str, batch: Sequence[Intake], now: float) -> Sequence[int | None]:
        """See ``Store.accept``."""
        self._now = now
        encoded = [encode(child, item, now) for item in batch]
        found: Sequence[int | None] = self._writer.submit(
            accept_one, child, encoded, now, together=accept_many, weight=len(encoded)
        )
        return found

    def quarantine(self, child: str, raw: bytes, error: str, now: float) -> None:
        """See ``Store.quarantine``; frames above 1 MiB are cut."""
        kept = bytes(raw[: rules.QUARANTINE_BYTES])
        self._writer.submit(_quarantine, codec.clean(child), kept, codec.clean(error), now)

    def memo(self, child: str, name: str) -> Any:
        """See ``Store.memo``."""
        return self._reader.ask(_memo, child, name)

    def sessions_cut(self) -> frozenset[str]:
        """See ``Store.sessions_cut``."""
        cut: frozenset[str] = self._reader.ask(leasing.sessions_cut)
        return cut

    def sessions_waiting(self) -> Mapping[str, int]:
        """See ``Store.sessions_waiting``; a lease that has run out counts as none."""
        waiting: Mapping[str, int] = self._reader.ask(leasing.sessions_waiting, self._now)
        return waiting

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
        self._now = now
        args = (codec.clean(session_id), worker, ttl, now, history, join, resets)
        lease: Lease | None = self._writer.submit(leasing.lease_session, *args, undo=leasing.take_back)
        return lease

    def join(self, lease: Lease, row: int, now: float) -> bool:
        """See ``Store.join``."""
        self._now = now
        return bool(self._writer.submit(leasing.join, lease, row))

    def detach(self, lease: Lease, rows: Collection[int], now: float) -> Sequence[Lease]:
        """See ``Store.detach``."""
        self._now = now
        back = partial(leasing.attach, lease)
        leases: Sequence[Lease] = self._writer.submit(leasing.detach, lease, frozenset(rows), undo=back)
        return leases

    def lease_row(self, row: int, worker: str, ttl: float, now: float) -> Lease | None:
        """See ``Store.lease_row``; such a lease does not keep the session's turn waiting."""
        self._now = now
        lease: Lease | None = self._writer.submit(
            leasing.lease_row, row, worker, ttl, now, undo=leasing.take_back
        )
        return lease

    def renew(self, lease: Lease, ttl: float, now: float) -> Lease:
        """See ``Store.renew``."""
        self._now = now
        self._writer.submit(leasing.renew, lease, now + ttl)
        return replace(lease, until=now + ttl)

    def release(self, lease: Lease, now: float) -> None:
        """See ``Store.release``."""
        self._now = now
        self._writer.submit(leasing.release, lease)

    def put_draft(self, lease: Lease, handle: Mapping[str, Any] | None, now: float) -> Mapping[str, Any]:
        """See ``Store.put_draft``; the key is the turn's id."""
        self._now = now
        draft: Mapping[str, Any] = self._writer.submit(leasing.put_draft, lease, codec.optional(handle), now)
        return draft

    def commit_turn(self, lease: Lease, end: TurnEnd, now: float) -> Sequence[int]:
        """See ``Store.commit_turn``."""
        self._now = now
        births = tuple(Birth.of(part, ordinal) for ordinal, part in enumerate(end.parts))
        history = tuple((message.role, codec.clean(message.text)) for message in end.history)
        usage = codec.optional(end.usage)
        rows: Sequence[int] = self._writer.submit(_commit_turn, lease, end, births, history, usage, now)
        return rows


def _quarantine(connection: sqlite3.Connection, child: str, raw: bytes, error: str, now: float) -> None:
    connection.execute("INSERT INTO quarantine (child, raw, error, at) VALUES (?, ?, ?, ?)", (child, raw, error, now))


def _memo(connection: sqlite3.Connection, child: str, name: str) -> Any:
    found = connection.execute("SELECT value FROM memo WHERE child = ? AND name = ?", (child, name)).fetchone()
    return None if found is None else codec.loads(found[0])


# --- ends ---


def _commit_turn(
    connection: sqlite3.Connection,
    lease: Lease,
    end: TurnEnd,
    births: Sequence[Birth],
    history: Sequence[tuple[str, str]],
    usage: str | None,
    now: float,
) -> list[int]:
    found = connection.execute(
        "SELECT child, session_id, chat_id, message_id, sent_at, accepted_at, turn_id FROM inbox "
        f"WHERE id = ? AND state = {LEASED} AND token = ?",
        (lease.row, lease.token),
    ).fetchone()
    if found is None:
        raise leasing.lost(lease)
    child, session_id, chat_id, message_id, sent_at, accepted_at, turn_id = found
    if usage is not None:
        connection.execute("UPDATE inbox SET usage = ? WHERE id = ?", (usage, lease.row))
    state = _ENDS[end.state]
    if end.stale and state != REFUSED:
        _mark_stale(connection, session_id, lease.token)
    forget = ", text = '', body = '{}'" if state == REFUSED else ""
    connection.execute(
        f"UPDATE inbox SET state = {state}, token = NULL, until = NULL, reason = ?, ended_at = ?{forget} "
        "WHERE state < 2 AND session_id = ? AND token = ?",
        (codec.clean(end.reason), now, session_id, lease.token),
    )
    if end.reset_session:
        archive(connection, session_id, now, always=True)
    if end.undo:
        undo(connection, session_id, now)
    if history:
        remember(connection, session_id, child, chat_id, history, now)
    leased = codec.clean(lease.inbound.peer.chat_id)
    if chat_id != leased:
        births = [birth.at(leased, chat_id) for birth in births]
    return bear(connection, births, turn_id, message_id, sent_at, accepted_at, now)


def _mark_stale(connection: sqlite3.Connection, session_id: str, token: str) -> None:
    query = "SELECT id, body FROM inbox WHERE state < 2 AND session_id = ? AND token = ?"
    for row, body in connection.execute(query, (session_id, token)).fetchall():
        marked = codec.dumps({**codec.loads(body), "stale": True})
        connection.execute("UPDATE inbox SET body = ? WHERE id = ?", (marked, row))
