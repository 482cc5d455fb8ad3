"""One HTTP/1.1 connection of a simulator, spoken with h11 so that the socket stays in our hands.

A simulator must be able to reset, cut or ignore a connection at any byte; a ready-made WSGI server
does not allow that.
"""

from __future__ import annotations

import json
import socket as plain_socket
import struct
from dataclasses import dataclass, field
from typing import Any, Mapping
from urllib.parse import parse_qs, urlsplit

import gevent
import h11

MAX_BODY = 64 * 1024 * 1024
READ = 65536


class Cut(Exception):
    """End this TCP connection without another byte; ``reset`` sends RST instead of FIN."""

    def __init__(self, reset: bool = True) -> None:
        super().__init__("cut")
        self.reset = reset


@dataclass(frozen=True, slots=True)
class Request:
    """A complete HTTP request. ``query`` holds the last value of each name; header names are lower-case.

    ``connection`` is the TCP connection that it came over.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str
    connection: HttpConnection | None = field(default=None, repr=False, compare=False)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ValueError: it is none.
        """
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")
        return value

    @property
    def wants_upgrade(self) -> bool:
        """It asks for a WebSocket."""
        return "websocket" in self.headers.get("upgrade", "").lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; a ``body`` that is not bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()


def reset(sock: Any) -> None:
    """Close ``sock`` so that the peer gets RST."""
    try:
        sock.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    shut(sock)


def shut(sock: Any) -> None:
    """Close ``sock``; a reader blocked in it wakes with an error."""
    try:
        sock.close()
    except OSError:
        pass


class HttpConnection:
    """The server's side of one TCP connection."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=262_144)

    def next_request(self) -> Request | None:
        """The next request, or None when the client is done (or spoke no HTTP)."""
        try:
            if self._h11.our_state is h11.DONE:
                self._h11.start_next_cycle()
            return self._read_request()
        except (OSError, h11.ProtocolError):
            return None

    def _read_request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._h11.receive_data(self.sock.recv(READ))
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    raise Cut()
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body), self)

    def until_gone(self) -> None:
        """Wait until the client has ended the connection, while its request waits for an answer."""
        try:
            while data := self.sock.recv(READ):
                self._h11.receive_data(data)
            self._h11.receive_data(b"")
        except (OSError, h11.ProtocolError):
            pass

    def answer(self, answer: Answer) -> None:
        """Send ``answer`` whole.

        Raises:
            OSError: the client is gone.
        """
        payload = answer.payload()
        headers = {"Content-Type": "application/json", **answer.headers}
        if answer.status == 204:
            headers.pop("Content-Type", None)
        pairs = [(name.encode("latin-1"), str(value).encode("utf-8")) for name, value in headers.items()]
        pairs.append((b"Content-Length", str(len(payload)).encode()))
        events: list[Any] = [h11.Response(status_code=answer.status, headers=pairs)]
        if payload:
            events.append(h11.Data(data=payload))
        events.append(h11.EndOfMessage())
        self._write(*events)

    def switch(self, headers: Mapping[str, str]) -> bytes:
        """Answer 101; returns bytes that already came behind the request."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._write(h11.InformationalResponse(status_code=101, headers=pairs, reason=b"Switching Protocols"))
        return bytes(self._h11.trailing_data[0])

    @property
    def reusable(self) -> bool:
        """Another request may follow on this connection."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    def _write(self, *events: Any) -> None:
        data = b"".join(self._h11.send(event) or b"" for event in events)
        with gevent.Timeout(60, OSError("the client does not read")):
            self.sock.sendall(data)


def _request(head: h11.Request, body: bytes, connection: HttpConnection) -> Request:
    target = head.target.decode("latin-1")
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode(), parts.path, query, headers, body, target, connection)
