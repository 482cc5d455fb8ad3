"""Places: what stands in the way where our directories and files are to be, seen before anything relies on them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Iterable, Iterator

from hermes_green.core.errors import ConfError, StoreAway
from hermes_green.ops.files import FULL
from hermes_green.ops.lock import data_lock_path

# What a file system answers that only a person changes: the one is where the other is wanted, or it is not ours.
IN_THE_WAY = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST})
DENIED = IN_THE_WAY | {errno.EACCES, errno.EPERM, errno.EROFS}


def database_path(data_dir: Path) -> Path:
    """Where the store of a data directory lies."""
    return data_dir / "gateway.sqlite3"


def published_path(data_dir: Path) -> Path:
    """Where a running gateway says how to reach it."""
    return data_dir / "gateway.json"


def media_path(data_dir: Path) -> Path:
    """Where files of users are kept."""
    return data_dir / "media"


def misplaced(data_dir: Path, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> Iterator[ConfError]:
    """A file where a directory of the gateway is to be, or a directory where a file is, each with its cure;
    ``folders`` and ``files``: what is wanted beside what every data directory has."""
    for folder in (data_dir, media_path(data_dir), *folders):
        there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
        if os.path.lexists(there) and not os.path.isdir(there):
            yield _wrong(f"{there} is a file, and a directory is wanted there")
            if folder == data_dir:
                return
    ours = data_lock_path(data_dir), database_path(data_dir), published_path(data_dir)
    for file in (*ours, *files):
        if os.path.isdir(file):
            yield _wrong(f"{file} is a directory, and a file is wanted there")


def require(data_dir: Path, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> None:
    """Raises the first ConfError of ``misplaced``."""
    for wrong in misplaced(data_dir, folders, files):
        raise wrong


def understood(error: OSError) -> ConfError | StoreAway | None:
    """What a file that cannot be had means: somebody must change something, or it heals by itself; None: a bug."""
    if error.errno in FULL:
        return StoreAway(f"the disk is full: {error}", action="free disk space")
    if error.errno not in DENIED or not error.filename:
        return None
    text = f"{error.filename}: {error.strerror}"
    if error.errno in IN_THE_WAY:
        return _wrong(text)
    return ConfError(text, code="misplaced", action="let the user that the gateway runs as read and write there")


def _wrong(text: str) -> ConfError:
    return ConfError(text, code="misplaced", action="move away what is there; what is wanted is made anew")
