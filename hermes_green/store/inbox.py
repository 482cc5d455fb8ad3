"""The inbox in SQLite: taking messages in, leasing them to one worker at a time, ending them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any, Mapping, Sequence

from hermes_green.core.errors import LeaseLost
from hermes_green.core.ports import Intake, Lease, TurnEnd
from hermes_green.store import codec, rules
from hermes_green.store.accepting import accept_many, accept_one, encode
from hermes_green.store.births import Birth, bear, reply_numbers
from hermes_green.store.engine import Engine
from hermes_green.store.lines import archive, history_of, remember
from hermes_green.store.schema import DEAD, DONE, LEASED, REFUSED, WAITING

_LEASED = (
    "SELECT id, child, session_id, chat_id, message_id, text, body, sent_at, accepted_at, attempt, turn_id, draft "
    "FROM inbox WHERE state < 2 AND "
)
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

    def sessions_waiting(self) -> Mapping[str, int]:
        """See ``Store.sessions_waiting``; a lease that has run out counts as none."""
        waiting: Mapping[str, int] = self._reader.ask(_sessions_waiting, self._now)
        return waiting

    def lease_session(
        self, session_id: str, worker: str, ttl: float, now: float, history: int | None = None
    ) -> Lease | None:
        """See ``Store.lease_session``."""
        self._now = now
        args = (codec.clean(session_id), worker, ttl, now, history)
        lease: Lease | None = self._writer.submit(_lease_session, *args, undo=_take_back)
        return lease

    def lease_row(self, row: int, worker: str, ttl: float, now: float) -> Lease | None:
        """See ``Store.lease_row``; such a lease does not keep the session's turn waiting."""
        self._now = now
        lease: Lease | None = self._writer.submit(_lease_row, row, worker, ttl, now, undo=_take_back)
        return lease

    def renew(self, lease: Lease, ttl: float, now: float) -> Lease:
        """See ``Store.renew``."""
        self._now = now
        self._writer.submit(_renew, lease, now + ttl)
        return replace(lease, until=now + ttl)

    def release(self, lease: Lease, now: float) -> None:
        """See ``Store.release``."""
        self._now = now
        self._writer.submit(_release, lease)

    def put_draft(self, lease: Lease, handle: Mapping[str, Any] | None, now: float) -> Mapping[str, Any]:
        """See ``Store.put_draft``; the key is the turn's id."""
        self._now = now
        draft: Mapping[str, Any] = self._writer.submit(_put_draft, lease, codec.optional(handle), now)
        return draft

    def commit_turn(self, lease: Lease, end: TurnEnd, now: float) -> Sequence[int]:
        """See ``Store.commit_turn``."""
        self._now = now
        births = tuple(Birth.of(part, ordinal) for ordinal, part in enumerate(end.parts))
        history = tuple((message.role, codec.clean(message.text)) for message in end.history)
        usage = codec.optional(end.usage)
        rows: Sequence[int] = self._writer.submit(
            _commit_turn, lease, end.state, codec.clean(end.reason), births, history, end.reset_session, usage, now
        )
        return rows


def _quarantine(connection: sqlite3.Connection, child: str, raw: bytes, error: str, now: float) -> None:
    connection.execute("INSERT INTO quarantine (child, raw, error, at) VALUES (?, ?, ?, ?)", (child, raw, error, now))


def _memo(connection: sqlite3.Connection, child: str, name: str) -> Any:
    found = connection.execute("SELECT value FROM memo WHERE child = ? AND name = ?", (child, name)).fetchone()
    return None if found is None else codec.loads(found[0])


# --- leases ---


def _sessions_waiting(connection: sqlite3.Connection, now: float) -> Mapping[str, int]:
    query = (
        "SELECT session_id, count(*) FROM inbox WHERE state < 2 AND (state = ? OR until <= ?) GROUP BY session_id"
    )
    return dict(connection.execute(query, (WAITING, now)).fetchall())


def _lease_session(
    connection: sqlite3.Connection, session_id: str, worker: str, ttl: float, now: float, history: int | None = None
) -> Lease | None:
    busy = connection.execute(
        "SELECT 1 FROM inbox WHERE state < 2 AND session_id = ? AND state = ? AND express = 0 AND until > ? LIMIT 1",
        (session_id, LEASED, now),
    ).fetchone()
    if busy is not None:
        return None
    query = _LEASED + "session_id = ? AND (state = ? OR until <= ?) ORDER BY id LIMIT 1"
    found = connection.execute(query, (session_id, WAITING, now)).fetchone()
    if found is None:
        return None
    lines = None if history is None else history_of(connection, session_id, history)
    return replace(_lease(connection, found, worker, now + ttl, counted=1), history=lines)


def _lease_row(connection: sqlite3.Connection, row: int, worker: str, ttl: float, now: float) -> Lease | None:
    query = _LEASED + "id = ? AND (state = ? OR until <= ?)"
    found = connection.execute(query, (row, WAITING, now)).fetchone()
    return None if found is None else _lease(connection, found, worker, now + ttl, counted=0)


def _lease(connection: sqlite3.Connection, found: codec.Row, worker: str, until: float, counted: int) -> Lease:
    row, child, session_id, chat_id, message_id, text, body, sent_at, accepted_at, attempt, turn_id, draft = found
    token = rules.new_key()
    turn_id = turn_id or rules.new_key()
    connection.execute(
        "UPDATE inbox SET state = ?, token = ?, until = ?, worker = ?, attempt = attempt + ?, express = ?, turn_id = ? "
        "WHERE id = ?",
        (LEASED, token, until, worker, counted, 1 - counted, turn_id, row),
    )
    used = connection.execute(
        "SELECT used FROM reply_number WHERE child = ? AND message_id = ?", (child, message_id)
    ).fetchone()
    return Lease(
        row=row,
        token=token,
        until=until,
        attempt=attempt + counted,
        turn_id=turn_id,
        session_id=session_id,
        inbound=codec.inbound_from(child, chat_id, message_id, text, body, sent_at),
        accepted_at=accepted_at,
        seq_used=0 if used is None else used[0],
        draft=codec.parsed(draft),
    )


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"row {lease.row}: the lease of turn {lease.turn_id} is not the row's any more")


def _renew(connection: sqlite3.Connection, lease: Lease, until: float) -> None:
    query = "UPDATE inbox SET until = ? WHERE id = ? AND state = ? AND token = ?"
    if connection.execute(query, (until, lease.row, LEASED, lease.token)).rowcount != 1:
        raise _lost(lease)


def _release(connection: sqlite3.Connection, lease: Lease) -> None:
    query = (
        "UPDATE inbox SET state = ?, token = NULL, until = NULL, attempt = attempt - (express = 0), express = 0 "
        "WHERE id = ? AND state = ? AND token = ?"
    )
    if connection.execute(query, (WAITING, lease.row, LEASED, lease.token)).rowcount != 1:
        raise _lost(lease)


def _take_back(connection: sqlite3.Connection, lease: Lease) -> None:
    """The greenlet that asked for the lease has gone before it came."""
    try:
        _release(connection, lease)
    except LeaseLost:
        return


def _put_draft(connection: sqlite3.Connection, lease: Lease, handle: str | None, now: float) -> Mapping[str, Any]:
    found = connection.execute(
        "SELECT child, message_id, turn_id, draft FROM inbox WHERE id = ? AND state = ? AND token = ?",
        (lease.row, LEASED, lease.token),
    ).fetchone()
    if found is None:
        raise _lost(lease)
    child, message_id, turn_id, stored = found
    draft: dict[str, Any] = codec.parsed(stored) or {}
    if not draft:
        number = reply_numbers(connection, child, message_id, 1, now)
        draft = {"key": turn_id, "reply_seq": number, "handle": None}
    if handle is not None:
        draft["handle"] = codec.loads(handle)
    connection.execute("UPDATE inbox SET draft = ? WHERE id = ?", (codec.dumps(draft), lease.row))
    return draft


# --- ends ---


def _commit_turn(
    connection: sqlite3.Connection,
    lease: Lease,
    state: str,
    reason: str,
    births: Sequence[Birth],
    history: Sequence[tuple[str, str]],
    reset: bool,
    usage: str | None,
    now: float,
) -> list[int]:
    found = connection.execute(
        "SELECT child, session_id, chat_id, message_id, sent_at, accepted_at, turn_id FROM inbox "
        "WHERE id = ? AND state = ? AND token = ?",
        (lease.row, LEASED, lease.token),
    ).fetchone()
    if found is None:
        raise _lost(lease)
    child, session_id, chat_id, message_id, sent_at, accepted_at, turn_id = found
    connection.execute(
        "UPDATE inbox SET state = ?, token = NULL, until = NULL, reason = ?, usage = ?, ended_at = ? WHERE id = ?",
        (_ENDS[state], reason, usage, now, lease.row),
    )
    if state == "refused":
        connection.execute("UPDATE inbox SET text = '', body = '{}' WHERE id = ?", (lease.row,))
    if reset:
        archive(connection, session_id, now)
    if history:
        remember(connection, session_id, child, chat_id, history, now)
    return bear(connection, births, turn_id, message_id, sent_at, accepted_at, now)
