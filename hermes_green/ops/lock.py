"""One owner: locks of the kernel on a data directory and on every bot, which vanish with their process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Mapping

from hermes_green.core.clock import rfc3339
from hermes_green.core.errors import ConfError, StoreAway
from hermes_green.ops.files import FULL

POLL = 0.05


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock. ``pid`` is 0 when the holder has not written it."""

    pid: int
    started_at: str = ""
    data_dir: str = ""


class LockHeld(ConfError):
    """Another process owns this; ``owner`` says which."""

    def __init__(self, what: str, path: Path, owner: Owner) -> None:
        who = f"process {owner.pid}" if owner.pid else "another process"
        since = f", started {owner.started_at}" if owner.started_at else ""
        home = f", data_dir {owner.data_dir}" if owner.data_dir else ""
        kill = f" or `kill {owner.pid}`" if owner.pid else ""
        super().__init__(
            f"{what} belongs to {who}{since}{home} (lock {path})",
            code="lock_held",
            action=f"stop it with `hermes-green stop`{kill}, or take over with `hermes-green run --replace`",
        )
        self.path = path
        self.owner = owner


class FileLock:
    """An exclusive flock on ``path``; held by this process until ``release`` or its death.

    The file stays when the lock is gone: removing it would let two processes lock two files of
    one name. ``what`` and ``data_dir`` are for the sentences that people read.
    """

    def __init__(self, path: str | os.PathLike[str], *, what: str = "this lock", data_dir: str = "") -> None:
        self.path = Path(path)
        self.what = what
        self.data_dir = data_dir
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """True while this object holds the lock."""
        return self._fd is not None

    def acquire(self, wait: float = 0.0) -> None:
        """Take the lock, trying for ``wait`` seconds.

        Raises:
            LockHeld: somebody else still has it.
            ConfError: the file cannot be made or this file system has no locks.
            StoreAway: the disk is full.
        """
        if self._fd is not None:
            return
        deadline = time.monotonic() + wait
        fd = self._open()
        try:
            # A reader's probe (see ``owner``) holds the lock for microseconds, hence the second try.
            tries = 0
            while not self._try(fd):
                tries += 1
                if tries > 1 and time.monotonic() >= deadline:
                    raise LockHeld(self.what, self.path, owner(self.path) or Owner(0))
                time.sleep(POLL)
            self._sign(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Close-on-exec is Python's default: no program we start inherits the lock.
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            self._judge(error)
            raise ConfError(
                f"{self.what} cannot be locked: {error.strerror} ({self.path})",
                code="lock_file",
                action=(
                    "move away what is there, which is no lock of ours"
                    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
                    else "make the directory writable for this user, or set HERMES_GREEN_STATE_DIR or data_dir"
                ),
            ) from error

    def _try(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise ConfError(
                f"{self.what} cannot be locked: {error.strerror} ({self.path})",
                code="lock_file",
                action="put data_dir and HERMES_GREEN_STATE_DIR on a local file system",
            ) from error
        return True

    def _sign(self, fd: int) -> None:
        me = Owner(os.getpid(), rfc3339(time.time()), self.data_dir)
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(asdict(me)).encode(), 0)
        except OSError as error:
            self._judge(error)
            raise

    def _judge(self, error: OSError) -> None:
        """A disk that is full may have room again, and needs no change of the configuration. Raises StoreAway."""
        if error.errno in FULL:
            text = f"{self.what} cannot be locked: {error.strerror} ({self.path})"
            raise StoreAway(text, code="lock_file", action="free disk space") from error


def owner(path: str | os.PathLike[str]) -> Owner | None:
    """Who really holds the lock on ``path`` now; None when nobody does. Never waits over 0.2 s."""
    for _ in range(4):
        try:
            fd = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if _free(fd):
                return None
            found = _read(fd)
        finally:
            os.close(fd)
        if found is not None and _alive(found.pid):
            return found
        # The new holder has the lock and is about to write its name over that of the old one.
        time.sleep(POLL)
    return Owner(0)


def _free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(fd: int) -> Owner | None:
    try:
        data = json.loads(os.pread(fd, 65536, 0))
        return Owner(int(data["pid"]), str(data["started_at"]), str(data["data_dir"]))
    except (ValueError, KeyError, TypeError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def holds(path: str | os.PathLike[str], pid: int) -> bool:
    """Whether the process that goes by this number here has the lock's file open. In another container numbers mean
    other processes, and they are used again. True where the system does not tell."""
    try:
        lock, files = os.stat(path), os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return True
    return any(_same(f"/proc/{pid}/fd/{file}", lock) for file in files)


def _same(path: str, other: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), other)
    except OSError:
        return False


def data_lock_path(data_dir: Path) -> Path:
    """The lock that says whose a data directory is."""
    return data_dir / "gateway.lock"


def state_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where locks and dial ledgers live: outside data_dir, so that two copies of one configuration meet."""
    env = os.environ if env is None else env
    chosen = env.get("HERMES_GREEN_STATE_DIR", "").rstrip("\r\n")
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = env.get("HOME") or os.path.expanduser("~")
    # Whose home nobody knows (a user of a container's without a line in passwd) has the root, as with login(1).
    return Path("/" if home == "~" else home) / ".local" / "state" / "hermes-green"


def credential_id(platform: str, api_base: str, account_id: str) -> str:
    """The file stem of one bot's lock and ledger: the same for every process that would be this bot."""
    return hashlib.sha256(json.dumps([platform, api_base, account_id]).encode()).hexdigest()
