"""Ledger: the durable record of one bot's dials, because vendors count them through our crashes.

One file of JSON lines per credential, beside its lock. Every function waits for the disk and is
meant to be called through ``OffHub``. Ages within one boot are taken from the monotonic clock, so
that setting the wall clock neither grants nor costs a dial; across boots wall time decides, and a
time in the future counts as now (and is written down as now).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import hmac
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.core.clock import Clock, clock_time
from hermes_green.core.errors import Throttled

Budget = Sequence[Sequence[float]]

MARGIN = 2.0  # seconds added to every window: a dial is booked before the vendor sees and counts it
KEEP = 8 * 86_400.0  # seconds; ours have a day for their longest window, an operator's may have a week
MAX_LINES = 4_000  # consider a rewrite above this
MAX_KEPT = 1_500  # lines of one kind that a rewrite keeps, newest first
MAX_FINGERPRINTS = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``mono`` is valid within ``boot`` only; ``data`` is whatever a note carried."""

    kind: str
    wall: float
    boot: str
    mono: float
    pid: int
    data: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        head = {"kind": self.kind, "wall": round(self.wall, 3), "boot": self.boot}
        return json.dumps({**head, "mono": round(self.mono, 3), "pid": self.pid, **self.data}).encode() + b"\n"


class Ledger:
    """The dials, and a few facts about them, of one credential."""

    def __init__(self, path: str | os.PathLike[str], clock: Clock, boot_id: str | None = None) -> None:
        self.path = Path(path)
        self._clock = clock
        self._boot = boot_id
        self._seen: tuple[object, list[Entry]] = (None, [])

    # --- budgets -----------------------------------------------------------------------------------

    def book(self, kind: str, budget: Budget, *, reserve: int = 0) -> None:
        """Record one use of ``kind``, durably, before it is made. ``budget``: (count, seconds) pairs;
        ``reserve``: how many of each window this use must leave over (at least one is always granted).

        Raises:
            Throttled: a window is spent, or the disk did not take the record; nothing was booked.
        """
        try:
            with self._locked() as file:
                entries, restamped = self._load(file)
                after = self._spent(entries, kind, budget, reserve)
                if restamped:
                    self._rewrite(file, entries)
                self._refuse(after)
                self._append(file, self._entry(kind))
                self._compact(file, entries)
        except OSError as error:
            raise Throttled(
                f"the dial ledger cannot be written: {error.strerror or error} ({self.path})",
                after=30.0,
                code="ledger_away",
                action="free disk space or make the directory writable; without a record no dial is made",
            ) from error

    def usage(self, kind: str, budget: Budget) -> list[dict[str, Any]]:
        """Per window of the budget ``{window, used, limit}``; ``window`` in seconds."""
        entries = self._read()
        return [
            {"window": seconds, "used": len(self._ages(entries, kind, seconds)), "limit": int(count)}
            for count, seconds in budget
        ]

    def check(self, kind: str, budget: Budget, *, reserve: int = 0) -> None:
        """Refuse as ``book`` would now, and book nothing.

        Raises:
            Throttled: a window is spent.
        """
        self._refuse(self._spent(self._read(), kind, budget, reserve))

    def _refuse(self, after: float) -> None:
        if after > 0:
            until = clock_time(self._clock.wall() + after)
            raise Throttled(f"cooling down until {until}", after=after, code="budget_spent")

    # --- facts -------------------------------------------------------------------------------------

    def note(self, kind: str, **data: Any) -> None:
        """Write down a fact; ``data`` are JSON values. Raises OSError when the disk does not take it."""
        with self._locked() as file:
            entries, restamped = self._load(file)
            if restamped:
                self._rewrite(file, entries)
            self._append(file, self._entry(kind, data))
            self._compact(file, entries)

    def last(self, kind: str) -> dict[str, Any] | None:
        """The newest line of ``kind`` as a dict with ``age`` (seconds), ``wall`` and its data."""
        for entry in reversed(self._read()):
            if entry.kind == kind:
                return {"wall": entry.wall, "pid": entry.pid, "age": self._age(entry), **entry.data}
        return None

    def fingerprint(self, secret: str) -> str:
        """Names a secret without telling it: an HMAC under this file's own random salt."""
        salt = next((e.data["salt"] for e in self._read() if e.kind == "salt" and "salt" in e.data), None)
        if salt is None:
            with self._locked() as file:
                # Another process may have been first, between the read and the lock.
                entries, _ = self._load(file)
                salt = next((e.data["salt"] for e in entries if e.kind == "salt" and "salt" in e.data), None)
                if salt is None:
                    salt = secrets.token_hex(16)
                    self._append(file, self._entry("salt", {"salt": salt}))
        return hmac.new(bytes.fromhex(salt), secret.encode(), hashlib.sha256).hexdigest()[:32]

    def was_ready(self, fingerprint: str) -> bool:
        """True when ``note("ready", fp=fingerprint)`` was ever written (the ten newest are remembered)."""
        return any(e.kind == "ready" and e.data.get("fp") == fingerprint for e in self._read())

    def boots(self, seconds: float = 300.0) -> int:
        """How often ``note("boot")`` was written within ``seconds`` and after the last ``ready``."""
        count = 0
        for entry in reversed(self._read()):
            if entry.kind == "ready":
                break
            if entry.kind == "boot" and self._age(entry) < seconds:
                count += 1
        return count

    def boot_wait(self, seconds: float = 300.0) -> float:
        """Seconds to sleep before this process's first dial, and count this boot: 0 after none,
        else min(2**n, 60) after n boots within ``seconds`` that never came to READY."""
        earlier = self.boots(seconds)
        self.note("boot")
        return float(min(2**earlier, 60)) if earlier else 0.0

    # --- ages --------------------------------------------------------------------------------------

    def _entry(self, kind: str, data: Mapping[str, Any] | None = None) -> Entry:
        return Entry(kind, self._clock.wall(), self._boot_id(), self._clock.monotonic(), os.getpid(), data or {})

    def _boot_id(self) -> str:
        return boot_id() if self._boot is None else self._boot

    def _age(self, entry: Entry) -> float:
        mine = self._boot_id()
        if mine and entry.boot == mine:
            return max(0.0, self._clock.monotonic() - entry.mono)
        return max(0.0, self._clock.wall() - entry.wall)

    def _ages(self, entries: Sequence[Entry], kind: str, seconds: float) -> list[float]:
        """Ages of what counts in a window, oldest first."""
        ages = (self._age(entry) for entry in entries if entry.kind == kind)
        return sorted((age for age in ages if age < seconds + MARGIN), reverse=True)

    def _spent(self, entries: Sequence[Entry], kind: str, budget: Budget, reserve: int) -> float:
        """Seconds until every window has room again; 0.0 when all have."""
        after = 0.0
        for count, seconds in budget:
            limit = max(1, int(count) - reserve)
            ages = self._ages(entries, kind, seconds)
            if len(ages) >= limit:
                # Room comes when the limit-th newest has left the window.
                after = max(after, seconds + MARGIN - ages[-limit])
        return after

    # --- the file ----------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, exclusively ours: among processes and among the threads of this one."""
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not self._current(file):
                    continue  # rewritten while we waited: this is the old file
                yield file
                return
            finally:
                os.close(file)

    def _current(self, file: int) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(file)
        return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)

    def _read(self) -> list[Entry]:
        try:
            stat = os.stat(self.path)
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._seen[0] != version:
                self._seen = (version, _parse(self.path.read_bytes()))
            return self._seen[1]
        except FileNotFoundError:
            return []

    def _load(self, file: int) -> tuple[list[Entry], bool]:
        """All entries, and whether some came from the future and are set to now."""
        entries = _parse(os.pread(file, os.fstat(file).st_size, 0))
        now, mine = self._entry(""), self._boot_id()
        future = [not (mine and e.boot == mine) and e.wall > now.wall for e in entries]
        if not any(future):
            return entries, False
        stamped = [
            replace(e, wall=now.wall, boot=now.boot, mono=now.mono) if late else e for e, late in zip(entries, future)
        ]
        return stamped, True

    def _append(self, file: int, entry: Entry) -> None:
        size = os.fstat(file).st_size
        # A line torn by a crash must not swallow the next one.
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        _write(file, (b"\n" if torn else b"") + entry.line())
        os.fsync(file)
        if size == 0:
            self._sync_directory()

    def _compact(self, file: int, entries: Sequence[Entry]) -> None:
        # Not for a handful of lines: where all is young, each booking would write everything again.
        if len(entries) >= MAX_LINES and len(self._kept(entries)) < 0.75 * len(entries):
            self._rewrite(file, _parse(os.pread(file, os.fstat(file).st_size, 0)))

    def _rewrite(self, file: int, entries: Sequence[Entry]) -> None:
        """Replace the file by what is still needed, in one step; ``file`` is the new one afterwards."""
        fresh = self.path.with_suffix(".new")
        out = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # Locked before it gets its name: whoever opens it waits until we are through.
            fcntl.flock(out, fcntl.LOCK_EX)
            _write(out, b"".join(entry.line() for entry in self._kept(entries)))
            os.fsync(out)
            os.replace(fresh, self.path)
            self._sync_directory()
            os.dup2(out, file, inheritable=False)
        finally:
            os.close(out)

    def _kept(self, entries: Sequence[Entry]) -> list[Entry]:
        """What any window needs, the salt, the fingerprints, and the newest line of every kind."""
        young: dict[str, list[int]] = {}
        for i, entry in enumerate(entries):
            if self._age(entry) < KEEP + MARGIN:
                young.setdefault(entry.kind, []).append(i)
        keep = {i for places in young.values() for i in places[-MAX_KEPT:]}
        newest = {entry.kind: i for i, entry in enumerate(entries)}
        prints = {entry.data.get("fp"): i for i, entry in enumerate(entries) if entry.kind == "ready"}
        keep.update(newest.values())
        keep.update(sorted(prints.values())[-MAX_FINGERPRINTS:])
        return [entries[i] for i in sorted(keep)]

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems sync no directories
                raise
        finally:
            os.close(directory)


def _write(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _parse(raw: bytes) -> list[Entry]:
    """The entries of a file; lines that are torn or not ours are passed over."""
    entries = []
    for line in raw.split(b"\n"):
        try:
            data = json.loads(line)
            head = (str(data.pop("kind")), float(data.pop("wall")), str(data.pop("boot")))
            entries.append(Entry(*head, float(data.pop("mono")), int(data.pop("pid")), data))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return entries


@cache
def boot_id() -> str:
    """Names this boot of the machine; "" where the system does not tell, and wall time alone decides."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        pass
    if os.uname().sysname != "Darwin":
        return ""
    # Not a subprocess: this runs in a native thread, where gevent cannot wait for children.
    name, text = b"kern.bootsessionuuid", ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(text))
    failed = ctypes.CDLL(None).sysctlbyname(name, text, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else text.value.decode("ascii", "replace")
