"""Brood: one zygote, as its warden sees it, with the copies that are wanted of it. Free of gevent."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from typing import Any, Mapping, NoReturn, Sequence

from hermes_green.agents import frames, kernel
from hermes_green.agents.zygote import Zygote

LOAD = 60.0  # seconds for loading a user's modules once for all workers
FORK = 10.0  # seconds for one copy


class Brood:
    """Forks a zygote. ``preload``: it loads the modules of ``targets``, for all of its copies.

    Copies are made one at a time, so that the zygote and a copy of it never read the same socket;
    ``asked`` is what the one under way is for, ``waiting`` what the next ones are for, each with the
    two descriptors that go to it.
    """

    def __init__(self, name: str, targets: Sequence[str], preload: bool) -> None:
        self.name = name
        self.targets = targets
        self.loaded = False
        self.asked: Any = None
        self.waiting: deque[tuple[Any, int, int]] = deque()
        self._incoming = frames.Unpacker()
        self._until = time.monotonic() + LOAD
        self.channel, theirs = socket.socketpair()
        self.output, writable = os.pipe()
        warden = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _be_zygote(theirs, writable, warden, targets, preload)
        theirs.close()
        os.close(writable)
        self.channel.setblocking(False)

    @property
    def late(self) -> bool:
        """It should have loaded or copied itself by now."""
        return (not self.loaded or self.asked is not None) and time.monotonic() > self._until

    def hear(self) -> list[dict[str, Any]] | None:
        """What it tells; None: it is gone."""
        try:
            data, _ = frames.receive(self.channel)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._incoming.feed(data)
        return list(self._incoming)

    def ask(self) -> None:
        """Begin the next copy, if one is wanted and may be made."""
        if not (self.waiting and self.loaded and self.asked is None):
            return
        self.asked, *descriptors = self.waiting.popleft()
        self._until = time.monotonic() + FORK
        self.say({"fork": True}, tuple(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)

    def say(self, frame: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Tell it something; one that does not listen is ended, and seen to have ended."""
        try:
            frames.send(self.channel, frame, descriptors)
        except OSError:
            kernel.fell([self.pid])

    def noted(self) -> None:
        """Let the process between go; one byte, so that it reads nothing that is for the zygote."""
        try:
            self.channel.send(b"!")
        except OSError:
            kernel.fell([self.pid])

    def abandon(self) -> list[Any]:
        """Nobody is copied any more; for whom copies were wanted."""
        left = [self.asked] if self.asked is not None else []
        for who, *descriptors in self.waiting:
            left.append(who)
            for descriptor in descriptors:
                os.close(descriptor)
        self.asked = None
        self.waiting.clear()
        return left


def _be_zygote(channel: socket.socket, output: int, warden: int, targets: Sequence[str], preload: bool) -> NoReturn:
    """The child's side of a fork."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        kept = os.dup2(channel.detach(), 3, inheritable=False)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.setsid()  # so that what agents use up is not taken from the gateway's share; `Sessions` makes it smaller
        kernel.die_with_parent()
        kernel.be_humble()
        if os.getppid() == warden:
            Zygote(socket.socket(fileno=kept), warden, targets, preload).run()
    finally:
        os._exit(1)
