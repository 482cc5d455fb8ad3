"""Ownership: the locks this process holds, on its data directory and on every bot it is."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Mapping

from loguru import logger

from hermes_green.core.errors import ConfError
from hermes_green.ops.lock import FileLock, LockHeld, data_lock_path, holds, owner

POLL = 0.1


class Ownership:
    """Locks belong to the process: one descriptor per credential, kept over restarts of its child."""

    def __init__(self, data_dir: Path, state_dir: Path) -> None:
        self._data_dir = data_dir
        self._state_dir = state_dir
        self._data_lock = FileLock(data_lock_path(data_dir), what=f"data_dir {data_dir}", data_dir=str(data_dir))
        self._credentials: dict[str, tuple[str, FileLock]] = {}

    def take_data(self, wait: float) -> None:
        """Own the data directory. Raises LockHeld after ``wait`` seconds."""
        self._data_lock.acquire(wait)

    def take_credential(self, credential: str, child: str, wait: float) -> None:
        """Own one bot for ``child``.

        Raises:
            LockHeld: another process is this bot.
            ConfError: another child of ours is.
        """
        held = self._credentials.get(credential)
        if held is not None:
            if held[0] != child:
                raise ConfError(
                    f"{child} and {held[0]} are the same bot", action="give each child an account of its own"
                )
            return
        path = self._state_dir / f"{credential}.lock"
        lock = FileLock(path, what=f"the bot of {child}", data_dir=str(self._data_dir))
        lock.acquire(wait)
        self._credentials[credential] = (child, lock)

    def take_all(self, wanted: Mapping[str, str], wait: float) -> None:
        """Own ``credential -> child``, in sorted order so that two starters cannot block each other."""
        deadline = time.monotonic() + wait
        for credential in sorted(wanted):
            self.take_credential(credential, wanted[credential], max(0.0, deadline - time.monotonic()))

    def keep_only(self, credentials: set[str]) -> None:
        """Give back the bots that are no longer configured."""
        for credential in set(self._credentials) - credentials:
            self._credentials.pop(credential)[1].release()

    def release(self) -> None:
        """Give everything back."""
        self.keep_only(set())
        self._data_lock.release()


def evict(held: LockHeld, drain: float) -> None:
    """Ask the owner of a lock to drain and wait for it; KILL when it does not come to an end.

    Raises:
        LockHeld: the owner cannot be told, or not be ended by us.
    """
    if held.owner.pid <= 0 or held.owner.pid == os.getpid():
        raise held
    pid = held.owner.pid
    logger.warning("asking process {} to stop: {}", pid, held.text)
    for sign, wait in ((signal.SIGTERM, drain), (signal.SIGKILL, 10.0)):
        if not holds(held.path, pid):
            if _gone(held):
                return
            raise held
        try:
            os.kill(pid, sign)
            # One that somebody has stopped hears of nothing before it goes on; then it drains as any other.
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return
        except PermissionError:
            raise held from None
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            if _gone(held):
                return
            time.sleep(POLL)
        logger.error("process {} did not end within {:.0f} s of {}", pid, wait, sign.name)
    raise held


def _gone(held: LockHeld) -> bool:
    now = owner(held.path)
    return now is None or now.pid != held.owner.pid


def own(data_dir: Path, states: Path, wanted: Mapping[str, str], wait: float, drain: float | None = None) -> Ownership:
    """Every lock (the data directory's, then ``credential -> child``) within one ``wait`` in seconds.

    ``drain``: take over; another owner is asked to stop and given this many seconds for it.

    Raises:
        LockHeld, ConfError: something is somebody else's, or two children are one bot.
    """
    ownership = Ownership(data_dir, states)
    deadline = time.monotonic() + (wait if drain is None else 0.0)
    for _ in range(len(wanted) + 1):
        try:
            ownership.take_data(max(0.0, deadline - time.monotonic()))
            ownership.take_all(wanted, max(0.0, deadline - time.monotonic()))
            return ownership
        except LockHeld as held:
            if drain is None:
                raise
            evict(held, drain)
    ownership.take_data(wait)
    ownership.take_all(wanted, wait)
    return ownership
