"""What every simulated platform is built on: a server, a record, faults, and a control API.

One gevent HTTP/1.1 and WebSocket server on loopback. A platform subclasses `Simulator`, answers
requests in `route`, admits sockets in `admit` and speaks its protocol in `received`. Everything
runs in one hub. The control API lives under ``/_sim/`` on the same port:

- ``POST /_sim/say {...}``: let a user write; the answer names the ids.
- ``POST /_sim/fault {name, ...args, seconds?, count?}``, ``POST /_sim/clear {name?}``.
- ``GET /_sim/record?since=N[&kind=K][&wait=S]``: ``{now, events: [...]}``; `wait` polls up to S seconds.
- ``GET /_sim/seen?since=N``: what stands in the chats; see `kit_view.View`.
- ``GET /_sim/state``.
- ``GET /_sim/shown``: chat -> the texts of the bot's messages that people see there now.

Faults: ``rst``, ``fin``, ``close {code, reason}`` and ``redeliver`` happen at once. ``half_open`` (links
that exist now become dead wires), ``mute_acks``, ``stop_reading``, ``slow {delay}``, ``refuse {status}``
(an HTTP status, or ``tcp`` for a reset; dials only), ``429 {after}`` (sends only), ``duplicate``,
``lose_answer`` (sends only) and ``hang`` last until cleared, their ``seconds`` are over or their ``count``
is used up.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Callable

from hermes_green.sim.kit_http import Answer, Cut, Request
from hermes_green.sim.kit_options import add_options, options_of
from hermes_green.sim.kit_record import Entry
from hermes_green.sim.kit_server import Server
from hermes_green.sim.kit_shown import shown
from hermes_green.sim.kit_view import View
from hermes_green.sim.kit_ws import Link

__all__ = ["Answer", "Cut", "Entry", "Link", "Request", "Simulator"]


class Simulator(Server):
    """The common half of a simulated platform; see the module's text for the control API.

    Subclasses set ``platform`` and ``ws_path`` and override the methods of `kit_hooks.Hooks`. ``options_type``:
    a dataclass of the platform's own options, each with a default; they are keyword arguments and
    flags of the command line, and stand in ``options``.
    """

    options_type: type | None = None
    options: Any = None

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        hostname: str = "",
        certfile: str = "",
        keyfile: str = "",
        **options: Any,
    ) -> None:
        super().__init__(port, host=host, hostname=hostname, certfile=certfile, keyfile=keyfile)
        self.view = View(self.log)
        if self.options_type is not None:
            self.options = self.options_type(**options)
        elif options:
            raise TypeError(f"{self.platform} has no options: {', '.join(options)}")

    def say(self, *args: Any, **what: Any) -> dict[str, Any]:
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

    def wait(self, kind: str, since: int = 0, timeout: float = 60.0, **match: Any) -> Entry:
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

    def shown(self) -> dict[str, list[str]]:
        """chat -> the texts of the bot's messages that people see there now, oldest first."""
        return shown(self.log.since())

    def control_request(self, request: Request) -> Answer:
        verb = request.path[len("/_sim/") :]
        try:
            if request.method == "GET" and verb == "state":
                return Answer(200, self.state())
            if request.method == "GET" and verb == "shown":
                return Answer(200, self.shown())
            if request.method == "GET" and verb == "record":
                return Answer(200, self._record_answer(request))
            if request.method == "GET" and verb == "seen":
                return Answer(200, self.view.since(int(request.query.get("since", "0"))))
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

    # -- from the command line

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add the platform's options to the command line."""
        if cls.options_type is not None:
            add_options(parser, cls.options_type)

    @classmethod
    def from_arguments(cls, args: Namespace) -> Simulator:
        """A simulator as the command line asked for."""
        options = options_of(args, cls.options_type) if cls.options_type is not None else {}
        return cls(args.port, host=args.host, certfile=args.certfile, keyfile=args.keyfile, **options)

    def greeting(self) -> str:
        """What the command line prints behind the URL: the credentials it accepts."""
        return ""
