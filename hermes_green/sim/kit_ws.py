"""One WebSocket of a simulator, seen from the server's side, with every way a link can go wrong."""

from __future__ import annotations

import base64
import hashlib
import socket as plain_socket
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore
from wsproto.connection import SERVER, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from hermes_green.sim.kit_http import READ, Request, reset, shut

if TYPE_CHECKING:
    from hermes_green.sim.kit_server import Server

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STALL_STEP = 0.02


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept for a client's key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class Link:
    """One client's WebSocket.

    ``memo`` is for the platform's own facts about it. ``alive`` turns false once; from then on
    ``send`` does nothing and the platform's ``closed`` was or will be called exactly once.
    """

    def __init__(self, sim: Server, sock: Any, request: Request, number: int, trailing: bytes) -> None:
        self.sim = sim
        self.id = number
        self.request = request
        self.opened = time.monotonic()
        self.heard = self.opened
        self.alive = True
        self.memo: dict[str, Any] = {}
        self._sock = sock
        self._ws = Connection(SERVER, trailing_data=trailing)
        self._lock = BoundedSemaphore(1)
        self._text: list[str] = []
        self._bytes: list[bytes] = []
        self._ending = ""
        self._end_code: int | None = None
        self._end_reason = ""

    # -- what the platform does with it

    def send(self, data: str | bytes) -> bool:
        """Send one message; False when the link is gone or a fault swallowed it."""
        if isinstance(data, str):
            return self._emit(TextMessage(data=data))
        return self._emit(BytesMessage(data=data))

    def ping(self, payload: bytes = b"") -> bool:
        """Send a native WebSocket ping."""
        return self._emit(Ping(payload=payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close cleanly: close frame now, the socket when the client answered or 2 s later."""
        if not self.alive or self._ending:
            return
        self._ending, self._end_code, self._end_reason = "server", code, reason
        self._emit(CloseConnection(code=code, reason=reason or None), even_ending=True)
        gevent.spawn_later(2.0, self._finish)

    def rst(self) -> None:
        """Cut with RST, as a router does that forgot the connection."""
        self._ending = self._ending or "rst"
        self._gone()
        reset(self._sock)

    def fin(self) -> None:
        """End the TCP stream without a close frame."""
        self._ending = self._ending or "fin"
        self._gone()
        try:
            self._sock.shutdown(plain_socket.SHUT_WR)
        except OSError:
            pass
        gevent.spawn_later(2.0, shut, self._sock)

    @property
    def usable(self) -> bool:
        """It is up and nobody has begun to end it."""
        return self.alive and not self._ending

    @property
    def half_open(self) -> bool:
        """A fault has made this link a dead wire."""
        fault = self.sim.faults.on("half_open")
        return fault is not None and self.opened < fault.since

    @property
    def stalled(self) -> bool:
        """Nothing is read from this link now."""
        return self.half_open or self.sim.faults.on("stop_reading") is not None

    # -- its life, in the connection's greenlet

    def run(self) -> None:
        """Read until the link is over; called once by the kit."""
        try:
            if not self._events():
                return
            while self._receive():
                pass
        except (OSError, LocalProtocolError) as error:
            self._ending = self._ending or f"error: {error}"
        finally:
            while self.half_open:  # a dead wire: the client must not learn of our end
                self._gone()
                gevent.sleep(_STALL_STEP)
            self._gone()
            shut(self._sock)

    def _receive(self) -> bool:
        data = self._sock.recv(READ)
        while self.stalled and not self._sock.closed:
            gevent.sleep(_STALL_STEP)
        if not data or not self.alive:
            self._ending = self._ending or "eof"
            return False
        self._ws.receive_data(data)
        return self._events()

    def _events(self) -> bool:
        for event in self._ws.events():
            self.heard = time.monotonic()
            if isinstance(event, TextMessage):
                self._text.append(event.data)
                if event.message_finished:
                    text, self._text = "".join(self._text), []
                    self._hand_over(text)
            elif isinstance(event, BytesMessage):
                self._bytes.append(bytes(event.data))
                if event.message_finished:
                    data, self._bytes = b"".join(self._bytes), []
                    self._hand_over(data)
            elif isinstance(event, Ping):
                self.sim.log.add("ping", link=self.id)
                if not self.sim.faults.on("mute_acks"):
                    self._emit(event.response())
            elif isinstance(event, Pong):
                self.memo["pong"] = self.heard
            elif isinstance(event, CloseConnection):
                self._peer_closed(event)
                return False
        return True

    def _hand_over(self, data: str | bytes) -> None:
        if self.alive and not self._ending:
            self.sim.received(self, data)

    def _peer_closed(self, event: CloseConnection) -> None:
        genuine = self._ws.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED)
        if not genuine:  # wsproto's way to say that what came was no WebSocket
            self.sim.violation(f"WebSocket protocol: {event.reason}", link=self)
        if not self._ending:
            self._ending = "client" if genuine else "protocol"
            self._end_code, self._end_reason = int(event.code), event.reason or ""
            try:
                self._write(self._ws.send(event.response()))
            except (OSError, LocalProtocolError):
                pass

    def _emit(self, event: Any, even_ending: bool = False) -> bool:
        if not self.alive or (self._ending and not even_ending) or self.half_open:
            return False
        try:
            with self._lock:
                self._write(self._ws.send(event))
        except (OSError, LocalProtocolError, gevent.Timeout):
            self._ending = self._ending or "unwritable"
            self._finish()
            return False
        return True

    def _write(self, data: bytes) -> None:
        with gevent.Timeout(10, OSError("the client does not read")):
            self._sock.sendall(data)

    def _finish(self) -> None:
        """The socket's end, from another greenlet; the reader wakes."""
        self._gone()
        if not self.half_open:
            shut(self._sock)

    def _gone(self) -> None:
        if self.alive:
            self.alive = False
            self.sim.link_gone(self, self._ending or "error", self._end_code, self._end_reason)
