"""Yard: what runs outside of the gateway, kept by one warden process that is started when first needed.

The warden is an interpreter of its own that never saw gevent. It starts workers and commands on our
behalf, and ends them with all they have started: on request, and when we are gone.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import sysconfig
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import gevent
from gevent import socket, subprocess
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore
from gevent.os import make_nonblocking, nb_read
from gevent.queue import SimpleQueue

from hermes_green.agents import frames, kernel
from hermes_green.core.errors import AgentFailed

WORKER = [sys.executable, "-m", "hermes_green.agents.worker"]
# Copying a process that user code has been loaded into is safe on Linux only.
FORKS = sys.platform.startswith("linux")
_BLIND = (
    "what agents leave behind is not ended, and their memory is not bounded: /proc is not there, or is another "
    "container's; mount one of this container's own"
)
END = 3.0  # seconds for the warden to end everything and itself


class Ward:
    """One process outside. ``gone`` is set when it has ended; then ``why`` says how."""

    def __init__(self, number: int, label: str) -> None:
        self.number = number
        self.label = label
        self.said = ""
        self.why: Mapping[str, Any] = {}
        self.gone = Event()


class Yard:
    """``home``: the working directory of all that runs outside. ``forks``: workers are copies of a
    zygote, else programs. ``age``: how often the user has asked for his code to be loaded anew."""

    def __init__(self, log: Any, home: Path, forks: bool = FORKS) -> None:
        self.age = 0
        self._log = log
        self._home = home
        self._forks = forks
        self._starting = BoundedSemaphore(1)
        self._warden: _Warden | None = None
        self._zygotes: dict[str, tuple[str, ...]] = {}
        self._loaded: dict[str, AsyncResult] = {}
        self._numbers = itertools.count(1)
        self._wards: dict[int, Ward] = {}
        self._closed = False

    # --- zygotes ---

    def inside(self) -> None:
        """Some code of the user's runs in this process: here, too, his modules beside conf/ are found, behind all
        others, which they must not hide."""
        if str(self._home) not in sys.path:
            sys.path.append(str(self._home))

    def load(self, zygote: str, targets: Sequence[str]) -> None:
        """Begin to load the modules of ``targets``, once for all workers of this name."""
        self._zygotes[zygote] = tuple(targets)
        self._loaded[zygote] = AsyncResult()
        if not self._forks:
            self._loaded[zygote].set({})
            return
        before = self._warden
        try:
            warden = self._open()
        except BaseException:
            self.unload(zygote)  # nobody waits for it, and the next warden must not load it
            raise
        if warden is before:  # a fresh one has been told of all of them
            warden.tell({"do": "load", "zygote": zygote, "targets": list(targets)})

    def loaded(self, zygote: str, timeout: float) -> Mapping[str, str] | None:
        """target -> what is wrong with it, once all are loaded; None: not within ``timeout`` seconds."""
        told = self._loaded[zygote]
        told.wait(max(0.0, timeout))
        return told.value if told.ready() else None

    def unload(self, zygote: str) -> None:
        """No more workers of this name; those that live go on."""
        if self._zygotes.pop(zygote, None) is not None and self._forks and self._warden is not None:
            self._warden.tell({"do": "unload", "zygote": zygote})
        self._loaded.pop(zygote, None)

    def refresh(self) -> None:
        """From now on calls go to code that is loaded anew; those in progress end as they began."""
        self.age += 1

    # --- processes ---

    def fork(self, zygote: str, label: str, cap: float) -> tuple[Ward, socket.socket]:
        """A worker, and our end of the socket it is spoken to over; it begins to listen in its own time.
        ``cap``: MB of memory that end it (0: none). Raises AgentFailed."""
        ours, theirs = socket.socketpair()
        ward = self._ward(label)
        ask = {"ward": ward.number, "label": label, "cap": cap}
        if self._forks:
            ask.update(do="fork", zygote=zygote)
        else:
            ask.update(do="exec", argv=WORKER, streams=1)
        try:
            self._send(ward, ask, (theirs.detach(),))
        except BaseException:
            ours.close()
            raise
        return ward, ours

    def exec(self, argv: Sequence[str], label: str) -> tuple[Ward, int, int]:
        """A program; our ends of its standard input and output, not blocking. Raises AgentFailed."""
        (stdin, feed), (take, stdout) = _two_pipes()
        for descriptor in (feed, take):
            make_nonblocking(descriptor)
        ward = self._ward(label)
        ask = {"do": "exec", "ward": ward.number, "label": label, "argv": list(argv), "streams": 2}
        try:
            self._send(ward, ask, (stdin, stdout))
        except BaseException:
            os.close(feed)
            os.close(take)
            raise
        return ward, feed, take

    def kill(self, ward: Ward) -> None:
        """End a process with all it has started; does not wait."""
        if self._warden is not None and not ward.gone.is_set():
            self._warden.tell({"do": "kill", "ward": ward.number})

    def close(self, timeout: float = END) -> None:
        """End everything."""
        self._closed = True
        warden, self._warden = self._warden, None
        if warden is not None:
            warden.end(timeout)

    def _ward(self, label: str) -> Ward:
        ward = Ward(next(self._numbers), label)
        self._wards[ward.number] = ward
        return ward

    def _send(self, ward: Ward, ask: Mapping[str, Any], descriptors: tuple[int, ...]) -> None:
        """The descriptors are closed once they are over there, or when nobody waits for them any more."""
        try:
            warden = self._open()
        except BaseException:
            del self._wards[ward.number]
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        warden.tell(ask, descriptors)

    # --- the warden ---

    def _open(self) -> _Warden:
        with self._starting:
            if self._closed:
                raise AgentFailed("the gateway is stopping")
            if self._warden is None:
                try:
                    self._warden = _Warden(self._home, self._hear, self._lost, self._log)
                except OSError as error:
                    raise AgentFailed(f"no process can be started: {error}") from error
                if not kernel.SEES:
                    self._log.warning(_BLIND)
                for zygote, targets in self._zygotes.items() if self._forks else ():
                    self._warden.tell({"do": "load", "zygote": zygote, "targets": list(targets)})
            return self._warden

    def _hear(self, frame: Mapping[str, Any]) -> None:
        if "lines" in frame:
            for line in frame["lines"]:
                self._log.info("{}: {}", frame["label"], line)
            if frame["ward"] in self._wards:
                self._wards[frame["ward"]].said = frame["lines"][-1]
        elif "gone" in frame:
            ward = self._wards.pop(frame["gone"], None)
            if ward is not None:
                ward.why = frame["why"]
                ward.gone.set()
        elif "zygote" in frame:
            for target, error in frame["errors"].items():
                self._log.error("{} cannot be loaded: {}", target, error)
            if frame["threads"]:
                self._log.warning("{}: {} threads began at import; workers do not have them", frame["zygote"],
                                  frame["threads"])  # fmt: skip
            self._log.debug("{}: loaded in {:.2f} s", frame["zygote"], frame["seconds"])
            if frame["zygote"] in self._loaded:
                self._loaded[frame["zygote"]].set(frame["errors"])

    def _lost(self, warden: _Warden) -> None:
        """The warden is gone; the kernel has ended its children, and the next use starts another."""
        if self._warden is not warden:
            return
        self._warden = None
        self._log.error("the process that keeps all agents' processes ended; it is started anew when needed")
        wards, self._wards = self._wards, {}
        for ward in wards.values():
            ward.gone.set()


def _two_pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """Both or none. Raises AgentFailed."""
    made: list[tuple[int, int]] = []
    try:
        made = [os.pipe()]
        return made[0], os.pipe()
    except OSError as error:
        for descriptor in chain(*made):
            os.close(descriptor)
        raise AgentFailed(f"no process can be started: {error.strerror}") from error


def _environment() -> Mapping[str, str]:
    """Ours, and, where this package is a checkout, the way to it."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return os.environ
    paths = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [paths]), root])}


class _Warden:
    """The process, our end of its socket, and the greenlets that serve it."""

    def __init__(
        self, home: Path, hear: Callable[[Mapping[str, Any]], None], lost: Callable[[_Warden], None], log: Any
    ) -> None:
        self._hear = hear
        self._lost = lost
        self._log = log
        self._sock, theirs = socket.socketpair()
        try:
            os.set_blocking(theirs.fileno(), True)
            # Not a session of its own: where the scheduler shares by session, being nice would be no use.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hermes_green.agents.warden", str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=_environment(),
                process_group=0,
                close_fds=True,
            )
        except BaseException:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self._ending = False
        self._queue: SimpleQueue = SimpleQueue()
        self._greenlets = [gevent.spawn(work) for work in (self._read, self._write, self._listen)]
        for greenlet, name in zip(self._greenlets, ("warden-read", "warden-write", "warden-output")):
            greenlet.name = name

    def tell(self, frame: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Send in order; does not wait."""
        self._queue.put((frame, descriptors))

    def end(self, timeout: float) -> None:
        """It ends everything, then itself; killed after ``timeout`` seconds."""
        self._ending = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        with gevent.Timeout(timeout, False):
            self._process.wait()
        self._stop()

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        mine = gevent.getcurrent()
        gevent.killall([each for each in self._greenlets if each is not mine], block=False)
        while self._queue.qsize():
            for descriptor in self._queue.get()[1]:
                os.close(descriptor)
        self._sock.close()

    def _write(self) -> None:
        while True:
            frame, descriptors = self._queue.get()
            try:
                frames.send(self._sock, frame, descriptors)
            except OSError:
                return  # the reader sees its end
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _read(self) -> None:
        incoming = frames.Unpacker()
        try:
            while data := self._sock.recv(65_536):
                incoming.feed(data)
                for frame in incoming:
                    self._hear(frame)
        except (OSError, frames.BadFrames) as error:
            if not self._ending:
                self._log.error("the process that keeps all agents' processes cannot be understood: {}", error)
        if not self._ending:
            self._lost(self)
            self._stop()

    def _listen(self) -> None:
        """What the warden itself prints is an error of ours."""
        descriptor = self._process.stdout.fileno()
        make_nonblocking(descriptor)
        while data := nb_read(descriptor, 8192):
            self._log.error("warden: {}", data.decode("utf-8", "replace").rstrip())
