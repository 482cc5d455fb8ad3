"""Heartbeat: proves that the platform still answers, whatever the receive loop is doing."""

from __future__ import annotations

import time
from typing import Callable, Protocol

import gevent
from gevent.event import Event

from hermes_green.core.errors import LinkLost

_LATE = 0.1  # later than this to what is due means that the hub was held up, and the reader with it


class Cuttable(Protocol):
    """What a heartbeat needs of a link."""

    def abort(self, error: LinkLost) -> None: ...


class Heartbeat:
    """Beats in a greenlet of its own until told to stop, and cuts the link when it is deaf.

    send: puts one beat on the wire; may block, and a beat that cannot leave counts as unanswered.
    interval: seconds between beats. timeout: seconds from the first unanswered beat until the link
    is cut. first: seconds until the first beat (None: interval). silence: seconds without any
    frame until the link is cut (None: never). count: called with "sent", "answered", "missed".
    """

    def __init__(
        self,
        ws: Cuttable,
        send: Callable[[], None],
        *,
        interval: float,
        timeout: float,
        count: Callable[[str], None],
        first: float | None = None,
        silence: float | None = None,
        name: str = "",
    ) -> None:
        self._ws = ws
        self._send = send
        self._interval = interval
        self._timeout = timeout
        self._count = count
        self._first = interval if first is None else first
        self._silence = silence
        self._name = name or "heartbeat"
        self._wake = Event()
        self._stopped = False
        self._asked: float | None = None  # when the first unanswered beat was due to leave
        self._beaten = 0.0
        self._next = 0.0
        self._heard = 0.0

    def start(self) -> None:
        """Begin; the first beat is ``first`` seconds from now."""
        now = time.monotonic()
        self._heard = self._beaten = now
        self._next = now + self._first
        greenlet = gevent.spawn(self._run)
        greenlet.name = self._name
        greenlet.link_exception(self._crashed)

    def answered(self) -> None:
        """The platform answered a beat."""
        if self._asked is not None:
            self._asked = None
            self._count("answered")

    def heard(self) -> None:
        """Any frame came in; made for ``WebSocket.on_frame``."""
        self._heard = time.monotonic()

    def watch_silence(self, seconds: float) -> None:
        """From now on the link is cut when nothing was ``heard`` for so long: a platform has begun to
        speak by itself, and must go on."""
        self._heard = time.monotonic()
        if self._silence != seconds:
            self._silence = seconds
            self._wake.set()

    def reconfigure(self, interval: float, timeout: float) -> None:
        """New pace, as of the last beat; a beat under way is judged by it too."""
        self._interval, self._timeout = interval, timeout
        self._next = self._beaten + interval
        self._wake.set()

    def stop(self) -> None:
        """Beat no more; idempotent, never waits."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        rested = 0.0  # for what was due then
        while not self._stopped:
            due = self._due()
            now = time.monotonic()
            if now < due:
                self._wake.wait(due - now)
                self._wake.clear()
                continue
            # Wherever the time went, in a wait or in a beat: what arrived meanwhile shall be read first.
            if now - due > _LATE and due != rested:
                rested = due
                gevent.sleep(min(now - due, 1.0))
                continue
            reason = self._deaf(now)
            if reason:
                self._cut(reason)
            elif now >= self._next:
                self._beat(now)

    def _due(self) -> float:
        """When there is something to do next."""
        times = [self._next]
        if self._asked is not None:
            times.append(self._asked + self._timeout)
        if self._silence is not None:
            times.append(self._heard + self._silence)
        return min(times)

    def _deaf(self, now: float) -> str:
        if self._asked is not None and now >= self._asked + self._timeout:
            return f"heartbeat unanswered for {self._timeout:g} s"
        if self._silence is not None and now >= self._heard + self._silence:
            return f"nothing heard for {self._silence:g} s"
        return ""

    def _beat(self, now: float) -> None:
        self._beaten = now
        self._next = now + self._interval
        if self._asked is None:
            self._asked = now
        left = self._asked + self._timeout - now
        watch = gevent.spawn_later(left, self._cut, f"heartbeat could not be sent within {self._timeout:g} s")
        watch.name = f"{self._name} watch"
        try:
            self._send()
            self._count("sent")
        except LinkLost:
            pass  # its reader mostly knows why and stops us; else this beat is never answered, which ends the link
        finally:
            watch.kill(block=False)

    def _cut(self, reason: str) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._count("missed")
        self._ws.abort(LinkLost(reason, code="heartbeat"))

    def _crashed(self, greenlet: gevent.Greenlet) -> None:
        if not self._stopped:
            self._ws.abort(LinkLost(f"the heartbeat crashed: {greenlet.exception!r}", code="heartbeat"))
