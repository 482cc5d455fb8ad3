"""Just enough of HTTP/1.1 by hand for test servers that must be able to break it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO, Mapping
from urllib.parse import parse_qsl, urlsplit

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Request:
    """A request; header names in lower case. ``target`` is what stood in the request line."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


def read_head(stream: BinaryIO) -> Request | None:
    """The next request without its body, or None when the client has left.

    Raises:
        ValueError: it is no HTTP.
    """
    line = stream.readline(65536).decode("latin-1").strip()
    if not line:
        return None
    method, target, _ = line.split(" ", 2)
    headers: dict[str, str] = {}
    while True:
        line = stream.readline(65536).decode("latin-1").strip()
        if not line:
            return Request(method, target, headers)
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()


def read_request(stream: BinaryIO) -> Request | None:
    """The next request with its body, or None when the client has left.

    Raises:
        ValueError: it is no HTTP.
    """
    head = read_head(stream)
    if head is None:
        return None
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while True:
            size = int(stream.readline(100).split(b";")[0], 16)
            body += stream.read(size)
            stream.readline(100)
            if size == 0:
                break
    else:
        body = stream.read(int(head.headers.get("content-length", 0)))
    return Request(head.method, head.target, head.headers, body)


def respond(sock: Any, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole answer; what is not bytes becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(data)}"] + [f"{name}: {value}" for name, value in (headers or {}).items()]
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
