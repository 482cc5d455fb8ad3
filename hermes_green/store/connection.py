"""Opening SQLite the one way we trust: WAL, synchronous FULL, private files, errors that carry the policy."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from hermes_green.core.errors import StoreAway, StoreBroken, StoreError

# Marks the file as ours ("HgSt"), so that another program's database is never taken for an old one.
APPLICATION_ID = 0x48675374

# Checkpoints begin once the log holds this many pages of 4 KiB; it is cut back to LOG_BYTES.
CHECKPOINT_PAGES = 4_000
LOG_BYTES = 64 * 1024 * 1024

AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


def repair(path: Path) -> str:
    """The sentence that tells an operator how to mend a file that cannot be read."""
    return (
        f"Move {path} (with its -wal and -shm files) aside and restore a backup there; or let `hermes-green rescue` "
        "put what can be read of it into a new one. Nothing was changed in it."
    )


def broken(path: Path, text: str) -> StoreBroken:
    """The store at ``path`` cannot be trusted."""
    return StoreBroken(f"{path}: {text}", action=repair(path))


def translate(error: Exception, path: Path) -> StoreError | None:
    """The store error that a failure of SQLite or the file system means; None for a bug of ours."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary in BROKEN:
            return broken(path, str(error))
        if primary in AWAY:
            action = f"Free space for {path}, or end the program that holds it; the store recovers by itself."
            return StoreAway(f"{path}: {error}", code=error.sqlite_errorname, action=action)
        return None
    if isinstance(error, OSError):
        return StoreAway(f"{path}: {error}", action=f"Look at the disk of {path}; the store recovers by itself.")
    return None


def connect(path: Path, *, busy_timeout: float, max_page_count: int | None = None) -> sqlite3.Connection:
    """A connection to an existing file, with every promise of ours asked for and checked.

    Raises:
        StoreBroken: a PRAGMA did not take, or the file is not ours.
        sqlite3.Error, OSError: see ``translate``.
    """
    uri = f"file:{quote(os.fsencode(path))}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        # Read first: a foreign file is recognised before anything could be written to it.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise broken(path, "this is a database, but not one of ours")
        _ask(connection, path, "journal_mode", "WAL", "wal")
        _ask(connection, path, "synchronous", "FULL", 2)
        _ask(connection, path, "temp_store", "MEMORY", 2)
        _ask(connection, path, "wal_autocheckpoint", str(CHECKPOINT_PAGES), CHECKPOINT_PAGES)
        _ask(connection, path, "journal_size_limit", str(LOG_BYTES), LOG_BYTES)
        if max_page_count is not None:
            connection.execute(f"PRAGMA max_page_count = {max_page_count}").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(connection: sqlite3.Connection, path: Path, name: str, value: str, expected: object) -> None:
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    got = connection.execute(f"PRAGMA {name}").fetchone()[0]
    if got != expected:
        raise broken(path, f"PRAGMA {name} is {got!r}, not {expected!r}")


def make_directory(path: Path) -> None:
    """The directory of a store, for us alone where we create it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def private(path: Path) -> None:
    """Nobody else reads what people wrote to the bot: mode 0600 for the file and what lies beside it."""
    for name in (path, log_of(path), path.with_name(path.name + "-shm")):
        if name.exists() and name.stat().st_mode & 0o077:
            os.chmod(name, 0o600)


def log_of(path: Path) -> Path:
    """The write-ahead log beside a database."""
    return path.with_name(path.name + "-wal")


def sync_directory(path: Path) -> None:
    """Make a rename in this directory outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems sync no directories
            raise
    finally:
        os.close(descriptor)
