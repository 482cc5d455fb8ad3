"""Accepting: how batches of many greenlets become a few wide statements of one transaction."""

from __future__ import annotations

import sqlite3
from typing import Mapping, Sequence

from hermes_green.core.ports import Intake
from hermes_green.store import codec
from hermes_green.store.engine import insert_rows

# What is handed to the thread for one element: keys, the row without its number, memo.
Encoded = tuple[tuple[str, ...], codec.Row | None, tuple[tuple[str, str | None], ...]]

_INSERT = "INSERT INTO inbox (id, child, session_id, chat_id, message_id, text, body, sent_at, accepted_at)"


def encode(child: str, item: Intake, now: float) -> Encoded:
    """An element as columns. On the caller's side: what cannot be stored fails there, and alone."""
    memo = tuple((codec.clean(name), codec.optional(value)) for name, value in item.memo.items())
    inbound = item.inbound
    if inbound is None:
        return (), None, memo
    row = (
        child,
        codec.clean(item.session_id),
        codec.clean(inbound.peer.chat_id),
        codec.clean(inbound.message_id),
        codec.clean(inbound.text),
        codec.inbound_body(inbound),
        inbound.sent_at,
        now,
    )
    return tuple(map(codec.clean, inbound.keys)), row, memo


def accept_one(
    connection: sqlite3.Connection, child: str, encoded: Sequence[Encoded], now: float
) -> Sequence[int | None]:
    """One batch."""
    return accept_many(connection, [(child, encoded, now)])[0]


def accept_many(
    connection: sqlite3.Connection, calls: Sequence[tuple[str, Sequence[Encoded], float]]
) -> list[list[int | None]]:
    """Many batches as one, in order, in as few statements as can be."""
    keys: dict[tuple[str, str], float] = {}
    for child, encoded, now in calls:
        for names, _, _ in encoded:
            for name in names:
                keys.setdefault((child, name), now)
    seen = _insert_keys(connection, keys)
    rows: list[codec.Row] = []
    results: list[list[int | None]] = []
    memos: dict[tuple[str, str], tuple[str | None, float]] = {}
    for child, encoded, now in calls:
        found: list[int | None] = []
        for names, row, memo in encoded:
            for name, value in memo:
                memos[child, name] = (value, now)
            pairs = [(child, name) for name in names]
            if row is None or not seen.isdisjoint(pairs):
                found.append(None)
            else:
                # Its place in ``rows`` for now; the number follows once it is known how many there are.
                found.append(len(rows))
                rows.append(row)
            seen.update(pairs)
        results.append(found)
    if rows:
        first = _numbers(connection, len(rows))
        insert_rows(connection, _INSERT, 9, [(first + place, *row) for place, row in enumerate(rows)])
        results = [[None if place is None else first + place for place in found] for found in results]
    _write_memos(connection, memos)
    return results


def _insert_keys(connection: sqlite3.Connection, keys: Mapping[tuple[str, str], float]) -> set[tuple[str, str]]:
    """Record all keys; those that had been seen before."""
    if not keys:
        return set()
    before = connection.total_changes
    rows = [(child, name, at) for (child, name), at in keys.items()]
    insert_rows(connection, "INSERT OR IGNORE INTO inbox_key (child, key, at)", 3, rows)
    new = connection.total_changes - before
    if new == len(keys):
        return set()
    fresh = connection.execute("SELECT child, key FROM inbox_key ORDER BY rowid DESC LIMIT ?", (new,))
    return set(keys) - set(fresh.fetchall())


def _numbers(connection: sqlite3.Connection, count: int) -> int:
    """The first of ``count`` row numbers never used before."""
    query = "UPDATE counter SET value = value + ? WHERE name = 'inbox' RETURNING value"
    ((last,),) = connection.execute(query, (count,)).fetchall()
    return int(last) - count + 1


def _write_memos(
    connection: sqlite3.Connection, memos: Mapping[tuple[str, str], tuple[str | None, float]]
) -> None:
    for (child, name), (value, at) in memos.items():
        if value is None:
            connection.execute("DELETE FROM memo WHERE child = ? AND name = ?", (child, name))
        else:
            connection.execute("INSERT OR REPLACE INTO memo VALUES (?, ?, ?, ?)", (child, name, value, at))
