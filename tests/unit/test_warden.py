"""The warden's loop: what becomes readable together is read as if it had come one after the other."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hermes_green.agents.warden import Warden


class Control:
    """Stands for the gateway's socket: nothing comes."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()

    def fileno(self) -> int:
        return self.reads

    def setblocking(self, blocks: bool) -> None:
        pass

    def send(self, data: bytes) -> int:
        return len(data)


def test_what_was_closed_by_what_came_before_it_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    control: Any = Control()
    warden = Warden(control, os.getppid())
    for name in ("_mind_signals", "_reap", "_look", "_end_all"):
        monkeypatch.setattr(warden, name, lambda: None)
    outputs = [os.pipe(), os.pipe()]
    for reads, writes in outputs:
        warden._listen(reads, "zygote", None)
        os.write(writes, b"both print at once\n")
    read: list[int] = []

    def heard(descriptor: int) -> None:
        """As an order to unload does, which comes together with what its zygote prints."""
        read.append(descriptor)
        warden._over = True
        warden._unlisten(next(each for each, _ in outputs if each != descriptor))

    monkeypatch.setattr(warden, "_read", heard)
    warden.run()
    for descriptor in (read[0], *(writes for _, writes in outputs), control.reads, control.writes):
        os.close(descriptor)
    assert len(read) == 1


def test_a_warden_that_fails_ends_all_below_it_before_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has adopted would outlive it: only its own children end with it."""
    control: Any = Control()
    warden = Warden(control, os.getppid())
    ended: list[str] = []

    def failing() -> None:
        raise OSError("no process can be forked")

    monkeypatch.setattr(warden, "_mind_signals", lambda: None)
    monkeypatch.setattr(warden, "_due", 0.0)
    monkeypatch.setattr(warden, "_reap", failing)
    monkeypatch.setattr(warden, "_end_all", lambda: ended.append("all"))
    os.write(control.writes, b"!")
    monkeypatch.setattr(warden, "_hear", lambda mask: None)
    with pytest.raises(OSError, match="forked"):
        warden.run()
    for descriptor in (control.reads, control.writes):
        os.close(descriptor)
    assert ended == ["all"]
