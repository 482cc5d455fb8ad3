"""Server: the gateway's one listening socket, on gevent's WSGI server."""

from __future__ import annotations

import errno
import socket
from typing import Any

from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from hermes_green.core.errors import ConfError
from hermes_green.web.views import Views

MAX_CONNECTIONS = 512
IDLE = 60.0  # seconds; for the next request, the rest of one, or a reader who does not read
MAX_LINE_ERRORS = 200  # characters of a client's error worth logging


class _Handler(WSGIHandler):
    def handle(self) -> None:
        # Without this every answer on a kept connection waits 40 ms for the client's delayed ack.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(IDLE)
        super().handle()

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
            raise ConfError(
                f"http cannot listen on {self.host}:{self._asked}: {error}",
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
