"""Leasing: which row of a session is worked on, by whom, and which rows are one turn with it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any, Collection, Mapping, Sequence

from hermes_green.core.errors import LeaseLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Lease, Resets
from hermes_green.store import codec, rules
from hermes_green.store.births import reply_numbers
from hermes_green.store.lines import archive_old, generation_of, history_of
from hermes_green.store.schema import LEASED, WAITING

# States stand in the text of a statement and are not bound: whether a partial index serves it depends on
# them, so SQLite would plan it anew for each value that is bound, which takes longer than to run it.
_FREE = f"(state = {WAITING} OR until <= ?)"
_ROWS = (
    "SELECT id, child, session_id, chat_id, message_id, text, body, sent_at, accepted_at, attempt, turn_id, draft, "
    "joined FROM inbox WHERE state < 2 AND "
)
# Every row of a lease: the one that is answered (its number comes first) and those joined to it.
_OURS = (
    f"state < 2 AND session_id = (SELECT session_id FROM inbox WHERE id = ?) AND state = {LEASED} AND token = ?"
)


def sessions_waiting(connection: sqlite3.Connection, now: float) -> Mapping[str, int]:
    """See ``Store.sessions_waiting``."""
    query = f"SELECT session_id, count(*) FROM inbox WHERE state < 2 AND {_FREE} GROUP BY session_id"
    return dict(connection.execute(query, (now,)).fetchall())


def sessions_cut(connection: sqlite3.Connection) -> frozenset[str]:
    """See ``Store.sessions_cut``."""
    query = f"SELECT DISTINCT session_id FROM inbox WHERE state < 2 AND state = {WAITING} AND attempt > 0"
    return frozenset(session for (session,) in connection.execute(query))


def lease_session(
    connection: sqlite3.Connection,
    session_id: str,
    worker: str,
    ttl: float,
    now: float,
    history: int | None = None,
    join: float | None = None,
    resets: Resets | None = None,
) -> Lease | None:
    """See ``Store.lease_session``."""
    busy = connection.execute(
        f"SELECT 1 FROM inbox WHERE state < 2 AND session_id = ? AND state = {LEASED} AND express = 0 AND until > ? "
        "LIMIT 1",
        (session_id, now),
    ).fetchone()
    if busy is not None:
        return None
    query = f"{_ROWS}session_id = ? AND {_FREE} ORDER BY id LIMIT ?"
    many = 1 if join is None else rules.JOIN_ROWS
    found = connection.execute(query, (session_id, now, many)).fetchall()
    if not found:
        return None
    rows = _together(connection, found, now, join)
    if len(rows) == 1:
        lease = _lease(connection, rows[0], worker, now + ttl, counted=1)
    else:
        lease = _lease_many(connection, rows, worker, now + ttl)
    reset = resets is not None and archive_old(connection, session_id, resets.before(lease.inbound.peer), now)
    lines = None if history is None else history_of(connection, session_id, history)
    return replace(lease, history=lines, reset=reset, generation=generation_of(connection, session_id))


def _together(
    connection: sqlite3.Connection, found: Sequence[codec.Row], now: float, join: float | None
) -> Sequence[codec.Row]:
    """The first row with those that are one turn with it: since an earlier lease, or from now on."""
    first = found[0]
    if first[-1] is not None:
        query = f"{_ROWS}session_id = ? AND joined = ? AND {_FREE} ORDER BY id"
        return connection.execute(query, (first[2], first[-1], now)).fetchall()
    # What has been a turn before stays that turn: an agent that knows its id is not told something else.
    if join is None or first[10] is not None:
        return found[:1]
    rows = [first]
    for row in found[1:]:
        near = rules.may_join(_inbound(rows[-1]), _inbound(row), abs(row[8] - rows[-1][8]), join)
        if row[10] is not None or not near:
            break
        rows.append(row)
    return rows


def lease_row(connection: sqlite3.Connection, row: int, worker: str, ttl: float, now: float) -> Lease | None:
    """See ``Store.lease_row``."""
    query = f"{_ROWS}id = ? AND {_FREE}"
    found = connection.execute(query, (row, now)).fetchone()
    return None if found is None else _lease(connection, found, worker, now + ttl, counted=0)


def join(connection: sqlite3.Connection, lease: Lease, row: int) -> bool:
    """See ``Store.join``."""
    found = connection.execute(
        f"SELECT session_id, until, worker, attempt, turn_id FROM inbox WHERE id = ? AND state = {LEASED} "
        "AND token = ?",
        (lease.row, lease.token),
    ).fetchone()
    if found is None:
        raise lost(lease)
    session_id, *shared = found
    changed = connection.execute(
        f"UPDATE inbox SET state = {LEASED}, token = ?, joined = ?, until = ?, worker = ?, attempt = ?, turn_id = ? "
        f"WHERE id = ? AND state = {WAITING} AND session_id = ?",
        (lease.token, lease.row, *shared, row, session_id),
    ).rowcount
    if changed:
        connection.execute("UPDATE inbox SET joined = id WHERE id = ?", (lease.row,))
    return changed == 1


def detach(connection: sqlite3.Connection, lease: Lease, rows: Collection[int]) -> Sequence[Lease]:
    """See ``Store.detach``. No attempt is counted for those that are taken out: they were nobody's turn."""
    query = f"{_ROWS}{_OURS} ORDER BY id"
    found = connection.execute(query, (lease.row, lease.token)).fetchall()
    left = [row for row in found if row[0] not in rows]
    if not left:
        raise lost(lease)
    head = next((row for row in left if row[0] == lease.row), left[-1])
    connection.execute(f"UPDATE inbox SET joined = ? WHERE {_OURS}", (head[0], lease.row, lease.token))
    rest = replace(
        lease,
        row=head[0],
        inbound=_inbound(head),
        accepted_at=head[8],
        seq_used=_used(connection, head[1], head[4]),
        messages=tuple(map(_inbound, left)),
        rows=tuple(row[0] for row in left),
    )
    return rest, *(_alone(connection, row, lease.until) for row in found if row[0] in rows)


def _alone(connection: sqlite3.Connection, found: codec.Row, until: float) -> Lease:
    """One of several rows, as if it had been leased by itself."""
    ((worker,),) = connection.execute(
        "UPDATE inbox SET attempt = attempt - 1, joined = NULL WHERE id = ? RETURNING worker", found[:1]
    ).fetchall()
    return _lease(connection, (*found[:9], found[9] - 1, None, None, None), worker, until, counted=0)


def attach(lease: Lease, connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """The greenlet that took a lease apart has gone before it knew: its rows are together again."""
    connection.execute(f"UPDATE inbox SET joined = ? WHERE {_OURS}", (lease.row, lease.row, lease.token))
    for each in leases[1:]:
        connection.execute(
            "UPDATE inbox SET token = ?, until = ?, attempt = ?, express = 0, turn_id = ?, joined = ? "
            f"WHERE id = ? AND state = {LEASED} AND token = ?",
            (lease.token, lease.until, lease.attempt, lease.turn_id, lease.row, each.row, each.token),
        )


def _inbound(found: codec.Row) -> Inbound:
    _, child, _, chat_id, message_id, text, body, sent_at, *_ = found
    return codec.inbound_from(child, chat_id, message_id, text, body, sent_at)


def _lease_many(connection: sqlite3.Connection, rows: Sequence[codec.Row], worker: str, until: float) -> Lease:
    """Several rows under one token; the one that they were joined to is answered, at first the last."""
    head = next((row for row in rows if row[0] == row[-1]), rows[-1])
    lease = _lease(connection, head, worker, until, counted=1)
    for row in rows:
        connection.execute(
            f"UPDATE inbox SET state = {LEASED}, token = ?, until = ?, worker = ?, attempt = ?, express = 0, "
            "turn_id = ?, joined = ? WHERE id = ?",
            (lease.token, until, worker, lease.attempt, lease.turn_id, lease.row, row[0]),
        )
    return replace(lease, messages=tuple(map(_inbound, rows)), rows=tuple(row[0] for row in rows))


def _lease(connection: sqlite3.Connection, found: codec.Row, worker: str, until: float, counted: int) -> Lease:
    row, child, session_id, _, message_id, _, _, _, accepted_at, attempt, turn_id, draft, _ = found
    token = rules.new_key()
    turn_id = turn_id or rules.new_key()
    connection.execute(
        f"UPDATE inbox SET state = {LEASED}, token = ?, until = ?, worker = ?, attempt = attempt + ?, express = ?, "
        "turn_id = ? WHERE id = ?",
        (token, until, worker, counted, 1 - counted, turn_id, row),
    )
    return Lease(
        row=row,
        token=token,
        until=until,
        attempt=attempt + counted,
        turn_id=turn_id,
        session_id=session_id,
        inbound=_inbound(found),
        accepted_at=accepted_at,
        seq_used=_used(connection, child, message_id),
        draft=codec.parsed(draft),
    )


def _used(connection: sqlite3.Connection, child: str, message_id: str) -> int:
    """How many reply numbers to a message are allotted."""
    query = "SELECT used FROM reply_number WHERE child = ? AND message_id = ?"
    found = connection.execute(query, (child, message_id)).fetchone()
    return 0 if found is None else int(found[0])


def lost(lease: Lease) -> LeaseLost:
    """The error for a token that is not the row's any more."""
    return LeaseLost(f"row {lease.row}: the lease of turn {lease.turn_id} is not the row's any more")


def renew(connection: sqlite3.Connection, lease: Lease, until: float) -> None:
    """See ``Store.renew``."""
    query = f"UPDATE inbox SET until = ? WHERE {_OURS}"
    if connection.execute(query, (until, lease.row, lease.token)).rowcount < 1:
        raise lost(lease)


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """See ``Store.release``."""
    query = (
        f"UPDATE inbox SET state = {WAITING}, token = NULL, until = NULL, attempt = attempt - (express = 0), "
        f"express = 0 WHERE {_OURS}"
    )
    if connection.execute(query, (lease.row, lease.token)).rowcount < 1:
        raise lost(lease)


def take_back(connection: sqlite3.Connection, lease: Lease) -> None:
    """The greenlet that asked for the lease has gone before it came."""
    try:
        release(connection, lease)
    except LeaseLost:
        return


def put_draft(connection: sqlite3.Connection, lease: Lease, handle: str | None, now: float) -> Mapping[str, Any]:
    """See ``Store.put_draft``."""
    found = connection.execute(
        f"SELECT child, message_id, turn_id, draft FROM inbox WHERE id = ? AND state = {LEASED} AND token = ?",
        (lease.row, lease.token),
    ).fetchone()
    if found is None:
        raise lost(lease)
    child, message_id, turn_id, stored = found
    draft: dict[str, Any] = codec.parsed(stored) or {}
    if not draft:
        number = reply_numbers(connection, child, message_id, 1, now)
        draft = {"key": turn_id, "reply_seq": number, "handle": None}
    if handle is not None:
        draft["handle"] = codec.loads(handle)
    connection.execute("UPDATE inbox SET draft = ? WHERE id = ?", (codec.dumps(draft), lease.row))
    return draft
