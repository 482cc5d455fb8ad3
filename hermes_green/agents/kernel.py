"""Kernel: what we ask of the operating system about processes outside: whose they are, their size, their end.

Free of gevent. Linux does all of it. Elsewhere orphans cannot be adopted, and relations come from ``ps``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from typing import Callable, Iterable

LINUX = sys.platform.startswith("linux")
NICE = 10
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 50  # of looking for processes that were born while we looked


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def die_with_parent(sign: int = signal.SIGKILL) -> None:
    """The kernel sends us ``sign`` when the process that started us ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, sign)


def adopt_orphans() -> None:
    """Whoever is left by a process below us becomes our child, also after setsid; kept over exec."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def be_humble() -> None:
    """Let everything else run first, and let the kernel take us first when memory runs out."""
    try:
        os.nice(NICE)
    except OSError:
        pass
    if LINUX:
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass


def threads() -> int:
    """Native threads of this process, whoever started them."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


class Sessions:
    """Where Linux shares the processor by session (autogroup), being nice is no use to a process that
    begins one of its own: the session itself must be told. Asking too often is refused, and done again."""

    def __init__(self) -> None:
        try:
            with open("/proc/sys/kernel/sched_autogroup_enabled") as file:
                self._shared = file.read().strip() == "1"
        except OSError:
            self._shared = False
        self._told = {os.getsid(0)}

    def humble(self, pids: Iterable[int]) -> None:
        """Let the sessions of these processes come last, ours excepted."""
        for pid in pids if self._shared else ():
            try:
                session = os.getsid(pid)
                if session not in self._told:
                    with open(f"/proc/{pid}/autogroup", "w") as file:
                        file.write("19")
                    self._told.add(session)
            except BlockingIOError:
                return
            except OSError:
                continue  # it has ended


def children(pid: int) -> list[int]:
    """The living and the dead that were not awaited, one level down."""
    if not LINUX:
        return _below_all()(pid)
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(map(int, file.read().split()))
    except FileNotFoundError:
        if os.path.exists(f"/proc/{pid}/task") and not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
            return _scanned(pid)  # a kernel without CONFIG_PROC_CHILDREN
    except OSError:
        pass
    return found


def _scanned(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
        except (ValueError, OSError):
            continue
    return found


def _below_all() -> Callable[[int], list[int]]:
    """One look at all processes; what it gives tells who is below whom."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=10).stdout
    below: dict[int, list[int]] = {}
    for line in listing.splitlines():
        pid, parent = map(int, line.split())
        below.setdefault(parent, []).append(pid)
    return lambda pid: below.get(pid, [])


def family(roots: Iterable[int]) -> list[int]:
    """The roots and all below them."""
    below = children if LINUX else _below_all()
    found = dict.fromkeys(roots)
    waiting = list(found)
    while waiting:
        fresh = [child for child in below(waiting.pop()) if child not in found]
        found.update(dict.fromkeys(fresh))
        waiting.extend(fresh)
    return list(found)


def fell(roots: Iterable[int]) -> int:
    """Kill processes with all below them; they are stopped first, so that none is born meanwhile. How
    many there were. Their parents, or those who adopt them, await them."""
    wanted = list(roots)
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = [pid for pid in family(wanted) if pid not in seen]
        if not fresh:
            break
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        seen.update(fresh)
    for pid in seen:
        _signal(pid, signal.SIGKILL)
    return len(seen)


def _signal(pid: int, sign: int) -> None:
    try:
        os.kill(pid, sign)
    except OSError:
        pass  # gone already, or somebody else's by its setuid bit


def resident_mb(pid: int) -> float:
    """Resident memory in MB; 0 where it cannot be told."""
    if LINUX:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1_000_000
        except (OSError, IndexError):
            return 0.0
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10).stdout
    return int(told or 0) / 1000
