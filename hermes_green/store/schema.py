"""The tables, as numbered migrations, and how a file is born and brought up to date."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hermes_green.core.errors import StoreBroken
from hermes_green.store.connection import (
    APPLICATION_ID,
    broken,
    connect,
    log_of,
    make_directory,
    private,
    sync_directory,
)

# inbox.state
WAITING, LEASED, DONE, REFUSED, DEAD = range(5)
# outbox.state
QUEUED, SENDING, DELIVERED, OUT_DEAD, HELD = range(5)

_FIRST = (
    # Row numbers are drawn by us, so that a batch needs no round trip per row and none is reused.
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counter VALUES ('inbox', 0)",
    """CREATE TABLE inbox (
        id INTEGER PRIMARY KEY, child TEXT NOT NULL, session_id TEXT NOT NULL, chat_id TEXT NOT NULL,
        message_id TEXT NOT NULL, text TEXT NOT NULL, body TEXT NOT NULL, sent_at REAL, accepted_at REAL NOT NULL,
        state INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, turn_id TEXT, token TEXT, until REAL,
        worker TEXT, express INTEGER NOT NULL DEFAULT 0, draft TEXT, reason TEXT, usage TEXT, ended_at REAL)""",
    # Partial indexes: what waits is found at once, and what is finished costs an insert nothing.
    "CREATE INDEX inbox_active ON inbox (session_id, id) WHERE state < 2",
    "CREATE INDEX inbox_ended ON inbox (ended_at) WHERE state IN (2, 3)",
    "CREATE INDEX inbox_dead ON inbox (ended_at) WHERE state = 4",
    "CREATE INDEX inbox_chat ON inbox (child, chat_id, id) WHERE state IN (2, 4)",
    # Keys live apart from rows: rows are pruned by inbox_days, keys by dedup_days.
    "CREATE TABLE inbox_key (child TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, UNIQUE (child, key))",
    """CREATE TABLE reply_number (
        child TEXT NOT NULL, message_id TEXT NOT NULL, used INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (child, message_id)) WITHOUT ROWID""",
    "CREATE INDEX reply_number_at ON reply_number (at)",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, child TEXT NOT NULL, lane TEXT NOT NULL, chat_id TEXT NOT NULL,
        turn TEXT NOT NULL, ordinal INTEGER NOT NULL, message_id TEXT NOT NULL, reply_seq INTEGER NOT NULL,
        key TEXT NOT NULL, peer TEXT NOT NULL, payload TEXT NOT NULL, text TEXT NOT NULL, reply_ref TEXT NOT NULL,
        handle TEXT, not_after REAL, key_lifetime REAL, first_at REAL, born_at REAL NOT NULL, due_at REAL NOT NULL,
        stuck_at REAL, state INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, token TEXT, until REAL,
        uncertain INTEGER NOT NULL DEFAULT 0, send_id TEXT, receipt_id TEXT, receipt_at REAL, reason TEXT,
        ended_at REAL)""",
    "CREATE INDEX outbox_active ON outbox (child, lane, id) WHERE state < 2",
    "CREATE INDEX outbox_born ON outbox (born_at) WHERE state < 2",
    "CREATE INDEX outbox_ended ON outbox (ended_at) WHERE state = 2",
    "CREATE INDEX outbox_dead ON outbox (ended_at) WHERE state > 2",
    "CREATE INDEX outbox_chat ON outbox (child, chat_id, id) WHERE state = 2",
    "CREATE INDEX outbox_send ON outbox (send_id) WHERE send_id IS NOT NULL",
    # ``final`` is what became of parts whose rows are gone: a send's id is answered for ever.
    """CREATE TABLE send (
        key TEXT PRIMARY KEY, digest TEXT NOT NULL, id TEXT NOT NULL UNIQUE, child TEXT NOT NULL, at REAL NOT NULL,
        final TEXT) WITHOUT ROWID""",
    """CREATE TABLE memo (
        child TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (child, name)) WITHOUT ROWID""",
    """CREATE TABLE history (
        id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, turn INTEGER NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,
        at REAL NOT NULL, archived_at REAL)""",
    "CREATE INDEX history_live ON history (session_id, turn, id) WHERE archived_at IS NULL",
    "CREATE INDEX history_archived ON history (archived_at) WHERE archived_at IS NOT NULL",
    """CREATE TABLE session (
        session_id TEXT PRIMARY KEY, child TEXT NOT NULL, chat_id TEXT NOT NULL, messages INTEGER NOT NULL,
        turns INTEGER NOT NULL, last_at REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX session_last ON session (last_at)",
    "CREATE INDEX session_turns ON session (turns)",
    """CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, child TEXT NOT NULL, raw BLOB NOT NULL, error TEXT NOT NULL, at REAL NOT NULL)""",
)

_SECOND = (
    # Rows that are one turn have the number of the one that is answered; others have none.
    "ALTER TABLE inbox ADD COLUMN joined INTEGER",
    # How often a session has begun anew; kept for ever, so that no agent meets an id again.
    "CREATE TABLE generation (session_id TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
)

# Number n brings a file from user_version n-1 to n. Append only.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND)


def prepare(path: Path, *, busy_timeout: float) -> None:
    """Make ``path`` a store of the present schema: born if it is not there, migrated if it is older.

    Raises:
        StoreBroken: it is no store of ours, newer than this program, or damaged; it is left as it was.
        sqlite3.Error, OSError: see ``connection.translate``.
    """
    make_directory(path.parent)
    if path.is_symlink() and not path.exists():
        action = "Mount or make what it leads to, or take the link away: then a new store begins."
        raise StoreBroken(f"{path}: it leads to {os.readlink(path)}, and nothing is there", action=action)
    if not path.exists():
        _birth(path, busy_timeout)
    elif path.stat().st_size == 0:
        raise broken(path, "the file is empty, and ours never are: it was cut")
    elif not os.access(path, os.R_OK | os.W_OK):
        action = f"Give this user read and write permission on {path}."
        raise StoreBroken(f"{path}: not readable and writable for this user", action=action)
    private(path)
    with closing(connect(path, busy_timeout=busy_timeout)) as connection:
        _upgrade(connection, path)


def backup_of(path: Path, version: int) -> Path:
    """Where the copy made before leaving schema ``version`` lies."""
    return path.with_name(f"{path.name}.v{version}.bak")


def _birth(path: Path, busy_timeout: float) -> None:
    """Create the file whole or not at all: beside its place, then renamed into it."""
    if log_of(path).exists():
        raise broken(path, "the database is gone but its log is still there")
    fresh = path.with_name(path.name + ".new")
    _create_private(fresh)
    with closing(sqlite3.connect(fresh, timeout=busy_timeout, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        for number in range(1, len(MIGRATIONS) + 1):
            _migrate(connection, number)
    os.rename(fresh, path)
    sync_directory(path.parent)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreBroken(
            f"{path}: written by a newer version (schema {version}, this program knows {len(MIGRATIONS)})",
            action=f"Install the newer version again, or restore {backup_of(path, len(MIGRATIONS))} as {path}.",
        )
    for number in range(version + 1, len(MIGRATIONS) + 1):
        _back_up(connection, path, number - 1)
        _migrate(connection, number)


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """A whole copy, checked first: a damaged file is not migrated."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise broken(path, f"damaged: {verdict}")
    target = backup_of(path, version)
    fresh = target.with_name(target.name + ".new")
    _create_private(fresh)
    with closing(sqlite3.connect(fresh, isolation_level=None)) as copy:
        connection.backup(copy)
        # A copy is one file: no log beside it that somebody forgets to move.
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    with open(fresh, "rb") as written:
        os.fsync(written.fileno())
    os.rename(fresh, target)
    sync_directory(path.parent)


def _migrate(connection: sqlite3.Connection, number: int) -> None:
    """One migration, whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in MIGRATIONS[number - 1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create_private(path: Path) -> None:
    """An empty file of mode 0600, in place of whatever an interrupted attempt left."""
    for name in (path, log_of(path), path.with_name(path.name + "-shm"), path.with_name(path.name + "-journal")):
        name.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
