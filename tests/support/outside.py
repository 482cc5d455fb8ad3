"""Outside: what a test needs to see of the processes that run outside of the gateway."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Iterator

import gevent
import psutil

from hermes_green.core.model import Delta, Turn

PAUSE = 0.02  # seconds between two looks at processes that are to end


class Log:
    """Keeps what is logged, formatted as loguru would."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _keep(self, text: str, *values: Any) -> None:
        self.lines.append(text.format(*values))

    debug = info = warning = error = exception = _keep

    def opt(self, **_: Any) -> Log:
        return self

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def turn(text: str = "hello", **more: Any) -> Turn:
    values: dict[str, Any] = dict(
        id="t", attempt=1, session_id="web:c", child="web", platform="web", account="", chat_id="c", chat_type="dm",
        thread_id=None, user_id="u", user_name="Ü", text=text,
    )  # fmt: skip
    return Turn(**{**values, **more})


def said(deltas: Iterator[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def processes(mark: str) -> list[int]:
    """Living processes that have ``mark`` in their command line."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                line = (path / "cmdline").read_bytes()
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in line.split(b"\0") and state != "Z":
                found.append(int(path.name))
    return found


def gone(pids: list[int], within: float = 2.0) -> bool:
    """Whether all are gone, or dead, within so many seconds, but for those in which this process was held up."""
    until = time.monotonic() + within
    while True:
        over = time.monotonic() > until
        left = [pid for pid in pids if alive(pid)]
        if not left:
            return True
        if over:
            logging.getLogger("test").error("alive: %s", left)
            return False
        slept = time.monotonic()
        gevent.sleep(PAUSE)
        # Where this one came so late to its turn, those that end the others did as well.
        until += time.monotonic() - slept - PAUSE


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[int]:
    """All processes below."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
