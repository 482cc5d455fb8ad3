"""A language model's HTTP endpoint that answers predictably and fails on demand, for tests and benches.

It speaks the OpenAI chat completions dialect: ``POST /v1/chat/completions``, streamed as
server-sent events or not. The answer is ``echo: <last user message>``. What goes wrong is chosen
for all requests (``behave(...)`` or ``POST /_llm/behave``) or by words in front of the message:
``!cut !delay=0.5 hello`` answers ``echo: hello``, half of it. ``GET /_llm/record`` tells what came.

By hand: ``python -m tests.support.llm --port 9000``.
"""

from __future__ import annotations

import argparse
import json
import ssl
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Iterator

import gevent
from gevent import socket
from gevent.server import StreamServer

from tests.support.plainhttp import Request, read_request, respond


@dataclass(frozen=True)
class Behaviour:
    """How requests are answered; the defaults are a quick, healthy model.

    Seconds: ``first`` before the first byte of the answer's body, ``delay`` between chunks, ``head`` before
    the status line. ``chunks``: pieces the text is cut into. ``long``: kB of answer. ``shred``: n
    bytes per TCP write, through lines and UTF-8 alike. ``status``: an error status instead of an
    answer (with ``retry_after`` seconds when set). ``hang``: the head is never sent. ``stall``: the
    stream stops in the middle without closing. ``hold``: the answer begins, and ``halt``: it goes on
    from its middle, only when it is let go (``release()`` or ``POST /_llm/release``, for all that was
    asked before). ``cut``: it ends there, without a last chunk; ``rst``: with a TCP reset. ``malformed``: a
    chunk in the middle is no JSON. ``nodone``: neither ``finish_reason`` nor ``[DONE]``, but a
    proper end of the body. ``error``: an error object as a chunk in mid-stream. ``empty``: an answer
    without text. ``comments``: keep-alive comments between chunks. ``crlf``: CRLF line ends.
    ``times``: for how many requests this holds before the defaults return; 0 is for ever.
    ``match``: only for messages that contain it.
    """

    head: float = 0.0
    first: float = 0.0
    delay: float = 0.0
    chunks: int = 4
    long: float = 0.0
    shred: int = 0
    status: int = 0
    retry_after: float = 0.0
    hang: bool = False
    hold: bool = False
    halt: bool = False
    stall: bool = False
    cut: bool = False
    rst: bool = False
    malformed: bool = False
    nodone: bool = False
    error: bool = False
    empty: bool = False
    comments: bool = False
    crlf: bool = False
    times: int = 0
    match: str = ""


KINDS = {f.name: type(getattr(Behaviour(), f.name)) for f in fields(Behaviour)}


def directed(text: str, behaviour: Behaviour) -> tuple[str, Behaviour]:
    """The message without its leading ``!name[=value]`` words, and the behaviour they ask for."""
    words: dict[str, Any] = {}
    while text.startswith("!"):
        word, _, rest = text.partition(" ")
        name, _, value = word[1:].partition("=")
        if name not in KINDS:
            break
        words[name] = True if KINDS[name] is bool else KINDS[name](value or 0)
        text = rest
    return text, replace(behaviour, **words)


def answer_to(text: str, behaviour: Behaviour) -> str:
    """The answer, without its failures."""
    if behaviour.empty:
        return ""
    if behaviour.long:
        line = f"echo: {text} "
        return (line * (int(behaviour.long * 1024) // max(1, len(line.encode())) + 1)).rstrip()
    return f"echo: {text}"


def pieces(text: str, count: int) -> list[str]:
    """``text`` in at most ``count`` parts of about the same length."""
    size = max(1, -(-len(text) // max(1, count)))
    return [text[i : i + size] for i in range(0, len(text), size)]


def last_user_text(body: dict[str, Any]) -> str:
    """The text of the last user message, be it a string or a list of content parts."""
    for message in reversed(body.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(part.get("text", "") for part in content)
            return str(content)
    return ""


class Gone(Exception):
    """The client has closed its connection."""


class LlmServer:
    """The endpoint, in this process; ``url`` is what an agent's ``base_url`` wants."""

    def __init__(
        self, port: int = 0, *, api_key: str = "", context: ssl.SSLContext | None = None, **behaviour: Any
    ) -> None:
        """``api_key``: demanded as bearer token when set. Further names: the standing Behaviour."""
        self.api_key = api_key
        self._tls = context
        self._default = Behaviour(**behaviour)
        self._now = self._default
        self._requests: list[dict[str, Any]] = []
        self._releases = 0
        self._born = time.monotonic()
        self._server = StreamServer(("127.0.0.1", port), self._serve, backlog=1024)
        if context is not None:
            self._server = StreamServer(("127.0.0.1", port), self._serve, backlog=1024, ssl_context=context)

    def start(self) -> "LlmServer":
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def __enter__(self) -> "LlmServer":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    def behave(self, **changes: Any) -> None:
        """Answer differently from now on; the names are Behaviour's, the rest is as at the start."""
        unknown = set(changes) - set(KINDS)
        if unknown:
            raise ValueError(f"no such behaviour: {sorted(unknown)}")
        self._now = replace(self._default, **{name: KINDS[name](value) for name, value in changes.items()})

    def clear(self) -> None:
        """Back to the behaviour of the start."""
        self._now = self._default

    def release(self) -> None:
        """Let all answers go to what was asked so far."""
        self._releases += 1

    def record(self, since: int = 0) -> list[dict[str, Any]]:
        """The completion requests with n > since: n, t, key, session, headers, messages, text, stream, outcome
        (open, done, hang, stall, cut, gone, refused) and ended, in seconds since the start."""
        return [entry for entry in self._requests if entry["n"] > since]

    # --- one connection --------------------------------------------------------------------------

    def _serve(self, sock: socket.socket, address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = sock.makefile("rb")
        try:
            while True:
                request = read_request(stream)
                if request is None or not self._answer(sock, request):
                    return
        except (OSError, Gone, ValueError):
            return
        finally:
            stream.close()
            sock.close()

    def _answer(self, sock: socket.socket, request: Request) -> bool:
        """Answer one request; whether the connection may go on."""
        path = request.path
        if path == "/v1/chat/completions" and request.method == "POST":
            return self._complete(sock, request)
        if path == "/v1/models":
            respond(sock, 200, {"object": "list", "data": [{"id": "echo", "object": "model"}]})
        elif path == "/_llm/record":
            respond(sock, 200, {"now": self._clock(), "requests": self.record(int(request.query.get("since", 0)))})
        elif path == "/_llm/behave" and request.method == "POST":
            self.behave(**json.loads(request.body or b"{}"))
            respond(sock, 200, asdict(self._now))
        elif path == "/_llm/release" and request.method == "POST":
            self.release()
            respond(sock, 200, {})
        elif path == "/_llm/clear":
            self.clear()
            respond(sock, 200, {})
        else:
            respond(sock, 404, {"error": {"message": f"no {request.method} {path}", "type": "invalid_request_error"}})
        return True

    def _complete(self, sock: socket.socket, request: Request) -> bool:
        try:
            body = json.loads(request.body)
            raw = last_user_text(body)
        except (ValueError, AttributeError):
            respond(sock, 400, {"error": {"message": "no chat completion", "type": "invalid_request_error"}})
            return True
        text, behaviour = directed(raw, self._behaviour_for(raw))
        entry = self._note(request, body, text)
        outcome = "gone"
        try:
            outcome = self._respond(sock, request, body, text, behaviour)
        finally:
            entry["outcome"], entry["ended"] = outcome, self._clock()
        return outcome in ("done", "refused")

    def _behaviour_for(self, text: str) -> Behaviour:
        now = self._now
        if now.match and now.match not in text:
            return self._default
        if now.times:
            self._now = self._default if now.times == 1 else replace(now, times=now.times - 1)
        return now

    def _note(self, request: Request, body: dict[str, Any], text: str) -> dict[str, Any]:
        entry = {
            "n": len(self._requests) + 1,
            "t": self._clock(),
            "key": request.headers.get("idempotency-key", ""),
            "session": request.headers.get("x-hermes-session-id", ""),
            "headers": request.headers,
            "model": body.get("model", ""),
            "messages": body.get("messages"),
            "text": text,
            "stream": bool(body.get("stream")),
            "outcome": "open",
            "ended": None,
        }
        self._requests.append(entry)
        return entry

    def _respond(
        self, sock: socket.socket, request: Request, body: dict[str, Any], text: str, behaviour: Behaviour
    ) -> str:
        """Answer as told; what became of it."""
        came = self._releases
        self._pause(sock, behaviour.head)
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            respond(sock, 401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}})
            return "refused"
        if behaviour.hang:
            self._pause(sock, 3600)
            return "hang"
        if behaviour.hold:
            self._hold(sock, came)
        if behaviour.status:
            headers = {"Retry-After": f"{behaviour.retry_after:g}"} if behaviour.retry_after else {}
            error = {"message": f"told to answer {behaviour.status}", "type": "server_error"}
            respond(sock, behaviour.status, {"error": error}, headers)
            return "refused"
        answer = answer_to(text, behaviour)
        prompt = sum(len(str(message.get("content"))) for message in body.get("messages") or [])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(answer), "total_tokens": prompt + len(answer)}
        if not body.get("stream"):
            return self._whole(sock, body, answer, usage, behaviour)
        return self._stream(sock, body, answer, usage, behaviour, came)

    def _hold(self, sock: socket.socket, came: int) -> None:
        while self._releases == came:
            self._pause(sock, 0.02)

    def _whole(
        self, sock: socket.socket, body: dict[str, Any], answer: str, usage: dict[str, int], behaviour: Behaviour
    ) -> str:
        self._pause(sock, behaviour.first)
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        data = json.dumps({**self._envelope(body, "chat.completion"), "choices": [choice], "usage": usage}).encode()
        if behaviour.cut or behaviour.rst:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            sock.sendall(head.encode() + data[: len(data) // 2])
            if behaviour.rst:
                _reset(sock)
            return "cut"
        respond(sock, 200, b"{not json" if behaviour.malformed else data)
        return "done"

    def _stream(
        self,
        sock: socket.socket,
        body: dict[str, Any],
        answer: str,
        usage: dict[str, int],
        behaviour: Behaviour,
        came: int,
    ) -> str:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        self._pause(sock, behaviour.first)
        parts = pieces(answer, behaviour.chunks)
        middle = len(parts) // 2
        breaks = behaviour.cut or behaviour.rst or behaviour.stall
        for i, event in enumerate(self._events(body, parts, usage, behaviour)):
            if breaks and i == middle + 1:
                if behaviour.stall:
                    self._pause(sock, 3600)
                elif behaviour.rst:
                    _reset(sock)
                return "stall" if behaviour.stall else "cut"
            if behaviour.halt and i == middle + 1:
                self._hold(sock, came)
            if i > 1:
                self._pause(sock, behaviour.delay)
            self._write(sock, event, behaviour)
        sock.sendall(b"0\r\n\r\n")
        return "done"

    def _events(
        self, body: dict[str, Any], parts: list[str], usage: dict[str, int], behaviour: Behaviour
    ) -> Iterator[bytes]:
        """The stream's events in order: the role, each part of the text, the end, usage, ``[DONE]``."""
        envelope = self._envelope(body, "chat.completion.chunk")
        newline = "\r\n" if behaviour.crlf else "\n"

        def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
            comment = f": keep-alive{newline}{newline}" if behaviour.comments else ""
            data = json.dumps({**envelope, "choices": choices, **more}, ensure_ascii=False)
            return f"{comment}data: {data}{newline}{newline}".encode()

        def delta(content: dict[str, Any], finish: str | None = None) -> bytes:
            return event([{"index": 0, "delta": content, "finish_reason": finish}])

        yield delta({"role": "assistant", "content": ""})
        for i, part in enumerate(parts):
            if i == len(parts) // 2:
                if behaviour.malformed:
                    yield f"data: {{not json{newline}{newline}".encode()
                if behaviour.error:
                    error = json.dumps({"error": {"message": "told to fail", "type": "server_error"}})
                    yield f"data: {error}{newline}{newline}".encode()
            yield delta({"content": part})
        if behaviour.nodone:
            return
        yield delta({}, "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event([], usage=usage)
        yield f"data: [DONE]{newline}{newline}".encode()

    def _write(self, sock: socket.socket, event: bytes, behaviour: Behaviour) -> None:
        step = behaviour.shred or len(event)
        for at in range(0, len(event), step):
            piece = event[at : at + step]
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            if behaviour.shred:
                gevent.sleep(0)

    def _envelope(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        id = f"chatcmpl-{len(self._requests)}"
        return {"id": id, "object": kind, "created": int(time.time()), "model": body.get("model", "echo")}

    def _clock(self) -> float:
        return round(time.monotonic() - self._born, 4)

    @staticmethod
    def _pause(sock: socket.socket, seconds: float) -> None:
        """Wait, but notice at once when the client leaves.

        Raises:
            Gone: it has.
        """
        if seconds <= 0:
            return
        try:
            socket.wait_read(sock.fileno(), timeout=seconds, timeout_exc=TimeoutError())
        except TimeoutError:
            return
        raise Gone()


def _reset(sock: socket.socket) -> None:
    """Make the coming close a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="an OpenAI-compatible endpoint that echoes")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between chunks")
    parser.add_argument("--chunks", type=int, default=4)
    options = parser.parse_args()
    server = LlmServer(options.port, delay=options.delay, chunks=options.chunks).start()
    print(f"llm ready {server.url}", flush=True)
    try:
        gevent.wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
