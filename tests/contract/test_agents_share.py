"""What runs outside of the gateway comes last at the processor, whatever it does to its processes."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Iterator

import gevent
import pytest

from hermes_green.agents import kernel, registry
from hermes_green.agents.sessions import AGENTS
from hermes_green.agents.warden import CROWD, SOON, Warden
from hermes_green.agents.yard import Yard
from hermes_green.core.ports import Agent
from hermes_green.settings.schema import PythonAgent
from tests.support.outside import Log, processes, said, turn
from tests.support.stage import until

linux = sys.platform.startswith("linux")
# Seconds. Who may not administer the system tells one session in 100 ms, and shares these turns with all wardens
# of the machine: beside other tests, 8 sessions took 12 s.
LONG = 90


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    yard = Yard(Log(), tmp_path)
    options = PythonAgent(type="python", target="tests.support.hostile:answer", timeout=300, workers=2)
    made = registry.create(options, Log(), yard)
    yield made
    made.close()
    yard.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def niceness(pid: int) -> int | None:
    """Of the session's share of the processor; None: the kernel does not say."""
    group = kernel.autogroup(pid)
    return group and group[1]


def slices(pid: int) -> int:
    """Nanoseconds that a process wants at a time; 0 where the kernel does not say."""
    numbers = {"x86_64": 315, "aarch64": 275}
    found = ctypes.create_string_buffer(48)
    if os.uname().machine in numbers:
        ctypes.CDLL(None).syscall(numbers[os.uname().machine], pid, found, 48, 0)
    return struct.unpack("=IIQiIQQQ", found.raw)[5]


def heard() -> bool:
    """Whether sessions share the processor, and we may say how nice one is: a sandbox may have /proc for reading."""
    if not kernel.shares_by_session():
        return False
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        try:
            with suppress(AssertionError):  # others may never leave us a turn
                until(lambda: spoken(process.pid), LONG)
            return niceness(process.pid) == kernel.LAST
        finally:
            process.kill()


def spoken(pid: int) -> bool:
    try:
        kernel.tell_autogroup(pid, kernel.LAST)
    except BlockingIOError:
        return False
    return True


def test_sessions_of_their_own_come_last_and_ours_does_not(agent: Agent) -> None:
    mark = uuid.uuid4().hex
    before = kernel.autogroup(os.getpid())
    may_tell = heard()
    job = gevent.spawn(lambda: said(agent.run(turn(f"spinners 8 {mark} 250"))))
    until(lambda: len(processes(mark)) == 8, LONG)
    pids = processes(mark)
    try:
        if may_tell:
            with suppress(AssertionError):
                until(lambda: {niceness(pid) for pid in pids} == {kernel.LAST}, LONG)
            assert {pid: niceness(pid) for pid in pids} == dict.fromkeys(pids, kernel.LAST), "all are told"
        until(lambda: not {"T", "t"} & set(map(state, pids)), LONG, "nobody stays stopped")
        if may_tell:
            worker = os.getsid(int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1]))
            assert worker not in (os.getsid(0), *map(os.getsid, pids))
            assert niceness(worker) == AGENTS
        assert kernel.autogroup(os.getpid()) == before
        assert not linux or {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids} == {kernel.NICE}
    finally:
        job.kill()


def test_long_turns_at_the_processor_are_asked_for_and_inherited(agent: Agent) -> None:
    mark = uuid.uuid4().hex
    job = gevent.spawn(lambda: said(agent.run(turn(f"spinners 1 {mark} 250"))))
    until(lambda: processes(mark), LONG)
    (pid,) = processes(mark)
    try:
        assert slices(pid) in (0, kernel.SLICE) and slices(0) != kernel.SLICE
        assert slices(pid) == kernel.SLICE or not slices(0), "where the kernel says how long, it is as we asked"
    finally:
        job.kill()


def test_those_who_are_many_come_last_of_all(agent: Agent) -> None:
    mark = uuid.uuid4().hex
    job = gevent.spawn(lambda: said(agent.run(turn(f"brood {CROWD + 2} {mark}"))))
    until(lambda: len(processes(mark)) == CROWD + 2, LONG)
    try:
        nice = lambda: {os.getpriority(os.PRIO_PROCESS, pid) for pid in processes(mark)}  # noqa: E731
        until(lambda: nice() == {kernel.LAST}, LONG)
        assert said(agent.run(turn("x"))) == "echo: x"
    finally:
        job.kill()


def test_a_warden_that_is_kept_waiting_while_it_looks_does_not_look_more_rarely(monkeypatch) -> None:
    ours, theirs = socket.socketpair()
    warden = Warden(ours, os.getpid())
    monkeypatch.setattr(warden, "_see", lambda: time.sleep(0.2) or SOON)
    warden._look()
    assert not linux or warden._due - time.monotonic() < 1
    ours.close()
    theirs.close()
