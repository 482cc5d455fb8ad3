"""Whereabouts: where the gateway of a configuration keeps its data, for when its file says something else by now."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from hermes_green.ops.files import write_private
from hermes_green.ops.lock import data_lock_path, owner


def tell(conf_dir: Path, data_dir: Path, states: Path, pid: int) -> Path:
    """Write down which directory the gateway of a configuration owns; the file to delete at its end. Blocks.
    Raises OSError."""
    note = _note(conf_dir, states)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(note, json.dumps({"data_dir": str(data_dir.absolute()), "pid": pid}).encode())
    return note


def found(conf_dir: Path, data_dir: Path, states: Path) -> Path:
    """The directory that the running gateway of a configuration owns; ``data_dir``, as its file says now, where
    a gateway owns that or none is known to run elsewhere."""
    if owner(data_lock_path(data_dir)) is not None:
        return data_dir
    try:
        said = json.loads(_note(conf_dir, states).read_text("utf-8"))
        elsewhere, pid = Path(said["data_dir"]), int(said["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return data_dir
    holder = owner(data_lock_path(elsewhere))
    return elsewhere if holder is not None and holder.pid == pid else data_dir


def _note(conf_dir: Path, states: Path) -> Path:
    name = hashlib.sha256(os.fsencode(conf_dir.resolve())).hexdigest()
    return states / f"{name[:32]}.whereabouts"
