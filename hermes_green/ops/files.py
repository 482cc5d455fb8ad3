"""Files that other programs read while we write them."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

# What a disk answers that has no room now, or none for us.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by the owner alone; blocks."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def drop_output() -> None:
    """Let standard output lead nowhere: nobody takes what it still holds, of which Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
