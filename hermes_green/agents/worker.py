"""Worker: a process outside of the gateway in which a user's Python code runs, one call at a time.

Free of gevent. Forked by the zygote, or, where forking is not safe, started as a program of its own
whose standard input is the socket. Whatever happens to it is one failed turn.
"""

from __future__ import annotations

import faulthandler
import inspect
import io
import os
import select
import socket
import sys
import traceback
from typing import Any, Awaitable, Iterator, Mapping, NoReturn

from hermes_green.agents import calling, frames, kernel
from hermes_green.agents.sources import Sources
from hermes_green.core.model import Delta

_CHUNK = 32_768  # characters of text in one frame
_WATCH = 1.0  # seconds between two looks at what threads of an earlier call start


class _Unheard(BaseException):
    """The gateway does not listen any more."""


class Worker:
    """Takes calls from ``sock`` until its other end is closed."""

    def __init__(self, sock: socket.socket, sources: Sources) -> None:
        self._sock = sock
        self._sources = sources
        self._incoming = frames.Unpacker()

    def run(self) -> NoReturn:
        """Ends the process."""
        try:
            for frame in self._calls():
                self._one(frame)
        except _Unheard:
            pass
        os._exit(0)

    def _calls(self) -> Iterator[dict[str, Any]]:
        while True:
            yield from self._incoming
            self._idle()
            try:
                data, _ = frames.receive(self._sock)
            except OSError:
                return
            if not data:
                return
            self._incoming.feed(data)

    def _idle(self) -> None:
        """Wait for the next call. Threads that outlived one may start processes: those end us, and
        with us all of them."""
        while kernel.threads() > 1 and not select.select([self._sock], [], [], _WATCH)[0]:
            if has_children():
                print("a thread that outlived its turn has started a process: both end", file=sys.stderr, flush=True)
                os._exit(1)

    def _one(self, frame: Mapping[str, Any]) -> None:
        changed = self._sources.changed()
        if changed and changed != frame.get("accept"):
            self._tell({"stale": changed})
            return
        error = ""
        try:
            self._call(frame)
        except _Unheard:
            raise
        except BaseException as failure:  # border: foreign code may raise anything, SystemExit included
            error = calling.sentence(failure)
            if not isinstance(failure, calling.BadTarget):
                traceback.print_exc()
        self._sources.look()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # foreign code may have closed it
        end = {"left": has_children()}
        self._tell({"error": error, **end} if error else {"end": True, **end})

    def _call(self, frame: Mapping[str, Any]) -> None:
        fn = calling.resolve(frame["target"])
        if frame["kind"] == "hook":
            answer = fn(frame["event"], frame["context"])
            if inspect.isawaitable(answer):
                answer = _awaited(answer)
            if answer is not None:
                self._tell({"answer": answer})
            return
        for delta in calling.deltas(fn(frames.turn_in(frame["turn"]))):
            self._pass_on(delta)

    def _pass_on(self, delta: Delta) -> None:
        text = delta.text
        if not isinstance(text, str):
            raise TypeError(f"the text of a Delta was {type(text).__name__}: only str is wanted")
        while len(text) > _CHUNK:
            self._tell({"text": text[:_CHUNK]})
            text = text[_CHUNK:]
        plain = frames.delta_out(delta)
        if text or len(plain) > ("text" in plain):
            self._tell({**plain, "text": text})

    def _tell(self, frame: Mapping[str, Any]) -> None:
        data = frames.pack(frame)
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise _Unheard from error


def _awaited(answer: Awaitable[Any]) -> Any:
    """What an async hook gives; its loop ends with it."""
    import asyncio  # only here, so that workers without such hooks stay small

    async def whole() -> Any:
        return await answer

    return asyncio.run(whole())


def has_children() -> bool:
    """Whether anything that was started here lives; the dead are awaited."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def be_worker(descriptor: int, sources: Sources) -> NoReturn:
    """Turn this process into a worker that is spoken to over ``descriptor``."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(True)  # the gateway's end is not, and both are one pair
    os.set_inheritable(descriptor, False)
    faulthandler.enable(file=2, all_threads=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else foreign code has put something else there
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    Worker(sock, sources).run()


def main() -> NoReturn:
    """A worker that was started as a program."""
    kernel.adopt_orphans()
    descriptor = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    calling.look_here()
    be_worker(descriptor, Sources())


if __name__ == "__main__":
    main()
