"""Forward proxies that write down who went where: an HTTP proxy (CONNECT and absolute form) and SOCKS5."""

from __future__ import annotations

import base64
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.server import StreamServer

from tests.support.plainhttp import Request, read_head, respond


@dataclass
class Connection:
    """One connection asked for: ``how`` is CONNECT, absolute or SOCKS5; ``outcome`` is open, ended,
    refused (by ``refuse``), denied (user or password) or unreachable."""

    how: str
    host: str
    port: int
    user: str
    at: float
    outcome: str = "open"
    up: int = 0
    down: int = 0


class Proxy(ABC):
    """What both proxies share: listening on a free port of loopback, a record, a switch to refuse."""

    scheme = ""

    def __init__(self, user: str = "", password: str = "") -> None:
        """``user``: demanded, with ``password``, when set."""
        self.user, self.password = user, password
        self.refuse = False
        self.record: list[Connection] = []
        self._open: set[socket.socket] = set()
        self._server = StreamServer(("127.0.0.1", 0), self._serve)

    def start(self) -> "Proxy":
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop(timeout=0.1)
        self.cut()

    def __enter__(self) -> "Proxy":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """As a ``proxy`` setting wants it."""
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"{self.scheme}://{login}127.0.0.1:{self._server.server_port}"

    def cut(self) -> None:
        """End every tunnel."""
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _serve(self, client: socket.socket, address: object) -> None:
        stream = client.makefile("rb", buffering=0)
        self._open.add(client)
        try:
            self._shake_hands(client, stream)
        except (OSError, ValueError, EOFError):
            return
        finally:
            self._open.discard(client)
            stream.close()
            client.close()

    @abstractmethod
    def _shake_hands(self, client: socket.socket, stream: BinaryIO) -> None:
        """Learn where the client wants to go, answer, and carry its bytes."""

    def _note(self, how: str, host: str, port: int, user: str = "") -> Connection:
        entry = Connection(how, host, port, user, time.monotonic())
        self.record.append(entry)
        return entry

    def _reach(self, entry: Connection) -> socket.socket | None:
        """A socket to the target, or None (``entry.outcome`` says why)."""
        if self.refuse:
            entry.outcome = "refused"
            return None
        try:
            return socket.create_connection((entry.host, entry.port), timeout=10)
        except OSError:
            entry.outcome = "unreachable"
            return None

    def _relay(self, client: socket.socket, target: socket.socket, entry: Connection) -> None:
        """Carry bytes both ways until both sides have ended."""

        def pump(source: socket.socket, sink: socket.socket, way: str) -> None:
            try:
                while data := source.recv(65536):
                    setattr(entry, way, getattr(entry, way) + len(data))
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                for sock in (source, sink):
                    try:
                        sock.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

        target.settimeout(None)
        self._open.add(target)
        back = gevent.spawn(pump, target, client, "down")
        try:
            pump(client, target, "up")
            back.join()
        finally:
            back.kill()
            self._open.discard(target)
            target.close()
            entry.outcome = "ended"


class HttpProxy(Proxy):
    """CONNECT tunnels; plain ``http://`` requests in absolute form, one a connection."""

    scheme = "http"

    def _shake_hands(self, client: socket.socket, stream: BinaryIO) -> None:
        head = read_head(stream)
        if head is None:
            return
        how = "CONNECT" if head.method == "CONNECT" else "absolute"
        parts = urlsplit(f"//{head.target}" if how == "CONNECT" else head.target)
        entry = self._note(how, parts.hostname or "", parts.port or 80, self._login(head))
        if self.user and entry.user != f"{self.user}:{self.password}":
            entry.outcome = "denied"
            respond(client, 407, {}, {"Proxy-Authenticate": "Basic realm=proxy"})
            return
        target = self._reach(entry)
        if target is None:
            respond(client, 502, {})
            return
        if how == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            target.sendall(_rewritten(head))
        self._relay(client, target, entry)

    @staticmethod
    def _login(head: Request) -> str:
        kind, _, value = head.headers.get("proxy-authorization", "").partition(" ")
        return base64.b64decode(value).decode() if kind.lower() == "basic" else ""


def _rewritten(head: Request) -> bytes:
    """The head of an absolute-form request as the origin server wants it."""
    parts = urlsplit(head.target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {k: v for k, v in head.headers.items() if not k.startswith("proxy-") and k != "connection"}
    lines = [f"{head.method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


class Socks5Proxy(Proxy):
    """RFC 1928 CONNECT with RFC 1929 user and password."""

    scheme = "socks5"

    def _shake_hands(self, client: socket.socket, stream: BinaryIO) -> None:
        version, count = _exactly(stream, 2)
        methods = _exactly(stream, count)
        method = 2 if self.user else 0
        if version != 5 or method not in methods:
            client.sendall(b"\x05\xff")
            return
        client.sendall(bytes((5, method)))
        user = ""
        if method == 2:
            name = _exactly(stream, _exactly(stream, 2)[1]).decode()
            user = f"{name}:{_exactly(stream, _exactly(stream, 1)[0]).decode()}"
            granted = user == f"{self.user}:{self.password}"
            client.sendall(b"\x01\x00" if granted else b"\x01\x01")
            if not granted:
                self._note("SOCKS5", "", 0, user).outcome = "denied"
                return
        _, command, _, kind = _exactly(stream, 4)
        host = _address(stream, kind)
        entry = self._note("SOCKS5", host, int.from_bytes(_exactly(stream, 2), "big"), user)
        target = self._reach(entry) if command == 1 else None
        answer = 0 if target else {"refused": 2, "unreachable": 5}.get(entry.outcome, 7)
        client.sendall(bytes((5, answer, 0, 1)) + bytes(6))
        if target is not None:
            self._relay(client, target, entry)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            raise EOFError("the client left in the middle of the handshake")
        data += piece
    return data


def _address(stream: BinaryIO, kind: int) -> str:
    if kind == 3:
        return _exactly(stream, _exactly(stream, 1)[0]).decode()
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, _exactly(stream, 4))
    return socket.inet_ntop(socket.AF_INET6, _exactly(stream, 16))
