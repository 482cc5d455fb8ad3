"""Server: the gateway's one listening socket, on gevent's WSGI server."""

from __future__ import annotations

import errno
import socket
import time
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Iterator

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from hermes_green.core.errors import ConfError
from hermes_green.web.views import Views

MAX_CONNECTIONS = 512
IDLE = 60.0  # seconds; for the next request, each part of one (line, head, body), or a reader who does not read
MAX_LINE_ERRORS = 200  # characters of a client's error worth logging


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """The socket's own deadline is for each piece: who sends one byte a minute would keep a place for ever."""
    with gevent.Timeout(seconds, TimeoutError(errno.ETIMEDOUT, "the request came too slowly")):
        yield


class _Body(Input):
    """A request's body, all of which is there within ``IDLE`` seconds."""

    def __init__(self, handler: _Handler, of: Input) -> None:
        super().__init__(of.rfile, of.content_length, of.socket, of.chunked_input)
        self._handler = handler
        self._until = time.monotonic() + IDLE

    def read(self, length: int | None = None) -> bytes:
        try:
            with _within(max(0.0, self._until - time.monotonic())):
                data: bytes = super().read(length)
                return data
        except OSError:
            # Where the next request begins is not known any more.
            self._handler.close_connection = True
            raise


class _Handler(WSGIHandler):
    wsgi_input: Any

    def handle(self) -> None:
        # Without this every answer on a kept connection waits 40 ms for the client's delayed ack.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(IDLE)
        super().handle()

    def read_requestline(self) -> str:
        with _within(IDLE):
            line: str = super().read_requestline()
            return line

    def read_request(self, raw_requestline: str) -> Any:
        try:
            with _within(IDLE):
                return super().read_request(raw_requestline)
        except (OSError, HTTPException) as error:
            # As what else is wrong with a request; pywsgi would print the stack.
            raise ValueError(str(error)) from error

    def get_environ(self) -> Any:
        environ = super().get_environ()
        environ["wsgi.input"] = self.wsgi_input = _Body(self, self.wsgi_input)
        return environ

    def handle_one_response(self) -> None:
        self.server.busy.add(self)
        try:
            super().handle_one_response()
        finally:
            self.server.busy.discard(self)
            if not self.server.busy:
                self.server.idle.set()

    # A client that went away or is too slow is no error of ours.
    ignored_socket_errors = (*WSGIHandler.ignored_socket_errors, errno.ETIMEDOUT, errno.ENOTCONN, errno.EBADF)


class _WSGIServer(WSGIServer):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Kept connections without a request on them are not worth waiting for.
        self.busy: set[_Handler] = set()
        self.idle = Event()


class _ErrorLog:
    """What pywsgi has to say about its clients, as lines of our log."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def write(self, text: str) -> None:
        text = text.strip()
        if text:
            self._log.debug("http: {}", text[:MAX_LINE_ERRORS])

    def flush(self) -> None:
        """Nothing is kept back."""


class Server:
    """Listens from ``listen`` to ``stop``, and answers from ``start`` on."""

    def __init__(self, host: str, port: int, views: Views, log: Any) -> None:
        self.host = host
        self._asked = port
        self._views = views
        self._server = _WSGIServer(
            (host, port),
            views,
            log=None,
            error_log=_ErrorLog(log),
            handler_class=_Handler,
            spawn=Pool(MAX_CONNECTIONS),
            # Given, so that the start does not wait for a name server.
            environ={"SERVER_NAME": host or "localhost"},
        )

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    def listen(self) -> None:
        """Take the address; whoever comes waits for ``start``.

        Raises:
            ConfError: the address is taken or not ours.
        """
        try:
            self._server.init_socket()
        except (OSError, OverflowError) as error:
            # gevent puts the address behind the system's words, where it stands already.
            why = str(getattr(error, "strerror", None) or error).partition(": (")[0]
            raise ConfError(
                f"http cannot listen on {self.host}:{self._asked}: {why}",
                code="http_address",
                action="set http.port of gateway.yaml to a free port (0 picks one), or http.host to an own address",
            ) from error

    def start(self) -> None:
        """Begin to answer. Raises ConfError, as ``listen`` does, which it makes up for."""
        self.listen()
        self._server.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Take no more, end the event streams, give running answers ``timeout`` seconds."""
        self._server.close()
        self._views.streams.close()
        self._server.idle.clear()
        if self._server.busy:
            self._server.idle.wait(timeout)
        self._server.stop(timeout=0)
