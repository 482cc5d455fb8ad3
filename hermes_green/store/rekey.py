"""A chat has changed its id: what still matters of it moves along, in one transaction."""

from __future__ import annotations

import sqlite3

from hermes_green.core.model import renamed


def rekey(connection: sqlite3.Connection, child: str, old: str, new: str) -> None:
    """Sessions with their lines, rows not ended and parts not delivered; sessions of the same id merge."""
    found = connection.execute(
        "SELECT session_id FROM session WHERE child = :child AND chat_id = :old "
        "UNION SELECT session_id FROM inbox WHERE state < 2 AND child = :child AND chat_id = :old "
        "UNION SELECT session_id FROM generation WHERE session_id = :base "
        "OR session_id > :base || ':' AND session_id < :base || ';'",
        {"child": child, "old": old, "base": f"{child}:{old}"},
    ).fetchall()
    for (session_id,) in found:
        _move(connection, session_id, renamed(session_id, child, old, new), new)
    connection.execute(
        "UPDATE inbox SET chat_id = ? WHERE state < 2 AND child = ? AND chat_id = ?", (new, child, old)
    )
    connection.execute(
        "UPDATE outbox SET chat_id = ?, lane = ? || substr(lane, length(?) + 1) "
        "WHERE state < 2 AND child = ? AND chat_id = ?",
        (new, new, old, child, old),
    )


def _move(connection: sqlite3.Connection, before: str, after: str, chat_id: str) -> None:
    if before == after:
        connection.execute("UPDATE session SET chat_id = ? WHERE session_id = ?", (chat_id, before))
        return
    connection.execute("UPDATE inbox SET session_id = ? WHERE state < 2 AND session_id = ?", (after, before))
    connection.execute("UPDATE history SET session_id = ? WHERE session_id = ?", (after, before))
    connection.execute(
        "INSERT INTO session (session_id, child, chat_id, messages, turns, last_at) "
        "SELECT ?, child, ?, messages, turns, last_at FROM session WHERE session_id = ? "
        "ON CONFLICT (session_id) DO UPDATE SET messages = messages + excluded.messages, "
        "turns = turns + excluded.turns, last_at = max(last_at, excluded.last_at)",
        (after, chat_id, before),
    )
    connection.execute("DELETE FROM session WHERE session_id = ?", (before,))
    connection.execute(
        "INSERT INTO generation SELECT ?, number FROM generation WHERE session_id = ? "
        "ON CONFLICT (session_id) DO UPDATE SET number = max(number, excluded.number)",
        (after, before),
    )
    connection.execute("DELETE FROM generation WHERE session_id = ?", (before,))
