"""Flood: a WebSocket server in a process of its own that sends numbered frames as fast as it can."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time


class Flood:
    """Serves one connection after the other; each gets ``seconds`` of frames of ``size`` bytes, then a close."""

    def __init__(self, seconds: float, size: int = 200, rate: float = 0.0) -> None:
        """``rate``: frames a second, one a packet; 0 is without pause."""
        self._arguments = [str(seconds), str(size), str(rate)]

    def __enter__(self) -> "Flood":
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


def _frame(n: int, size: int) -> bytes:
    data = (b"%09d" % n).ljust(size, b".")
    return bytes([0x81, 126]) + size.to_bytes(2, "big") + data


def _serve(sock: socket.socket, seconds: float, size: int, rate: float) -> None:
    import base64
    import hashlib

    request = b""
    while b"\r\n\r\n" not in request:
        request += sock.recv(65536)
    key = request.lower().split(b"sec-websocket-key: ")[0]
    key = request[len(key) + 19 :].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    begun, n = time.monotonic(), 0
    batch = 1 if rate else 512
    while time.monotonic() - begun < seconds:
        sock.sendall(b"".join(_frame(i, size) for i in range(n, n + batch)))
        n += batch
        if rate:
            time.sleep(max(0.0, begun + n / rate - time.monotonic()))
    sock.sendall(b"\x88\x02\x03\xe8")
    sock.settimeout(5)
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass


def main() -> None:
    seconds, size, rate = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1)
    print(server.getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            sock, _ = server.accept()
        except TimeoutError:
            continue
        with sock:
            try:
                _serve(sock, seconds, size, rate)
            except OSError:
                pass


if __name__ == "__main__":
    main()
