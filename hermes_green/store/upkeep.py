"""Upkeep of the SQLite store: dead letters, counts, retention, and what a boot finds."""

from __future__ import annotations

import sqlite3
from typing import Any, Sequence

from hermes_green.core.ports import Counts, DeadLetter, Recovered, Retention
from hermes_green.store import codec, rules
from hermes_green.store.engine import Engine
from hermes_green.store.outbox import keep_final
from hermes_green.store.rekey import rekey
from hermes_green.store.schema import DEAD, LEASED, QUEUED, SENDING, WAITING


class Upkeep(Engine):
    """What operators and slow loops ask for."""

    def dead(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The newest dead letters, held parts among them."""
        found: Sequence[DeadLetter] = self._reader.ask(_dead, limit)
        return found

    def dead_retry(self, id: str, now: float) -> bool:
        """See ``Store.dead_retry``. A message gets a new turn id; a part's age begins anew."""
        return bool(self._writer.submit(_dead_retry, id, now))

    def dead_drop(self, id: str, now: float) -> bool:
        """See ``Store.dead_drop``; the keys of a message are kept."""
        return bool(self._writer.submit(_dead_drop, id))

    def rekey(self, child: str, old: str, new: str) -> None:
        """See ``Store.rekey``."""
        self._writer.submit(rekey, codec.clean(child), codec.clean(old), codec.clean(new))

    def counts(self, now: float) -> Counts:
        """See ``Store.counts``."""
        self._now = now
        found: Counts = self._reader.ask(_counts, now)
        return found

    def ping(self) -> None:
        """See ``Store.ping``; while the store is away it writes, so that success means it is back."""
        self._writer.ping()

    def prune(self, retention: Retention, now: float) -> int:
        """See ``Store.prune``; at most 500 rows of each kind."""
        return int(self._writer.submit(_prune, retention, now))

    def recover(self, now: float) -> Recovered:
        """See ``Store.recover``; ``waiting`` does not count the rows that were cut."""
        self._now = now
        found: Recovered = self._writer.submit(_recover, now)
        return found


# --- dead letters ---


def _dead(connection: sqlite3.Connection, limit: int) -> Sequence[DeadLetter]:
    query = """
    SELECT * FROM (SELECT 'in-' || id, 'inbox', child, chat_id, coalesce(reason, ''), ended_at, text
        FROM inbox WHERE state = 4 ORDER BY ended_at DESC LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT 'out-' || id, 'outbox', child, chat_id, coalesce(reason, ''), ended_at, text
        FROM outbox WHERE state > 2 ORDER BY ended_at DESC LIMIT :limit)
    ORDER BY 6 DESC LIMIT :limit
    """
    return tuple(DeadLetter(*row) for row in connection.execute(query, {"limit": limit}).fetchall())


def _row_of(id: str) -> tuple[str, int]:
    """``in-7`` as ("in", 7); a row that cannot be for anything else."""
    kind, _, number = id.partition("-")
    return (kind, int(number)) if number.isdecimal() and len(number) < 19 else ("", 0)


def _dead_retry(connection: sqlite3.Connection, id: str, now: float) -> bool:
    kind, row = _row_of(id)
    if kind == "in":
        query = (
            "UPDATE inbox SET state = ?, attempt = 0, turn_id = NULL, draft = NULL, reason = NULL, ended_at = NULL, "
            "express = 0, joined = NULL WHERE id = ? AND state = ?"
        )
        return connection.execute(query, (WAITING, row, DEAD)).rowcount == 1
    if kind == "out":
        # A human says "send it": it is not uncertain any more, and a key that the platform has
        # forgotten begins a new life with the next attempt.
        query = (
            "UPDATE outbox SET state = ?, attempt = 0, uncertain = 0, born_at = ?, due_at = ?, stuck_at = NULL, "
            "reason = NULL, ended_at = NULL, first_at = CASE WHEN first_at + key_lifetime > ? THEN first_at END "
            "WHERE id = ? AND state > 2"
        )
        return connection.execute(query, (QUEUED, now, now, now, row)).rowcount == 1
    return False


def _dead_drop(connection: sqlite3.Connection, id: str) -> bool:
    kind, row = _row_of(id)
    if kind == "in":
        return connection.execute("DELETE FROM inbox WHERE id = ? AND state = ?", (row, DEAD)).rowcount == 1
    if kind == "out" and connection.execute("SELECT 1 FROM outbox WHERE id = ? AND state > 2", (row,)).fetchone():
        keep_final(connection, [row], "dropped")
        connection.execute("DELETE FROM outbox WHERE id = ?", (row,))
        return True
    return False


# --- counts and boot ---


def _counts(connection: sqlite3.Connection, now: float) -> Counts:
    query = """
    SELECT (SELECT count(*) FROM inbox WHERE state < 2), (SELECT count(*) FROM outbox WHERE state < 2),
        (SELECT count(*) FROM inbox WHERE state = 4) + (SELECT count(*) FROM outbox WHERE state > 2),
        (SELECT count(*) FROM quarantine), (SELECT min(born_at) FROM outbox WHERE state < 2)
    """
    inbox, outbox, dead, quarantine, oldest = connection.execute(query).fetchone()
    return Counts(inbox, outbox, dead, quarantine, None if oldest is None else max(0.0, now - oldest))


def _recover(connection: sqlite3.Connection, now: float) -> Recovered:
    ((waiting, cut),) = connection.execute(
        "SELECT count(*) FILTER (WHERE state = 0 OR express), count(*) FILTER (WHERE state = 1 AND NOT express) "
        "FROM inbox WHERE state < 2"
    ).fetchall()
    connection.execute(
        "UPDATE inbox SET state = ?, token = NULL, until = NULL, express = 0 WHERE state < 2 AND state = ?",
        (WAITING, LEASED),
    )
    connection.execute(
        "UPDATE outbox SET state = ?, token = NULL, until = NULL, uncertain = 1, due_at = ? "
        "WHERE state < 2 AND state = ?",
        (QUEUED, now, SENDING),
    )
    ((undelivered,),) = connection.execute("SELECT count(*) FROM outbox WHERE state < 2").fetchall()
    return Recovered(cut=cut, waiting=waiting, undelivered=undelivered)


# --- retention ---


def _prune(connection: sqlite3.Connection, retention: Retention, now: float) -> int:
    day = rules.DAY
    inbox, outbox = now - retention.inbox_days * day, now - retention.outbox_days * day
    dead, dedup = now - retention.dead_days * day, now - retention.dedup_days * day
    deleted = _delete(connection, "inbox", "state IN (2, 3) AND ended_at < ?", inbox)
    deleted += _delete(connection, "inbox", "state = 4 AND ended_at < ?", dead)
    for rule, before in (("state = 2 AND ended_at < ?", outbox), ("state > 2 AND ended_at < ?", dead)):
        query = f"SELECT id FROM outbox WHERE {rule} LIMIT {rules.PRUNE_ROWS}"
        keep_final(connection, [row for (row,) in connection.execute(query, (before,)).fetchall()])
        deleted += _delete(connection, "outbox", rule, before)
    deleted += _delete_keys(connection, dedup, now)
    # A number is never given twice while anything that could ask for one is kept.
    numbers = f"SELECT child, message_id FROM reply_number WHERE at < ? AND message_id != '' LIMIT {rules.PRUNE_ROWS}"
    query = f"DELETE FROM reply_number WHERE (child, message_id) IN ({numbers})"
    deleted += int(connection.execute(query, (min(inbox, outbox, dead),)).rowcount)
    deleted += _delete(connection, "history", "archived_at IS NOT NULL AND archived_at < ?", dead)
    deleted += _shorten_sessions(connection, retention.history_turns)
    deleted += _delete(connection, "quarantine", "at < ?", dead)
    newest = "id <= (SELECT max(id) FROM quarantine) - ?"
    return deleted + _delete(connection, "quarantine", newest, rules.QUARANTINE_ROWS)


def _delete(connection: sqlite3.Connection, table: str, rule: str, bound: Any) -> int:
    query = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {rule} LIMIT {rules.PRUNE_ROWS})"
    return int(connection.execute(query, (bound,)).rowcount)


def _delete_keys(connection: sqlite3.Connection, before: float, now: float) -> int:
    """From the oldest on, in order of arrival; a key from a clock set ahead by a day or more goes too."""
    oldest = f"SELECT rowid, at FROM inbox_key ORDER BY rowid LIMIT {rules.PRUNE_ROWS}"
    query = f"DELETE FROM inbox_key WHERE rowid IN (SELECT rowid FROM ({oldest}) WHERE at < ? OR at > ?)"
    return int(connection.execute(query, (before, now + rules.DAY)).rowcount)


def _shorten_sessions(connection: sqlite3.Connection, turns: int) -> int:
    """Of some sessions that are too long, the oldest turns."""
    deleted = 0
    long = connection.execute("SELECT session_id, turns FROM session WHERE turns > ? LIMIT 20", (turns,)).fetchall()
    for session_id, has in long:
        excess = min(has - turns, rules.PRUNE_ROWS // 20)
        gone = (
            "SELECT DISTINCT turn FROM history WHERE session_id = ? AND archived_at IS NULL ORDER BY turn LIMIT ?"
        )
        count = connection.execute(
            f"DELETE FROM history WHERE session_id = ? AND archived_at IS NULL AND turn IN ({gone})",
            (session_id, session_id, excess),
        ).rowcount
        connection.execute(
            "UPDATE session SET turns = turns - ?, messages = messages - ? WHERE session_id = ?",
            (excess, count, session_id),
        )
        deleted += count
    return deleted
