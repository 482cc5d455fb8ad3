"""Hook directories: hooks that are dropped into a folder, in the format of Hermes Agent.

``<folder>/<name>/HOOK.yaml`` has ``name``, ``description`` and ``events``; beside it ``handler.py`` has
``handle(event_type, context)``, sync or async. ``timeout`` (seconds) is an addition of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import yaml

_MOST = 1 << 16  # bytes of a manifest


@dataclass(frozen=True, slots=True)
class Found:
    """One hook: its name, the events that it wants, what to call, and its deadline in seconds (None: the
    usual one)."""

    name: str
    events: tuple[str, ...]
    target: str
    timeout: float | None = None


def find(folder: Path) -> tuple[list[Found], list[str]]:
    """The hooks in a folder, in the order of their directories, and a sentence about each that was left
    out. A folder that is not there holds none."""
    found, wrong = [], []
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{folder}: {error.strerror}"]
    for path in inside:
        if not (path / "HOOK.yaml").exists():
            continue
        try:
            found.append(_read(path))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            wrong.append(f"{path}: {' '.join(str(error).split())}")
    return found, wrong


def _read(path: Path) -> Found:
    """Raises OSError, ValueError, yaml.YAMLError."""
    with (path / "HOOK.yaml").open("rb") as file:
        manifest = yaml.safe_load(file.read(_MOST).decode("utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError("HOOK.yaml is no mapping with name, description and events")
    events = manifest.get("events")
    if not isinstance(events, Sequence) or isinstance(events, str) or not events:
        raise ValueError("HOOK.yaml names no events: a list is wanted")
    handler = path / "handler.py"
    if not handler.is_file():
        raise ValueError("handler.py is missing")
    timeout = manifest.get("timeout")
    if timeout is not None and (not isinstance(timeout, (int, float)) or timeout <= 0):
        raise ValueError("timeout in HOOK.yaml is no number of seconds")
    name = manifest.get("name") or path.name
    return Found(str(name), tuple(dict.fromkeys(map(str, events))), f"{handler.resolve()}:handle", timeout)
