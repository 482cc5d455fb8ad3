"""What was said: sessions' history, chats' transcripts, and the archive of what was reset."""

from __future__ import annotations

import sqlite3
from typing import Sequence

from hermes_green.core.model import Message
from hermes_green.core.ports import Line, SessionInfo
from hermes_green.store import codec
from hermes_green.store.engine import Engine, insert_rows


class Lines(Engine):
    """Sessions and transcripts."""

    def history(self, session_id: str, turns: int) -> Sequence[Message]:
        """See ``Store.history``."""
        found: Sequence[Message] = self._reader.ask(history_of, codec.clean(session_id), turns)
        return found

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]:
        """See ``Store.sessions``; those that have lines."""
        found: Sequence[SessionInfo] = self._reader.ask(_sessions, limit)
        return found

    def reset_session(self, session_id: str, now: float) -> bool:
        """See ``Store.reset_session``."""
        return bool(self._writer.submit(archive, codec.clean(session_id), now))

    def archived(self, session_id: str, turns: int) -> Sequence[Message]:
        """See ``Store.archived``."""
        found: Sequence[Message] = self._reader.ask(_archived, codec.clean(session_id), turns)
        return found

    def transcript(self, child: str, chat_id: str, limit: int = 100) -> Sequence[Line]:
        """See ``Store.transcript``: texts of messages not refused, and of parts delivered."""
        found: Sequence[Line] = self._reader.ask(_transcript, codec.clean(child), codec.clean(chat_id), limit)
        return found


def remember(
    connection: sqlite3.Connection,
    session_id: str,
    child: str,
    chat_id: str,
    lines: Sequence[tuple[str, str]],
    now: float,
) -> None:
    """Add one turn's lines to a session."""
    ((turn,),) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM history").fetchall()
    rows = [(session_id, turn, role, text, now) for role, text in lines]
    insert_rows(connection, "INSERT INTO history (session_id, turn, role, text, at)", 5, rows)
    connection.execute(
        "INSERT INTO session (session_id, child, chat_id, messages, turns, last_at) VALUES (?, ?, ?, ?, 1, ?) "
        "ON CONFLICT (session_id) DO UPDATE SET messages = messages + excluded.messages, turns = turns + 1, "
        "last_at = excluded.last_at",
        (session_id, child, chat_id, len(rows), now),
    )


def archive(connection: sqlite3.Connection, session_id: str, now: float, always: bool = False) -> bool:
    """Put a session's lines aside and begin its next generation (``always``: also when there are none);
    False when there were none."""
    query = "UPDATE history SET archived_at = ? WHERE session_id = ? AND archived_at IS NULL"
    changed = connection.execute(query, (now, session_id)).rowcount
    connection.execute("DELETE FROM session WHERE session_id = ?", (session_id,))
    if changed or always:
        connection.execute(
            "INSERT INTO generation VALUES (?, 1) ON CONFLICT (session_id) DO UPDATE SET number = number + 1",
            (session_id,),
        )
    return changed > 0


def archive_old(connection: sqlite3.Connection, session_id: str, before: float, now: float) -> bool:
    """Archive a session that was last used before a wall time; False when it was not."""
    query = "SELECT 1 FROM session WHERE session_id = ? AND last_at < ?"
    if connection.execute(query, (session_id, before)).fetchone() is None:
        return False
    return archive(connection, session_id, now)


def generation_of(connection: sqlite3.Connection, session_id: str) -> int:
    """How often a session has begun anew."""
    found = connection.execute("SELECT number FROM generation WHERE session_id = ?", (session_id,)).fetchone()
    return 0 if found is None else int(found[0])


def undo(connection: sqlite3.Connection, session_id: str, now: float) -> None:
    """Put a session's last turn aside."""
    gone = connection.execute(
        "UPDATE history SET archived_at = :now WHERE session_id = :session AND archived_at IS NULL AND turn = "
        "(SELECT max(turn) FROM history WHERE session_id = :session AND archived_at IS NULL)",
        {"now": now, "session": session_id},
    ).rowcount
    if gone:
        query = "UPDATE session SET turns = turns - 1, messages = messages - ? WHERE session_id = ?"
        connection.execute(query, (gone, session_id))
        connection.execute("DELETE FROM session WHERE session_id = ? AND turns <= 0", (session_id,))


def history_of(connection: sqlite3.Connection, session_id: str, turns: int) -> Sequence[Message]:
    """The last ``turns`` turns of a session, oldest first."""
    query = (
        "SELECT role, text FROM history WHERE session_id = :session AND archived_at IS NULL AND turn >= "
        "(SELECT min(turn) FROM (SELECT DISTINCT turn FROM history WHERE session_id = :session "
        "AND archived_at IS NULL ORDER BY turn DESC LIMIT :turns)) ORDER BY turn, id"
    )
    rows = connection.execute(query, {"session": session_id, "turns": turns}).fetchall()
    return tuple(Message(role, text) for role, text in rows)


def _archived(connection: sqlite3.Connection, session_id: str, turns: int) -> Sequence[Message]:
    query = (
        "SELECT role, text FROM history WHERE archived_at IS NOT NULL AND session_id = ? "
        "ORDER BY archived_at DESC, id DESC LIMIT ?"
    )
    rows = connection.execute(query, (session_id, 2 * turns)).fetchall()
    return tuple(Message(role, text) for role, text in reversed(rows))


def _sessions(connection: sqlite3.Connection, limit: int) -> Sequence[SessionInfo]:
    query = (
        "SELECT session_id, child, chat_id, messages, last_at, "
        "coalesce((SELECT number FROM generation WHERE generation.session_id = session.session_id), 0) "
        "FROM session ORDER BY last_at DESC LIMIT ?"
    )
    return tuple(SessionInfo(*row) for row in connection.execute(query, (limit,)).fetchall())


# Three places, each by its own index and each no longer than asked for: ended messages, messages
# still waiting (few, in all chats together), delivered parts.
_TRANSCRIPT = """
SELECT name, role, text, at FROM (
    SELECT * FROM (SELECT message_id AS name, 0 AS side, id AS row, 'user' AS role, text, accepted_at AS at FROM inbox
        WHERE state IN (2, 4) AND child = :child AND chat_id = :chat AND text != '' ORDER BY id DESC LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT message_id AS name, 0 AS side, id AS row, 'user' AS role, text, accepted_at AS at
        FROM inbox INDEXED BY inbox_active
        WHERE state < 2 AND child = :child AND chat_id = :chat AND text != '' ORDER BY id DESC LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT key AS name, 1 AS side, id AS row, 'assistant' AS role, text, ended_at AS at FROM outbox
        WHERE state = 2 AND child = :child AND chat_id = :chat AND text != '' ORDER BY id DESC LIMIT :limit)
) ORDER BY at DESC, side DESC, row DESC LIMIT :limit
"""


def _transcript(connection: sqlite3.Connection, child: str, chat_id: str, limit: int) -> Sequence[Line]:
    rows = connection.execute(_TRANSCRIPT, {"child": child, "chat": chat_id, "limit": limit}).fetchall()
    return tuple(Line(*row) for row in reversed(rows))
