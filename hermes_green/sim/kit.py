"""What every simulated platform is built on: a server, a record, faults, and a control API.

One gevent HTTP/1.1 and WebSocket server on loopback. A platform subclasses `Simulator`, answers
requests in `route`, admits sockets in `admit` and speaks its protocol in `received`. Everything
runs in one hub. The control API lives under ``/_sim/`` on the same port:

- ``POST /_sim/say {...}``: let a user write; the answer names the ids.
- ``POST /_sim/fault {name, ...args, seconds?, count?}``, ``POST /_sim/clear {name?}``.
- ``GET /_sim/record?since=N[&kind=K][&wait=S]``: ``{now, events: [...]}``; `wait` polls up to S seconds.
- ``GET /_sim/state``.

Faults: ``rst``, ``fin``, ``close {code, reason}`` and ``redeliver`` happen at once. ``half_open`` (links
that exist now become dead wires), ``mute_acks``, ``stop_reading``, ``slow {delay}``, ``refuse {status}``
(an HTTP status, or ``tcp`` for a reset; dials only), ``429 {after}`` (sends only), ``duplicate``,
``lose_answer`` (sends only) and ``hang`` last until cleared, their ``seconds`` are over or their ``count``
is used up.
"""

from __future__ import annotations

import socket as plain_socket
from argparse import ArgumentParser, Namespace
from typing import Any, Callable

import gevent
from gevent import ssl
from gevent.pool import Pool
from gevent.server import StreamServer

from hermes_green.sim.kit_http import Answer, Cut, HttpConnection, Request, reset, shut
from hermes_green.sim.kit_record import Entry, Faults, Record
from hermes_green.sim.kit_ws import Link, accept_key

__all__ = ["Answer", "Cut", "Entry", "Link", "Request", "Simulator"]


class Simulator:
    """The common half of a simulated platform; see the module's text for the control API.

    Subclasses set ``platform`` and ``ws_path`` and override the methods of the last section.
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

    def start(self) -> Simulator:
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

    def __enter__(self) -> Simulator:
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

    # -- control

    def say(self, **what: Any) -> dict[str, Any]:
        """Let a user do something; see the platform. Returns the ids."""
        raise ValueError(f"{self.platform} has no users")

    def fault(self, name: str, *, seconds: float | None = None, count: int | None = None, **args: Any) -> None:
        """Switch a fault on, or do it at once; ``seconds`` and ``count`` bound it.

        Raises:
            ValueError: no such fault.
        """
        self.faults.set(name, args, seconds, count)
        self.log.add("fault", name=name, args=args, seconds=seconds)
        if name == "redeliver":
            self.redeliver()
            return
        acts: dict[str, Callable[[Link], None]] = {
            "rst": lambda link: link.rst(),
            "fin": lambda link: link.fin(),
            "close": lambda link: link.close(int(args.get("code", 1000)), str(args.get("reason", ""))),
        }
        act = acts.get(name)
        if act is not None:
            for link in list(self.links):
                act(link)

    def clear(self, name: str = "") -> None:
        """End the fault ``name``, or all of them."""
        self.faults.clear(name)
        self.log.add("clear", name=name)

    def record(self, since: int = 0, kind: str = "") -> list[Entry]:
        """What happened after entry ``since``."""
        return self.log.since(since, kind)

    def wait(self, kind: str, since: int = 0, timeout: float = 10.0, **match: Any) -> Entry:
        """The first entry after ``since`` of that kind whose fields equal ``match``.

        Raises:
            TimeoutError: none came.
        """

        def wanted(entry: Entry) -> bool:
            return entry["kind"] == kind and all(entry.get(name) == value for name, value in match.items())

        return self.log.wait(wanted, since, timeout)

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON."""
        return {
            "platform": self.platform,
            "url": self.url,
            "links": [link.id for link in self.links],
            "dials": self.dials,
            "sent": self.sent,
            "faults": self.faults.names(),
            "violations": len(self.log.since(0, "violation")),
            "now": self.log.last,
        }

    def violation(self, text: str, link: Link | None = None, **fields: Any) -> None:
        """Note that the client broke the protocol."""
        self.log.add("violation", text=text, link=link.id if link else None, **fields)

    # -- one TCP connection

    def _serve(self, raw: Any, address: Any) -> None:
        raw.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
        sock = raw
        self._socks.add(raw)
        try:
            if self._context is not None:
                with gevent.Timeout(10, OSError("no TLS handshake")):
                    sock = self._context.wrap_socket(raw, server_side=True)
                self._socks.discard(raw)
                self._socks.add(sock)
            self._converse(HttpConnection(sock))
        except Cut as cut:
            if cut.reset:
                reset(sock)
        except OSError as error:
            self.log.add("broken", error=str(error))
        finally:
            self._socks.discard(raw)
            self._socks.discard(sock)
            shut(sock)

    def _converse(self, http: HttpConnection) -> None:
        while self._running:
            request = http.next_request()
            if request is None:
                return
            if request.path.startswith("/_sim/"):
                http.answer(self._control(request))
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

    def _control(self, request: Request) -> Answer:
        verb = request.path[len("/_sim/") :]
        try:
            if request.method == "GET" and verb == "state":
                return Answer(200, self.state())
            if request.method == "GET" and verb == "record":
                return Answer(200, self._record_answer(request))
            if request.method == "POST":
                args = request.json()
                if verb == "say":
                    return Answer(200, self.say(**args))
                if verb == "fault":
                    self.fault(args.pop("name", ""), **args)
                    return Answer(200, {"faults": self.faults.names()})
                if verb == "clear":
                    self.clear(str(args.get("name", "")))
                    return Answer(200, {"faults": self.faults.names()})
                return self.control(verb, args)
        except (ValueError, TypeError, KeyError) as error:
            return Answer(400, {"error": f"{type(error).__name__}: {error}"})
        return Answer(404, {"error": f"no such control: {request.method} {request.path}"})

    def _record_answer(self, request: Request) -> dict[str, Any]:
        since, kind = int(request.query.get("since", "0")), request.query.get("kind", "")
        wait = float(request.query.get("wait", "0"))
        if wait > 0 and not self.log.since(since, kind):
            try:
                self.log.wait(lambda entry: not kind or entry["kind"] == kind, since, wait)
            except TimeoutError:
                pass
        return {"now": self.log.last, "events": self.log.since(since, kind)}

    # -- what a platform says

    def started(self) -> None:
        """The server listens: spawn the platform's own greenlets."""

    def stopping(self) -> None:
        """End the platform's own greenlets."""

    def is_dial(self, request: Request) -> bool:
        """An HTTP request that belongs to dialling (discovery): ``refuse`` applies to it."""
        return False

    def counts_dial(self, request: Request) -> bool:
        """This request begins a dial; asked for discovery requests and upgrades."""
        return self.is_dial(request)

    def is_send(self, request: Request) -> bool:
        """A request that makes a message: ``429`` and ``lose_answer`` apply to it."""
        return False

    def refusal(self, request: Request, status: int) -> Answer:
        """The answer to a refused dial."""
        return Answer(status, {"message": "refused"})

    def throttled(self, request: Request, after: float) -> Answer:
        """The answer to a rate-limited send."""
        return Answer(429, {"message": "too many requests"}, {"Retry-After": str(after)})

    def route(self, request: Request) -> Answer:
        """Answer a REST request."""
        return Answer(404, {"message": "not found"})

    def admit(self, request: Request) -> Answer | None:
        """None opens the WebSocket; an answer refuses it."""
        return None

    def opened(self, link: Link) -> None:
        """A link is up; its first message has not been read."""

    def received(self, link: Link, data: str | bytes) -> None:
        """One whole message came."""

    def closed(self, link: Link) -> None:
        """A link is gone."""

    def redeliver(self) -> None:
        """Push again what the fault ``redeliver`` means on this platform."""

    def control(self, verb: str, args: dict[str, Any]) -> Answer:
        """A control verb of the platform's own."""
        return Answer(404, {"error": f"no such control: {verb}"})

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add the platform's options to the command line."""

    @classmethod
    def from_arguments(cls, args: Namespace) -> Simulator:
        """A simulator as the command line asked for."""
        return cls(args.port, host=args.host, certfile=args.certfile, keyfile=args.keyfile)

    def greeting(self) -> str:
        """What the command line prints behind the URL: the credentials it accepts."""
        return ""
