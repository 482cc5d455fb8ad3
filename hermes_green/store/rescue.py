"""Rescue: what can still be read of a damaged store goes into a new one; for when there is no backup.

The damaged file stays beside the new one as it was. It is read in a copy, because SQLite writes into a file that
has a log. SQLite's own tool for this is missing from, or does not work in, what several systems ship.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Mapping

from hermes_green.store import schema
from hermes_green.store.connection import APPLICATION_ID, broken, log_of, sync_directory

BUSY = 5.0
# Rows that are passed over one by one where none can be read, before it goes on in longer and longer steps.
PATIENT = 10_000
LAST = 2**62
# Row numbers left out where it is not known which have been given away.
GAP = 1_000_000


@dataclass(slots=True)
class Copied:
    """What became of one table: rows that are in the new file, and whether that is all there were."""

    rows: int = 0
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Rescued:
    """``aside``: where the damaged file lies now; ``tables`` by name."""

    aside: Path
    tables: Mapping[str, Copied]


def rescue(path: Path) -> Rescued | None:
    """Put a new store in the place of a damaged one, with all of it that can be read. None: SQLite finds no fault
    with it, and nothing was changed.

    Raises:
        StoreBroken: nothing can be read; the file is left as and where it was.
        OSError: there is no room for it, or one was put aside before and is still there.
    """
    aside, reading, fresh = (path.with_name(f"{path.name}.{what}") for what in ("damaged", "reading", "rescued"))
    _remove(reading, fresh)
    try:
        for name in (path, log_of(path)):
            if name.exists():
                shutil.copy2(name, reading if name == path else log_of(reading))
        if _sound(reading):
            return None
        if aside.exists():
            raise FileExistsError(f"{aside} is there already: move it elsewhere first")
        schema.prepare(fresh, busy_timeout=BUSY)
        with closing(sqlite3.connect(reading)) as old, closing(sqlite3.connect(fresh)) as new:
            tables = _copy(path, old, new)
        with open(fresh, "rb") as written:
            os.fsync(written.fileno())
        _replace(path, fresh, aside)
    finally:
        _remove(reading, fresh)
    return Rescued(aside, tables)


def _sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            ours = connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
            return ours and connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def _copy(path: Path, old: sqlite3.Connection, new: sqlite3.Connection) -> dict[str, Copied]:
    old.text_factory = lambda raw: raw.decode("utf-8", "replace")
    names = [name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = {name: Copied() for name in names if not name.startswith("sqlite_")}
    try:
        known = {name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise broken(path, f"not even its list of tables can be read: {error}") from error
    for name, copied in tables.items():
        if name in known:
            _copy_table(old, new, name, copied)
    if not any(copied.rows for name, copied in tables.items() if name != "counter"):
        raise broken(path, "none of its rows can be read")
    gap = 0 if tables["counter"].whole and tables["inbox"].whole else GAP
    highest = "max(value, (SELECT coalesce(max(id), 0) FROM inbox))"
    new.execute(f"UPDATE counter SET value = {highest} + ? WHERE name = 'inbox'", (gap,))
    new.commit()
    new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return tables


def _copy_table(old: sqlite3.Connection, new: sqlite3.Connection, name: str, copied: Copied) -> None:
    there = {row[1] for row in old.execute(f"PRAGMA table_info({name})")}
    about = [row for row in new.execute(f"PRAGMA table_info({name})") if row[1] in there]
    columns = ", ".join(f'"{row[1]}"' for row in about)
    keys = ", ".join(f'"{row[1]}"' for row in sorted(about, key=lambda row: int(row[5])) if row[5])
    marks = ", ".join("?" * len(about))
    # The new file has the rows of its birth.
    into = f"INSERT OR {'REPLACE' if name == 'counter' else 'IGNORE'} INTO {name} ({columns}) VALUES ({marks})"
    query = "SELECT sql LIKE '%WITHOUT ROWID' FROM sqlite_master WHERE name = ?"
    if new.execute(query, (name,)).fetchone() == (1,):
        found = _from_both_ends(old, name, columns, keys, copied)
    else:
        found = _over_gaps(old, name, columns, copied)
    before = new.total_changes
    for row in found:
        # What is in a damaged page may be nonsense that this table does not take.
        with suppress(sqlite3.Error):
            new.execute(into, row)
    copied.rows = new.total_changes - before


def _over_gaps(old: sqlite3.Connection, name: str, columns: str, copied: Copied) -> Iterator[tuple[object, ...]]:
    """Every row that can be read, by its number; where none can, on behind it."""
    last, failures = -LAST, 0
    query = f"SELECT rowid, {columns} FROM {name} WHERE rowid > ? ORDER BY rowid"
    while last < LAST:
        try:
            for number, *row in old.execute(query, (last,)):
                last, failures = number, 0
                yield tuple(row)
            return
        except sqlite3.Error:
            copied.whole = False
            failures += 1
            last = max(last, 0) + (1 if failures < PATIENT else 2 ** min(60, failures - PATIENT))


def _from_both_ends(
    old: sqlite3.Connection, name: str, columns: str, keys: str, copied: Copied
) -> Iterator[tuple[object, ...]]:
    """What comes before the first place that cannot be read, and what comes after the last."""
    for order in (keys, ", ".join(f"{key} DESC" for key in keys.split(", "))):
        try:
            yield from old.execute(f"SELECT {columns} FROM {name} ORDER BY {order}")
            return
        except sqlite3.Error:
            copied.whole = False


def _replace(path: Path, fresh: Path, aside: Path) -> None:
    """The damaged file has a second name before it loses its first: at no moment is there nothing, which would be
    taken for a gateway that has never run."""
    try:
        os.link(path, aside)
    except OSError:
        shutil.copy2(path, aside)  # not every file system knows second names
    if log_of(path).exists():
        os.replace(log_of(path), log_of(aside))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    os.replace(fresh, path)
    sync_directory(path.parent)


def _remove(*paths: Path) -> None:
    for path in paths:
        for name in (path, log_of(path), path.with_name(path.name + "-shm")):
            name.unlink(missing_ok=True)
