"""Pool: worker processes for one agent or for the hooks: lent for a call, replaced when they are spent.

A call that fails, is cancelled, takes too long or leaves processes behind costs its worker; nothing else
notices. Changed files of the user's are seen before a call, and answered by workers with the new code.
"""

from __future__ import annotations

import itertools
import time
from typing import Any, Generator, Iterator, Mapping, Sequence

import gevent
from gevent import socket
from gevent.lock import BoundedSemaphore

from hermes_green.agents import frames
from hermes_green.agents.yard import Ward, Yard
from hermes_green.core.errors import AgentFailed, AgentTimeout
from hermes_green.link.fair import Fair

TOLD = 1.0  # seconds for the warden to say how a worker ended, once its socket has
FRAME = 4 * 1024 * 1024  # bytes of one frame of a worker's: to parse more at once would hold up every link
_numbers = itertools.count(1)
_SIGNALS = {4: "illegal instruction", 6: "abort", 7: "bus error", 8: "arithmetic error", 11: "segmentation fault"}


class Pool:
    """``targets``: callables that workers are asked for. ``cap``: MB of memory that end a worker (0:
    none). ``calls``: how many a worker serves. ``label`` names all this in the log."""

    def __init__(
        self, yard: Yard, label: str, targets: Sequence[str], log: Any, *, workers: int, cap: float, calls: int
    ) -> None:
        self._yard = yard
        self._label = label
        self._targets = tuple(targets)
        self._log = log
        self._workers = workers
        self._cap = cap
        self._most = calls
        self._room = BoundedSemaphore(workers)
        self._renewing = BoundedSemaphore(1)
        self._idle: list[_Worker] = []
        self._zygote = ""
        self._accept = ""
        self._age = yard.age
        self._closed = False
        self._beginning = gevent.spawn(self._begin)
        self._beginning.name = f"begin-{label}"

    def call(self, ask: Mapping[str, Any], seconds: float) -> Iterator[Mapping[str, Any]]:
        """What a worker answers, frame by frame; it must end within ``seconds``, waiting included.

        Raises:
            AgentTimeout: no worker was free, or it was not done in time.
            AgentFailed: the callable raised, or its process ended.
        """
        until = time.monotonic() + seconds
        late = AgentTimeout(f"no complete answer in {seconds:g} s")
        if not self._room.acquire(timeout=seconds):
            raise AgentTimeout(f"all {self._workers} workers were busy for {seconds:g} s")
        try:
            worker = self._take(until, late)
            while (changed := (yield from self._ask(worker, ask, until, late))) is not None:
                self._renew(worker.zygote, changed, until)
                worker = self._take(until, late)
        finally:
            self._room.release()

    def close(self) -> None:
        """End what is idle, and let what is busy end with its call."""
        self._closed = True
        self._beginning.kill(block=False)
        self._shed()
        if self._zygote:
            self._yard.unload(self._zygote)

    # --- one worker ---

    def _ask(
        self, worker: _Worker, ask: Mapping[str, Any], until: float, late: AgentTimeout
    ) -> Generator[Mapping[str, Any], None, str | None]:
        """Its answer; returns a word for the change when its files have changed, and it did nothing."""
        fit = False
        try:
            for frame in worker.ask({**ask, "accept": self._accept}, until, late):
                if "stale" in frame:
                    fit = True
                    return str(frame["stale"])
                if "error" in frame or "end" in frame:
                    fit = not frame["left"]
                    if "error" in frame:
                        raise AgentFailed(frame["error"], code="raised")
                    return None
                yield frame
            return None
        finally:
            self._give_back(worker, fit)

    def _take(self, until: float, late: AgentTimeout) -> _Worker:
        self._begun(until, late)
        if self._age != self._yard.age:
            self._age = self._yard.age
            self._renew(self._zygote, f"asked {self._age}", until)
        while self._idle:
            worker = self._idle.pop()
            if not worker.ward.gone.is_set():
                return worker
            worker.sock.close()
        ward, sock = self._yard.fork(self._zygote, self._label, self._cap)
        return _Worker(ward, sock, self._zygote)

    def _give_back(self, worker: _Worker, fit: bool) -> None:
        worker.calls += 1
        if fit and not self._closed and worker.calls < self._most and worker.zygote == self._zygote:
            self._idle.append(worker)
        else:
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        self._yard.kill(worker.ward)
        worker.sock.close()

    def _shed(self) -> None:
        while self._idle:
            self._end(self._idle.pop())

    # --- the user's code ---

    def _begin(self) -> None:
        """Load the code ahead of the first call."""
        try:
            with self._renewing:
                if not self._zygote:
                    zygote = f"{self._label} {next(_numbers)}"
                    self._yard.load(zygote, self._targets)
                    if self._closed:
                        self._yard.unload(zygote)
                    else:
                        self._zygote = zygote
        except AgentFailed as error:
            self._log.error("{}: {}", self._label, error)

    def _begun(self, until: float, late: AgentTimeout) -> None:
        if self._closed:
            raise AgentFailed("the agent was replaced")
        with gevent.Timeout(max(0.001, until - time.monotonic()), late):
            self._begin()
        if not self._zygote:
            raise AgentFailed("no process can be started")

    def _renew(self, zygote: str, changed: str, until: float) -> None:
        """Load the code anew after a change; if it cannot be loaded, the old one goes on."""
        with self._renewing:
            if zygote != self._zygote or changed == self._accept:
                return  # somebody else has
            fresh = f"{self._label} {next(_numbers)}"
            self._yard.load(fresh, self._targets)
            try:
                errors = self._yard.loaded(fresh, until - time.monotonic())
            except BaseException:
                self._yard.unload(fresh)
                raise
            if self._closed:
                self._yard.unload(fresh)
                raise AgentFailed("the agent was replaced")
            # What could not be loaded before either is no reason to keep it.
            if errors is None or (errors and not self._yard.loaded(zygote, 0.0)):
                self._yard.unload(fresh)
                self._accept = changed
                self._log.error("{}: it goes on with what was loaded before", self._label)
                return
            self._log.info("{}: loaded anew", self._label)
            self._zygote, self._accept = fresh, ""
            self._shed()
            self._yard.unload(zygote)


class _Worker:
    """Our side of one worker process."""

    def __init__(self, ward: Ward, sock: socket.socket, zygote: str) -> None:
        self.ward = ward
        self.sock = sock
        self.zygote = zygote
        self.calls = 0

    def ask(self, ask: Mapping[str, Any], until: float, late: AgentTimeout) -> Iterator[dict[str, Any]]:
        """Its frames. Raises ``late``, and AgentFailed when the process ended."""
        incoming, fair = frames.Unpacker(FRAME), Fair()
        try:
            self._hurry(until, late)
            self.sock.sendall(frames.pack(ask))
            while True:
                self._hurry(until, late)
                before = time.monotonic()
                data = self.sock.recv(16_384)
                fair.rested(before)
                if not data:
                    raise AgentFailed(self._epitaph(), code="ended")
                incoming.feed(data)
                for frame in incoming:
                    yield frame
                    fair.breathe()
        except TimeoutError:
            raise late from None
        except frames.BadFrames as error:
            raise AgentFailed(f"its process wrote into the gateway's socket: {error}", code="ended") from None
        except OSError:
            raise AgentFailed(self._epitaph(), code="ended") from None

    def _hurry(self, until: float, late: AgentTimeout) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise late
        self.sock.settimeout(left)

    def _epitaph(self) -> str:
        """How the process ended, as far as anybody knows."""
        self.ward.gone.wait(TOLD)
        return epitaph(self.ward.why)


def epitaph(why: Mapping[str, Any]) -> str:
    """How a process ended, in one sentence."""
    if "memory" in why:
        return f"its process was ended at {why['memory']:.0f} MB of memory; it may have {why['cap']:.0f}"
    if "processes" in why:
        return f"its process was ended when it had {why['processes']} processes; it may have {why['cap']}"
    if "start" in why:
        return f"its process could not be started: {why['start']}"
    if why.get("signal") == 9:
        return "its process was killed (signal 9), perhaps because the system ran out of memory"
    if "signal" in why:
        name = _SIGNALS.get(why["signal"], "")
        return f"its process was ended by signal {why['signal']}" + (f" ({name})" if name else "")
    if "exit" in why:
        return f"its process ended itself in the middle, with exit code {why['exit']}"
    return "its process is gone"
