"""Zygote: a process that has loaded a user's modules once, and is copied whenever a worker is wanted.

Free of gevent, forked by the warden, which it speaks to over one socket. A copy is made by way of a
process between, so that it becomes the warden's own child: only a parent learns how a process ended.
"""

from __future__ import annotations

import gc
import os
import socket
import time
from typing import Mapping, NoReturn, Sequence

from hermes_green.agents import calling, frames, kernel, worker
from hermes_green.agents.sources import Sources

_HANDED_OVER = 5.0  # seconds until the warden must be a worker's parent


class Zygote:
    """``preload``: modules are loaded here; otherwise each worker loads them, and fails alone."""

    def __init__(self, channel: socket.socket, warden: int, targets: Sequence[str], preload: bool) -> None:
        self._channel = channel
        self._warden = warden
        self._targets = targets if preload else ()
        self._sources = Sources()

    def run(self) -> NoReturn:
        """Ends the process, with the warden at the latest."""
        begun = time.monotonic()
        calling.look_here()
        errors = self._load()
        gc.collect()
        gc.freeze()
        loaded = {"errors": errors, "seconds": time.monotonic() - begun, "threads": kernel.threads() - 1}
        frames.send(self._channel, {"loaded": loaded})
        incoming = frames.Unpacker()
        while True:
            data, descriptors = frames.receive(self._channel)
            if not data:
                os._exit(0)
            incoming.feed(data, descriptors)
            for _ in incoming:
                self._fork(incoming.descriptors.popleft(), incoming.descriptors.popleft())

    def _load(self) -> Mapping[str, str]:
        errors: dict[str, str] = {}
        for target in self._targets:
            try:
                calling.resolve(target)
            except BaseException as error:  # border: foreign code; its workers will say so to their turns
                errors[target] = calling.sentence(error)
        self._sources.look()
        return errors

    def _fork(self, sock: int, output: int) -> None:
        try:
            between = os.fork()
        except OSError as error:
            frames.send(self._channel, {"forked": 0, "error": f"no process can be forked: {error.strerror}"})
        else:
            if between == 0:
                self._between(sock, output)
            os.waitpid(between, 0)
        os.close(sock)
        os.close(output)

    def _between(self, sock: int, output: int) -> NoReturn:
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(sock, output)
            frames.send(self._channel, {"forked": pid})
            self._channel.recv(1)  # the warden has taken note: the worker may become its child
        except OSError as error:
            frames.send(self._channel, {"forked": 0, "error": f"no process can be forked: {error.strerror}"})
        finally:
            os._exit(0)

    def _become_worker(self, sock: int, output: int) -> NoReturn:
        try:
            self._channel.close()
            for number in (1, 2):
                os.dup2(output, number)
            os.close(output)
            os.setpgid(0, 0)
            kernel.adopt_orphans()
            until = time.monotonic() + _HANDED_OVER
            while os.getppid() != self._warden:
                if time.monotonic() > until:
                    os._exit(1)
                time.sleep(0.0002)
            kernel.die_with_parent()
            if os.getppid() == self._warden:
                worker.be_worker(sock, self._sources)
        finally:
            os._exit(1)
