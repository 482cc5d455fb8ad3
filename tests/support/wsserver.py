"""A WebSocket server whose every byte a test decides: a script per connection, over raw sockets.

Frames sent to the client are put together by hand, so that wrong ones can be sent too; frames
from the client are taken apart with wsproto.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import struct
from typing import Any, Callable

import gevent
from gevent import socket
from gevent.server import StreamServer
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(data: bytes | str, opcode: int = TEXT, fin: bool = True, rsv: int = 0, size: int | None = None) -> bytes:
    """One unmasked frame; ``size`` lies about the length of its payload."""
    data = data.encode() if isinstance(data, str) else data
    length = len(data) if size is None else size
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        return head + bytes([length]) + data
    if length < 65536:
        return head + struct.pack("!BH", 126, length) + data
    return head + struct.pack("!BQ", 127, length) + data


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(struct.pack("!H", code) + reason.encode(), CLOSE)


class Peer:
    """The server's side of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.request = b""
        self._parser = Connection(ConnectionType.SERVER)
        self._events: list[Any] = []

    def read_request(self) -> bytes:
        """The upgrade's request, headers and all."""
        while b"\r\n\r\n" not in self.request:
            data = self.sock.recv(65536)
            if not data:
                raise OSError("the client left")
            self.request += data
        return self.request

    @property
    def accept_key(self) -> str:
        for line in self.request.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "sec-websocket-key":
                digest = hashlib.sha1(f"{value}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
                return base64.b64encode(digest).decode()
        return ""

    def answer(self) -> bytes:
        """The 101 that this request wants."""
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {self.accept_key}\r\n\r\n"
        ).encode()

    def upgrade(self, glued: bytes = b"") -> None:
        """Answer the handshake; ``glued`` leaves in the same segment."""
        self.read_request()
        self.sock.sendall(self.answer() + glued)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> Any:
        """The next event from the client (TextMessage, BytesMessage, Ping, Pong, CloseConnection), whole
        messages only; None when it left."""
        text: str | bytes = ""
        while True:
            while self._events:
                event = self._events.pop(0)
                if not isinstance(event, Message):
                    return event
                text = (text + event.data) if text else event.data
                if event.message_finished:
                    return TextMessage(text) if isinstance(text, str) else BytesMessage(text)
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._parser.receive_data(data)
            self._events.extend(self._parser.events())

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class WsServer:
    """Runs ``script(peer)`` for each connection; ``url`` is what to dial."""

    def __init__(self, script: Callable[[Peer], Any], context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self.errors: list[Exception] = []
        options = {} if context is None else {"ssl_context": context}
        self._tls = context is not None
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **options)

    def __enter__(self) -> "WsServer":
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop(timeout=0.1)
        for peer in self.peers:
            peer.sock.close()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/path?ticket=s3cret"

    def _serve(self, sock: socket.socket, address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock)
        self.peers.append(peer)
        try:
            self.script(peer)
        except OSError as error:
            self.errors.append(error)
        finally:
            sock.close()


def echo(peer: Peer) -> None:
    """A well-behaved server: echoes messages, answers pings and the close frame."""
    peer.upgrade()
    while True:
        event = peer.receive()
        if event is None:
            return
        if isinstance(event, TextMessage):
            peer.send(frame(event.data))
        elif isinstance(event, BytesMessage):
            peer.send(frame(bytes(event.data), BINARY))
        elif isinstance(event, Ping):
            peer.send(frame(bytes(event.payload), PONG))
        elif isinstance(event, CloseConnection):
            peer.send(close_frame(event.code, event.reason or ""))
            return


def sends(*data: bytes, then: Callable[[Peer], Any] = lambda peer: gevent.sleep(600)) -> Callable[[Peer], None]:
    """A server's script: upgrade, send ``data``, then stay."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        for each in data:
            peer.send(each)
        then(peer)

    return script
