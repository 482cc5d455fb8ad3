"""Kernel: what we ask of the operating system about processes outside: whose they are, their size, their end.

Free of gevent. Linux does all of it. Elsewhere orphans cannot be adopted, and relations come from ``ps``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
from typing import Callable, Iterable

LINUX = sys.platform.startswith("linux")
NICE = 10
LAST = 19
SLICE = 8_000_000  # nanoseconds at a time at the processor
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # its number; few libraries have its name
_ROUNDS = 50  # of looking for processes that were born while we looked


def sees() -> bool:
    """Whether /proc is there and numbers processes as we do: a container without one of its own may have its host's,
    where our numbers are other processes."""
    try:
        return not LINUX or os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


SEES = sees()


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
        _take_long_turns()
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass


def _take_long_turns() -> None:
    """Who wants to run long at a time waits for all that want to run shortly, the gateway among them. Kept
    over fork, exec and setsid. Linux 6.12 on; those before pay no heed (struct sched_attr, sched_setattr(2))."""
    number = _SCHED_SETATTR.get(os.uname().machine)
    try:
        policy = os.sched_getscheduler(0)
    except OSError:
        return  # musl does not say
    if number is not None and policy in (os.SCHED_OTHER, os.SCHED_BATCH):
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        wish = struct.pack("=IIQiIQQQ", 48, policy, 0, nice, 0, SLICE, 0, 0)
        ctypes.CDLL(None, use_errno=True).syscall(number, 0, wish, 0)


def put_last(pids: Iterable[int]) -> None:
    """As nice as a process can be."""
    for pid in pids:
        try:
            os.setpriority(os.PRIO_PROCESS, pid, LAST)
        except OSError:
            continue  # it has ended


def threads() -> int:
    """Native threads of this process, whoever started them."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def shares_by_session() -> bool:
    """Whether each session gets the same share of the processor (autogroup, sched(7)), so that being nice
    tells only within one's own."""
    if not SEES:
        return False
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled") as file:
            enabled = file.read().strip() == "1"
        with open("/proc/self/cgroup") as file:
            return enabled and not grouped(file.read().splitlines())
    except OSError:
        return False


def grouped(lines: Iterable[str], root: str = "/sys/fs/cgroup") -> bool:
    """Whether a control group decides on our share, by the ``lines`` of /proc/self/cgroup: then sessions do
    not. A container may see its group as the root; the files that the root alone has, or lacks, tell."""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            seen = os.path.join(root, controllers)
            inner = os.path.exists(f"{seen}/cgroup.procs") and not os.path.exists(f"{seen}/cgroup.sane_behavior")
            return path != "/" or inner
        if not controllers:
            parts = path.strip("/").split("/")
            above = [os.path.join(root, *parts[:depth], "cpu.weight") for depth in range(len(parts) + 1)]
            if any(map(os.path.exists, above)):
                return True
    return False


def autogroup(pid: int) -> tuple[str, int] | None:
    """The name of the group that a process shares the processor in, and how nice that is; None: unknown.

    The root group has no name: what the first process started is there, until it begins a session. The kernel
    prints nothing for it (kernel/sched/autogroup.c, proc_sched_autogroup_show_task)."""
    try:
        with open(f"/proc/{pid}/autogroup") as file:
            name, _, nice = file.read().split() or ("", "nice", "0")
            return name, int(nice)
    except (OSError, ValueError):
        return None


def tell_autogroup(pid: int, nice: int) -> bool:
    """Whether it could be told. Raises BlockingIOError: too soon after the last time."""
    try:
        with open(f"/proc/{pid}/autogroup", "w") as file:
            file.write(str(nice))
        return True
    except BlockingIOError:
        raise
    except OSError:
        return False


def processors() -> int:
    """How many of them we may use."""
    return len(os.sched_getaffinity(0)) if LINUX else os.cpu_count() or 1


def stopped(pid: int) -> bool:
    """By a signal, or by who traces it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in b"Tt"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The living and the dead that were not awaited, one level down; none where that cannot be told."""
    if not LINUX:
        return _below_all()(pid)
    found: list[int] = []
    if not SEES:
        return found
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
            send(pid, signal.SIGSTOP)
        seen.update(fresh)
    for pid in seen:
        send(pid, signal.SIGKILL)
    return len(seen)


def send(pid: int, sign: int) -> None:
    """A signal, to a process that may have ended."""
    try:
        os.kill(pid, sign)
    except OSError:
        pass  # gone already, or somebody else's by its setuid bit


def resident_mb(pid: int) -> float:
    """Resident memory in MB; 0 where it cannot be told."""
    if not SEES:
        return 0.0
    if LINUX:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1_000_000
        except (OSError, IndexError):
            return 0.0
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10).stdout
    return int(told or 0) / 1000
