"""The server under a simulator: one TCP connection after the other, with the faults applied in one place."""

from __future__ import annotations

import socket as plain_socket
from typing import Any, Self

import gevent
from gevent import ssl
from gevent.pool import Pool
from gevent.server import StreamServer

from hermes_green.sim.kit_hooks import Hooks
from hermes_green.sim.kit_http import Answer, Cut, HttpConnection, Request, reset, shut
from hermes_green.sim.kit_record import Faults, Record
from hermes_green.sim.kit_ws import Link, accept_key


class Server(Hooks):
    """Listens, keeps the links and the record, and asks its hooks.

    ``hostname`` is the name used in URLs that the simulator hands out.
    """

    platform = ""
    ws_path = "/"

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        hostname: str = "",
        certfile: str = "",
        keyfile: str = "",
    ) -> None:
        self.faults = Faults()
        self.log = Record()
        self.links: list[Link] = []
        self.dials = 0
        self.sent = 0
        self._tls = bool(certfile)
        self._host = host
        self._hostname = hostname or host
        self._pool = Pool()
        self._socks: set[Any] = set()
        self._numbers = 0
        self._running = False
        self._context: Any = None
        if certfile:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certfile, keyfile or None)
        self._server = StreamServer((host, port), self._serve, spawn=self._pool)
        self._server.reuse_addr = 1

    # -- life

    def start(self) -> Self:
        """Listen; returns itself."""
        self._server.start()
        self._running = True
        self.started()
        return self

    def stop(self) -> None:
        """Close everything and end every greenlet; no close frames."""
        self._running = False
        self.stopping()
        self.faults.clear()
        self._server.close()
        for sock in list(self._socks):
            reset(sock)
        self._pool.join(timeout=2)
        self._pool.kill(timeout=2)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """``http(s)://host:port``."""
        return f"{'https' if self._tls else 'http'}://{self._hostname}:{self.port}"

    @property
    def ws_url(self) -> str:
        """``ws(s)://host:port`` + the platform's path."""
        return f"{'wss' if self._tls else 'ws'}://{self._hostname}:{self.port}{self.ws_path}"

    def violation(self, text: str, link: Link | None = None, **fields: Any) -> None:
        """Note that the client broke the protocol."""
        self.log.add("violation", text=text, link=link.id if link else None, **fields)

    # -- one TCP connection

    def _serve(self, raw: Any, address: Any) -> None:
        raw.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
        sock, http = raw, None
        self._socks.add(raw)
        try:
            if self._context is not None:
                with gevent.Timeout(10, OSError("no TLS handshake")):
                    sock = self._context.wrap_socket(raw, server_side=True)
                self._socks.discard(raw)
                self._socks.add(sock)
            http = HttpConnection(sock)
            self._converse(http)
        except Cut as cut:
            if cut.reset:
                reset(sock)
        except OSError as error:
            self.log.add("broken", error=str(error))
        finally:
            self._socks.discard(raw)
            self._socks.discard(sock)
            shut(sock)
            if http is not None:
                self.disconnected(http)

    def _converse(self, http: HttpConnection) -> None:
        while self._running:
            request = http.next_request()
            if request is None:
                return
            if request.path.startswith("/_sim/"):
                http.answer(self.control_request(request))
            elif request.wants_upgrade:
                self._upgrade(http, request)
                return
            else:
                self._hang()
                http.answer(self._faulty(request))
            if not http.reusable:
                return

    def _hang(self) -> None:
        if self.faults.take("hang") is None:
            return
        while self.faults.on("hang") is not None and self._running:
            gevent.sleep(0.02)
        raise Cut(reset=False)

    def _faulty(self, request: Request) -> Answer:
        if self.is_dial(request):
            self._count_dial(request)
            refused = self._refuse(request)
            if refused is not None:
                return refused
        sends = self.is_send(request)
        if sends:
            limit = self.faults.take("429")
            if limit is not None:
                after = float(limit.args.get("after", 1))
                self.log.add("throttled", path=request.path, after=after)
                return self.throttled(request, after)
        answer = self.route(request)
        slow = self.faults.take("slow")
        if slow is not None:
            gevent.sleep(float(slow.args.get("delay", 1)))
        if sends and self.faults.take("lose_answer") is not None:
            self.log.add("lost_answer", path=request.path)
            raise Cut()
        return answer

    def _count_dial(self, request: Request) -> None:
        if self.counts_dial(request):
            self.dials += 1
            self.log.add("dial", path=request.path)

    def _refuse(self, request: Request) -> Answer | None:
        fault = self.faults.take("refuse")
        if fault is None:
            return None
        status = fault.args.get("status", 503)
        self.log.add("refused", path=request.path, status=status)
        if status == "tcp":
            raise Cut()
        return self.refusal(request, int(status))

    def _upgrade(self, http: HttpConnection, request: Request) -> None:
        self._hang()
        self._count_dial(request)
        answer = self._refuse(request)
        key = request.headers.get("sec-websocket-key", "")
        if answer is None and (request.headers.get("sec-websocket-version") != "13" or not key):
            self.violation("upgrade without Sec-WebSocket-Version 13 or key")
            answer = Answer(400, {"message": "bad upgrade"})
        if answer is None and request.path != self.ws_path:
            answer = Answer(404, {"message": "no such socket"})
        if answer is None:
            answer = self.admit(request)
        slow = self.faults.take("slow")
        if slow is not None:
            gevent.sleep(float(slow.args.get("delay", 1)))
        if answer is not None:
            self.log.add("not_admitted", path=request.path, status=answer.status)
            http.answer(answer)
            return
        trailing = http.switch(
            {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
        )
        self._numbers += 1
        link = Link(self, http.sock, request, self._numbers, trailing)
        self.links.append(link)
        self.log.add("open", link=link.id)
        self.opened(link)
        link.run()

    def link_gone(self, link: Link, how: str, code: int | None, reason: str) -> None:
        """Called by the link, once."""
        if link in self.links:
            self.links.remove(link)
        self.log.add("close", link=link.id, how=how, code=code, reason=reason)
        self.closed(link)
