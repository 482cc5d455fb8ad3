"""What the gateway holds for those outside of it is let go, whatever ends the call that asked for it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import Any, Iterator

import gevent
import pytest
from gevent.event import Event

from hermes_green.agents.command import converse
from hermes_green.agents.pool import Pool
from hermes_green.agents.yard import Ward, Yard
from hermes_green.core.errors import AgentFailed, AgentTimeout
from tests.support.outside import Log


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(Log(), tmp_path, forks=True)
    yield yard
    yard.close()


class Held:
    """A yard that notes which zygotes are loaded; loading takes until it is ``ready``."""

    age = 0

    def __init__(self) -> None:
        self.zygotes: set[str] = set()
        self.ready = Event()

    def load(self, zygote: str, targets: Any) -> None:
        self.zygotes.add(zygote)

    def loaded(self, zygote: str, timeout: float) -> dict[str, str]:
        self.ready.wait()
        return {}

    def unload(self, zygote: str) -> None:
        self.zygotes.discard(zygote)


def open_pipes() -> int:
    """And sockets; gevent closes those of its own a round of the hub later."""
    gevent.idle()
    count = 0
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            mode = os.fstat(int(name)).st_mode
            count += stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return count


def test_a_program_whose_turn_ends_before_it_was_told_anything_leaves_no_descriptor() -> None:
    class Ready:
        def exec(self, argv: Any, label: str) -> tuple[Ward, int, int]:
            (stdin, feed), (take, stdout) = os.pipe(), os.pipe()
            os.close(stdin)
            os.close(stdout)
            return Ward(1, label), feed, take

        def kill(self, ward: Ward) -> None:
            pass

    yard: Any = Ready()
    before = open_pipes()
    with pytest.raises(AgentTimeout):
        list(converse(yard, ["program"], "said", 0))
    assert open_pipes() == before


@pytest.mark.parametrize("end", [gevent.GreenletExit(), AgentTimeout("late"), AgentFailed("stopping")])
@pytest.mark.parametrize("how", ["fork", "exec"])
def test_a_call_that_ends_while_the_warden_starts_leaves_no_descriptor(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, end: BaseException, how: str
) -> None:
    def open_() -> Any:
        raise end

    monkeypatch.setattr(yard, "_open", open_)
    before = open_pipes()
    with pytest.raises(type(end)):
        if how == "fork":
            yard.fork("zygote", "label", 0)
        else:
            yard.exec(["program"], "label")
    assert open_pipes() == before


def test_a_program_for_which_there_is_half_the_room_leaves_no_descriptor(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [os.pipe]

    def pipe() -> tuple[int, int]:
        if not left:
            raise OSError(errno.EMFILE, "too many open files")
        return left.pop()()

    before = open_pipes()
    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(AgentFailed, match="too many open files"):
        yard.exec(["program"], "label")
    assert open_pipes() == before


@pytest.mark.parametrize("end", [gevent.GreenletExit(), AgentTimeout("late"), AgentFailed("no process")])
def test_code_that_could_not_be_asked_for_is_not_loaded_later(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    def open_() -> Any:
        raise end

    monkeypatch.setattr(yard, "_open", open_)
    for number in range(3):
        with pytest.raises(type(end)):
            yard.load(f"zygote {number}", ["package:function"])
    assert not yard._zygotes and not yard._loaded


def test_a_pool_that_is_closed_while_it_loads_changed_code_keeps_none_of_it() -> None:
    yard: Any = Held()
    pool = Pool(yard, "pool", ["package:function"], Log(), workers=1, cap=0, calls=1)
    gevent.sleep(0)
    (old,) = yard.zygotes
    renewing = gevent.spawn(pool._renew, old, "changed", time.monotonic() + 60)
    gevent.sleep(0)
    assert len(yard.zygotes) == 2
    pool.close()
    yard.ready.set()
    renewing.join(10)
    assert not yard.zygotes
