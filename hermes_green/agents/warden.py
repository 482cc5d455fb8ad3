"""Warden: the process that keeps all processes outside of the gateway, and outlives it by a moment.

Free of gevent and of anybody's code, so that nothing makes it late. It starts workers (copies of a
zygote, or programs) and commands, is told how each of them ended, adopts whatever they leave behind and
ends it. When the gateway is gone, however it went, it ends everything below it and then itself.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Callable, Mapping

from hermes_green.agents import frames, kernel
from hermes_green.agents.brood import Brood
from hermes_green.agents.output import Output
from hermes_green.agents.sessions import Sessions

TICK = 0.1  # seconds between two looks at memory, output and orphans, at least
SOON = 0.02  # seconds between two looks at who is there, while they become more or fewer
SHARE = 0.1  # of its time is the most that looking takes
CROWD = 10  # processes of a ward that come last of all, if it has more: each of them has a share
FAMILY = 1000  # processes that a ward may have at a time; more is a fork bomb
LAST = 2.0  # seconds for ending all when the gateway is gone
# What a look takes: of our own time, since who is kept waiting must not look more rarely; elsewhere `ps` takes it.
_spent = time.process_time if kernel.LINUX else time.monotonic
_BACKLOG = 4 * 1024 * 1024  # bytes that wait for a gateway that does not read; more lines are dropped


@dataclass(slots=True, eq=False)
class Ward:
    """One process that the gateway asked for; ``pid`` 0 until it lives. ``cap`` in MB, 0: none.
    ``why`` is why we ended it."""

    number: int
    label: str
    cap: float
    output: int
    pid: int = 0
    why: dict[str, Any] = field(default_factory=dict)


class Warden:
    """Speaks to the gateway over ``control``; ``hermes_green.agents.yard`` is the other side."""

    def __init__(self, control: socket.socket, gateway: int) -> None:
        self._control = control
        self._gateway = gateway
        self._incoming = frames.Unpacker()
        self._outgoing = bytearray()
        self._selector = selectors.DefaultSelector()
        self._wards: dict[int, Ward] = {}
        self._broods: dict[str, Brood] = {}
        self._outputs: dict[int, Output] = {}
        self._paused: list[int] = []
        self._over = False
        self._due = 0.0
        self._weighing = 0.0
        self._many = 0
        self._sessions = Sessions()
        self._woken, self._waking = os.pipe()

    def run(self) -> None:
        """Until the gateway is gone."""
        try:
            self._serve()
        finally:
            self._end_all()  # whatever ended us: those that we have adopted do not end with us by themselves

    def _serve(self) -> None:
        self._mind_signals()
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ, self._hear)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda mask: os.read(self._woken, 4096))
        while not self._over and os.getppid() == self._gateway:
            hurry = self._wards or self._paused or any(not brood.loaded for brood in self._broods.values())
            rest = min(TICK, max(0.0, self._due - time.monotonic())) if hurry else 5.0
            for key, mask in self._selector.select(rest):
                known = self._selector.get_map().get(key.fd)
                if known is not None and known.data == key.data:  # else what was read before it has closed it
                    then: Callable[[int], None] = key.data
                    then(mask)
            self._reap()
            if time.monotonic() >= self._due:
                self._look()

    # --- the gateway ---

    def _hear(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if not mask & selectors.EVENT_READ:
            return
        try:
            data, descriptors = frames.receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._over = True
            return
        self._incoming.feed(data, descriptors)
        deeds = {
            "load": self._load,
            "unload": self._unload,
            "fork": self._fork,
            "exec": self._exec,
            "kill": self._kill,
        }
        for frame in self._incoming:
            deeds[frame["do"]](frame)

    def _tell(self, frame: Mapping[str, Any]) -> None:
        if "lines" in frame and len(self._outgoing) > _BACKLOG:
            return
        self._outgoing += frames.pack(frame)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._control.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._over = True
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        self._selector.modify(self._control, wanted, self._hear)

    # --- what it asks for ---

    def _load(self, frame: Mapping[str, Any]) -> None:
        self._hatch(Brood(frame["zygote"], frame["targets"], True))

    def _unload(self, frame: Mapping[str, Any]) -> None:
        brood = self._broods.pop(frame["zygote"], None)
        if brood is not None:
            kernel.fell([brood.pid])
            self._forget(brood)
            for ward in brood.abandon():
                self._gone(ward, {"start": "its code was replaced meanwhile"})

    def _fork(self, frame: Mapping[str, Any]) -> None:
        """Its descriptor: the worker's socket."""
        sock = self._incoming.descriptors.popleft()
        ward, output = self._ward(frame)
        brood = self._broods.get(frame["zygote"])
        if brood is None:
            os.close(sock)
            os.close(output)
            self._gone(ward, {"start": "its code was replaced meanwhile"})
            return
        brood.waiting.append((ward, sock, output))
        brood.ask()

    def _exec(self, frame: Mapping[str, Any]) -> None:
        """Its descriptors: standard input and, where there are two, standard output."""
        streams = [self._incoming.descriptors.popleft() for _ in range(frame["streams"])]
        ward, output = self._ward(frame)
        try:
            process = subprocess.Popen(
                frame["argv"],
                stdin=streams[0],
                stdout=streams[1] if len(streams) > 1 else output,
                stderr=output,
                process_group=0,
                preexec_fn=_before_exec,
            )
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._gone(ward, {"start": f"{frame['argv'][0]}: {told}"})
        else:
            ward.pid = process.pid
            process.returncode = 0  # it is awaited here, with everybody else
        finally:
            for descriptor in (*streams, output):
                os.close(descriptor)

    def _kill(self, frame: Mapping[str, Any]) -> None:
        ward = self._wards.get(frame["ward"])
        if ward is not None:
            ward.why = ward.why or {"killed": True}
            if ward.pid:
                kernel.fell([ward.pid])  # else it is ended as soon as it is born

    # --- wards ---

    def _ward(self, frame: Mapping[str, Any]) -> tuple[Ward, int]:
        """A new ward, and where its output goes to."""
        readable, writable = os.pipe()
        ward = Ward(frame["ward"], frame["label"], frame.get("cap", 0), readable)
        self._wards[ward.number] = ward
        self._listen(readable, ward.label, ward.number)
        return ward, writable

    def _gone(self, ward: Ward, why: Mapping[str, Any]) -> None:
        self._wards.pop(ward.number, None)
        self._unlisten(ward.output)
        self._tell({"gone": ward.number, "why": ward.why or why})

    def _listen(self, descriptor: int, label: str, number: int | None) -> None:
        self._outputs[descriptor] = Output(
            descriptor, lambda lines: self._tell({"lines": lines, "label": label, "ward": number})
        )
        self._selector.register(descriptor, selectors.EVENT_READ, lambda mask: self._read(descriptor))

    def _read(self, descriptor: int) -> None:
        """Once a tick, so that a process that prints without end keeps nobody busy but itself."""
        self._selector.unregister(descriptor)
        if self._outputs[descriptor].read():
            self._paused.append(descriptor)

    def _unlisten(self, descriptor: int) -> None:
        if descriptor in self._paused:
            self._paused.remove(descriptor)
        elif descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        self._outputs.pop(descriptor).close()

    # --- zygotes ---

    def _hatch(self, brood: Brood) -> None:
        self._broods[brood.name] = brood
        self._listen(brood.output, brood.name, None)
        self._selector.register(brood.channel, selectors.EVENT_READ, lambda mask: self._hear_zygote(brood))

    def _hear_zygote(self, brood: Brood) -> None:
        told = brood.hear()
        if told is None:
            self._selector.unregister(brood.channel)
            kernel.fell([brood.pid])
            return
        for frame in told:
            if "loaded" in frame:
                brood.loaded = True
                self._tell({"zygote": brood.name, **frame["loaded"]})
            elif brood.asked is not None:
                ward, brood.asked = brood.asked, None
                ward.pid = frame["forked"]
                if not ward.pid:
                    self._gone(ward, {"start": frame["error"]})
                    continue
                brood.noted()
                if ward.why:
                    kernel.fell([ward.pid])
        brood.ask()

    def _forget(self, brood: Brood) -> None:
        if brood.channel in self._selector.get_map():
            self._selector.unregister(brood.channel)
        brood.channel.close()
        self._unlisten(brood.output)

    def _zygote_ended(self, brood: Brood, why: Mapping[str, Any]) -> None:
        """Another one takes its place. Modules that end the process that loads them are left to the
        workers, each of which fails alone."""
        self._forget(brood)
        fresh = Brood(brood.name, brood.targets, preload=brood.loaded)
        if not brood.loaded:
            self._tell({"lines": [f"loading ended its process: {why}"], "label": brood.name, "ward": None})
        if brood.asked is not None:
            self._gone(brood.asked, {"start": "the process that it is a copy of ended"})
        fresh.waiting = brood.waiting
        self._hatch(fresh)

    # --- what the kernel tells ---

    def _mind_signals(self) -> None:
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            # The last two are a terminal's; the gateway decides when we end.
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told_to_end)

    def _told_to_end(self, *_: Any) -> None:
        self._over = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            why = {"signal": -code} if code < 0 else {"exit": code}
            self._due = min(self._due, time.monotonic() + TICK)  # it may have left orphans
            for ward in [ward for ward in self._wards.values() if ward.pid == pid]:
                self._orphans()  # before its end is told: what it left has no open pipe any more
                self._gone(ward, why)
            for brood in [brood for brood in self._broods.values() if brood.pid == pid]:
                self._zygote_ended(brood, why)

    def _look(self) -> None:
        """And say when to look again."""
        begun = _spent()
        pace = self._see()
        self._due = time.monotonic() + max(pace, (_spent() - begun) / SHARE)

    def _see(self) -> float:
        """Who is there, and once a tick all else. The seconds after which to look again, at least."""
        now = time.monotonic()
        weigh = now >= self._weighing
        if weigh:
            self._weighing = now + TICK
            self._resume()
        self._orphans()
        wards = [ward for ward in self._wards.values() if ward.pid and not ward.why]
        families = [kernel.family([ward.pid]) for ward in wards]
        begun = [*(brood.pid for brood in self._broods.values()), *(ward.pid for ward in wards)]
        self._sessions.humble(begun, chain.from_iterable(families))
        for ward, family in zip(wards, families):
            self._inspect(ward, family, weigh)
        for brood in self._broods.values():
            if brood.late:
                kernel.fell([brood.pid])
        before, self._many = self._many, sum(map(len, families))
        return SOON if self._sessions.waiting or self._many != before else TICK

    def _resume(self) -> None:
        """Read again from those that have been read from in this tick."""
        for descriptor in self._paused:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda mask, which=descriptor: self._read(which))
        self._paused.clear()

    def _inspect(self, ward: Ward, family: list[int], weigh: bool) -> None:
        most = max(map(kernel.resident_mb, family)) if ward.cap and weigh else 0.0
        if len(family) > FAMILY:
            ward.why = {"processes": len(family), "cap": FAMILY}
        elif most > ward.cap:
            ward.why = {"memory": most, "cap": ward.cap}
        if ward.why:
            kernel.fell([ward.pid])
        elif weigh and len(family) > CROWD:
            kernel.put_last(family)

    def _orphans(self) -> None:
        """End whatever became our child without being anybody's: a worker or a command left it."""
        known = {ward.pid for ward in self._wards.values()} | {brood.pid for brood in self._broods.values()}
        left = [pid for pid in kernel.children(os.getpid()) if pid not in known]
        if left:
            kernel.fell(left)

    def _end_all(self) -> None:
        until = time.monotonic() + LAST
        while time.monotonic() < until:
            kernel.fell(kernel.children(os.getpid()))
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.005)


def _before_exec() -> None:
    kernel.die_with_parent()
    kernel.adopt_orphans()
    kernel.be_humble()


def main() -> None:
    """Started by the gateway with an end of a socket as standard input, and its own pid as argument."""
    gateway = int(sys.argv[1])
    kernel.die_with_parent(signal.SIGTERM)
    kernel.adopt_orphans()
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"):
        os.environ.pop(name, None)  # the service manager's, for the gateway alone
    Warden(control, gateway).run()


if __name__ == "__main__":
    main()
