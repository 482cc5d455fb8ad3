"""Sessions below us come last, where the processor is shared by session; a kernel of lists stands for the real one."""

from __future__ import annotations

import errno
import io
import os
import signal
from typing import Any, Iterator

import pytest

from hermes_green.agents import kernel, sessions
from hermes_green.agents.sessions import AGENTS, LAST, Sessions

US = 1  # our session, and the first process of it


class Kernel:
    """``sessions``: pid -> session; ``words``: so many may be said, None: as many as one likes."""

    def __init__(self) -> None:
        self.sessions = {US: US}
        self.groups: dict[int, str] = {}
        self.nice: dict[str, int] = {}
        self.words: int | None = None
        self.stopped: set[int] = set()
        self.ours = "autogroup-us"
        self.now = 0.0

    def begin_in_the_root_group(self) -> None:
        """As a process does that the first one started, and that has begun no session."""
        self.ours = ""

    def add(self, session: int, *others: int) -> None:
        for pid in (session, *others):
            self.sessions[pid] = session
        self.groups[session] = f"autogroup-{session}"

    def autogroup(self, pid: int) -> tuple[str, int] | None:
        name = self.groups.get(self.sessions.get(pid, 0), self.ours)
        return (name, self.nice.get(name, 0)) if pid in self.sessions else None

    def tell(self, pid: int, nice: int) -> bool:
        if self.words == 0:
            raise BlockingIOError
        if self.words:
            self.words -= 1
        name = self.autogroup(pid)[0]
        assert name not in ("", "autogroup-us"), "nobody speaks for us"
        self.nice[name] = nice
        return True

    def session(self, pid: int) -> int:
        try:
            return self.sessions[pid or US]
        except KeyError:
            raise ProcessLookupError from None

    def send(self, pid: int, sign: int) -> None:
        assert sign in (signal.SIGSTOP, signal.SIGCONT)
        (self.stopped.add if sign == signal.SIGSTOP else self.stopped.discard)(pid)

    def told(self) -> dict[str, int]:
        return dict(self.nice)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    world = Kernel()
    monkeypatch.setattr(kernel, "shares_by_session", lambda: True)
    monkeypatch.setattr(kernel, "autogroup", lambda pid: world.autogroup(US if pid == os.getpid() else pid))
    monkeypatch.setattr(kernel, "tell_autogroup", world.tell)
    monkeypatch.setattr(kernel, "stopped", lambda pid: pid in world.stopped)
    monkeypatch.setattr(kernel, "send", world.send)
    monkeypatch.setattr(kernel, "processors", lambda: 2)
    monkeypatch.setattr(sessions, "_session", world.session)
    monkeypatch.setattr(sessions, "_now", lambda: world.now)
    yield world


def test_each_session_below_is_told_once_and_ours_never(world: Kernel) -> None:
    shares = Sessions()
    for session in (10, 20, 30, 40):
        world.add(session, session + 1)
    world.sessions[2] = US
    below = [2, 10, 11, 20, 21, 30, 31, 40, 41]
    shares.humble([], below)
    assert world.told() == {f"autogroup-{n}": LAST for n in (10, 20, 30, 40)}
    assert not shares.waiting and not world.stopped
    world.words = 0
    shares.humble([], below)
    assert not shares.waiting, "they have been told"


def test_the_agents_own_session_is_told_less_and_first(world: Kernel) -> None:
    shares = Sessions()
    world.add(10, 11)
    world.add(20)
    world.words = 1
    shares.humble([10], [11, 20])
    assert world.told() == {"autogroup-10": AGENTS}
    world.words = None
    shares.humble([10], [11, 20])
    assert world.told() == {"autogroup-10": AGENTS, "autogroup-20": LAST}


def test_a_process_whose_session_is_new_and_whose_group_is_still_ours_is_not_spoken_for(world: Kernel) -> None:
    shares = Sessions()
    world.sessions[10] = 10  # between the two steps of setsid
    shares.humble([], [10])
    assert not world.told()
    world.add(10)
    shares.humble([], [10])
    assert world.told() == {"autogroup-10": LAST}


def test_who_began_without_a_session_tells_all_that_begin_one(world: Kernel) -> None:
    world.begin_in_the_root_group()
    shares = Sessions()
    world.add(10, 11)
    world.add(20)
    world.sessions |= {2: US, 30: 30}  # the last between the two steps of setsid
    shares.humble([10], [2, 11, 20, 30])
    assert world.told() == {"autogroup-10": AGENTS, "autogroup-20": LAST}
    assert not shares.waiting


@pytest.mark.parametrize("nice", [0, AGENTS])
def test_the_root_group_is_never_spoken_for(world: Kernel, nice: int) -> None:
    """The kernel takes no word for it, and each that is tried costs the others a turn."""
    shares = Sessions()
    world.sessions[10] = 10
    world.groups[10] = ""
    world.nice[""] = nice
    shares.humble([], [10])
    assert world.told() == {"": nice} and not shares.waiting


@pytest.mark.parametrize(
    "said, understood",
    [
        ("/autogroup-25 nice 0\n", ("/autogroup-25", 0)),
        ("/autogroup-25 nice -5\n", ("/autogroup-25", -5)),
        ("", ("", 0)),  # the root group, which has no name (kernel/sched/autogroup.c, proc_sched_autogroup_show_task)
        ("disabled", None),
        ("a nice b", None),
    ],
)
def test_what_the_kernel_says_about_a_group(monkeypatch, said: str, understood: tuple[str, int] | None) -> None:
    monkeypatch.setattr(kernel, "open", lambda name: io.StringIO(said), raising=False)
    assert kernel.autogroup(7) == understood


def test_one_that_takes_a_larger_share_again_is_told_again(world: Kernel) -> None:
    shares = Sessions()
    world.add(10)
    shares.humble([], [10])
    world.nice["autogroup-10"] = 0
    shares.humble([], [10])
    assert world.told() == {"autogroup-10": LAST}


def test_of_many_that_the_kernel_does_not_let_us_tell_as_many_run_as_there_are_processors(world: Kernel) -> None:
    shares = Sessions()
    below = []
    for session in range(10, 60, 10):
        world.add(session, session + 1)
        below += [session, session + 1]
    world.words = 0
    shares.humble([], below)
    assert shares.waiting and world.stopped == {30, 31, 40, 41, 50, 51}
    for told in (2, 1):
        world.words = told
        world.now += 0.1
        shares.humble([], list(reversed(below)))
    assert world.told() == {f"autogroup-{n}": LAST for n in (10, 20, 30)}, "who waits longest is told first"
    assert not world.stopped
    world.words = None
    shares.humble([], below)
    assert not shares.waiting


def test_where_the_kernel_takes_no_word_nobody_is_stopped_and_nobody_waits(world: Kernel, monkeypatch) -> None:
    shares = Sessions()
    for session in (10, 20, 30, 40):
        world.add(session)
    monkeypatch.setattr(kernel, "tell_autogroup", lambda pid, nice: False)  # a sandbox has /proc for reading alone
    shares.humble([], [10, 20, 30, 40])
    assert not shares.waiting and not world.stopped and not world.told()


def test_the_agents_session_is_never_stopped(world: Kernel) -> None:
    shares = Sessions()
    for session in (10, 20, 30, 40, 50):
        world.add(session)
    world.words = 0
    world.add(60, 61)  # its zygote has ended
    del world.sessions[60]
    shares.humble([40, 50, 61], [10, 20, 30, 61])
    assert world.stopped == {30}
    world.words = 3
    shares.humble([40, 50, 61], [10, 20, 30, 61])
    assert world.told() == {f"autogroup-{n}": AGENTS for n in (40, 50, 60)}


def test_who_was_stopped_by_somebody_else_stays_so(world: Kernel) -> None:
    shares = Sessions()
    for session in (10, 20, 30, 40):
        world.add(session)
    world.stopped.add(40)
    world.words = 0
    shares.humble([], [10, 20, 30, 40])
    world.words = None
    shares.humble([], [10, 20, 30, 40])
    assert world.stopped == {40} and len(world.told()) == 4


def test_nobody_stays_stopped_where_the_kernel_takes_no_word_at_all(world: Kernel) -> None:
    shares = Sessions()
    for session in (10, 20, 30, 40):
        world.add(session)
    world.words = 0
    for _ in range(40):
        shares.humble([], [10, 20, 30, 40])
        world.now += 0.1
    assert not world.stopped


def test_what_has_ended_is_not_waited_for(world: Kernel) -> None:
    shares = Sessions()
    world.add(10)
    world.words = 0
    shares.humble([], [10, 11])
    assert shares.waiting
    del world.sessions[10]
    shares.humble([], [10])
    assert not shares.waiting


def test_nothing_is_done_where_a_control_group_or_nobody_decides_on_shares(world: Kernel, monkeypatch) -> None:
    monkeypatch.setattr(kernel, "shares_by_session", lambda: False)
    shares = Sessions()
    world.add(10)
    shares.humble([], [10])
    assert not world.told() and not shares.waiting


@pytest.mark.parametrize(
    "line, files, grouped",
    [
        ("0::/", [], False),
        ("0::/user.slice/session-1.scope", ["user.slice/memory.max"], False),
        ("0::/user.slice/session-1.scope", ["user.slice/cpu.weight"], True),
        ("0::/system.slice/x.service", ["system.slice/x.service/cpu.weight"], True),
        ("0::/", ["cpu.weight"], True),  # a container that sees itself as the root
        ("1:cpu,cpuacct:/", ["cpu,cpuacct/cgroup.procs", "cpu,cpuacct/cgroup.sane_behavior"], False),
        ("1:cpu,cpuacct:/", ["cpu,cpuacct/cgroup.procs"], True),
        ("1:cpu,cpuacct:/", [], False),
        ("2:cpu:/docker/1", [], True),
    ],
)
def test_whether_a_control_group_decides(tmp_path, line: str, files: list[str], grouped: bool) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert kernel.grouped(["5:memory:/a", line], str(tmp_path)) is grouped


def test_where_the_library_does_not_know_how_processes_are_scheduled_they_begin_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")  # musl: always

    written: list[str] = []

    def opened(name: str, mode: str) -> Any:
        written.append(name)
        return io.StringIO()

    monkeypatch.setattr(kernel, "LINUX", True)
    monkeypatch.setattr(kernel, "open", opened, raising=False)
    monkeypatch.setattr(os, "nice", lambda more: more)
    monkeypatch.setattr(os, "sched_getscheduler", unknown, raising=False)
    kernel.be_humble()
    assert written == ["/proc/self/oom_score_adj"]
