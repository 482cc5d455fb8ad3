"""A child around a scripted adapter, with everything else in memory."""

from __future__ import annotations

from typing import Any, Callable

import gevent
from gevent.event import Event
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import Throttled
from hermes_green.core.model import Caps, CapsTable, Part, Receipt, Reply
from hermes_green.core.ports import Store
from hermes_green.ops.shelter import Shelter
from hermes_green.runtime.access import session_of
from hermes_green.runtime.child import Child
from hermes_green.runtime.events import Bus
from hermes_green.runtime.intake import Intake
from hermes_green.runtime.redial import Pace
from hermes_green.runtime.supervisor import Supervisor
from hermes_green.runtime.witness import Witness

QUICK = Pace(backoff_min=0.005, backoff_max=0.02, healthy_after=0.05, crashes=3, crash_window=60)


class NoMeters:
    """Counts calls by name."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append((name, *args))


class FreeDials:
    """A budget without an end, unless ``spent`` holds errors to raise."""

    def __init__(self) -> None:
        self.spent: list[Throttled] = []
        self.dials: list[bool] = []
        self.kinds: list[str] = []
        self.known = False

    def before_dial(self, *, handover: bool) -> None:
        if self.spent:
            raise self.spent.pop(0)
        self.dials.append(handover)

    def spend(self, kind: str) -> None:
        self.kinds.append(kind)

    def accepted(self) -> None:
        self.known = True

    def was_accepted(self) -> bool:
        return self.known

    suspect = False

    def heard(self) -> None:
        """Nothing is suspected."""

    def usage(self) -> list[Any]:
        return []


class Link:
    """One run of the scripted adapter: the test ends it."""

    def __init__(self, port: Any) -> None:
        self.port = port
        self._over = Event()
        self._error: BaseException | None = None
        self.closed_politely = False

    def end(self, error: BaseException | None = None) -> None:
        self._error = error
        self._over.set()

    def close(self) -> None:
        self.closed_politely = True
        self._over.set()

    def live(self) -> None:
        self.port.on_close(self.close)
        self._over.wait()
        if self._error is not None:
            raise self._error


class ScriptedAdapter:
    """``script`` runs at each dial: it may raise, return (the link is READY) or set the pace."""

    caps = CapsTable(Caps(limit=100))

    def __init__(self, script: Callable[[int], None] | None = None, caps: Caps | None = None) -> None:
        if caps is not None:
            self.caps = CapsTable(caps)
        self.script = script or (lambda number: None)
        self.links: list[Link] = []
        self.sent: list[Part] = []
        self.fail: list[BaseException] = []
        self.closed = 0

    def run(self, port: Any) -> None:
        self.script(len(self.links))
        link = Link(port)
        self.links.append(link)
        port.ready("bot", link)
        link.live()

    def send(self, part: Part, link: Any) -> Receipt:
        if self.fail:
            raise self.fail.pop(0)
        self.sent.append(part)
        return Receipt(f"m{len(self.sent)}", 0.0)

    def render(self, reply: Reply) -> tuple[dict[str, str], ...]:
        return ({"text": reply.text},)

    def peer_of(self, chat: str) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A supervisor with one child, or several."""

    def __init__(self, store: Store) -> None:
        self.clock = SystemClock()
        self.store = store
        self.meters = NoMeters()
        self.moves: list[tuple[str, str]] = []
        self.routed: list[tuple[int, Any]] = []
        witness = Witness(
            clock=self.clock, bus=Bus(self.clock), meters=self.meters, log=logger, on_moved=self._moved
        )
        self.supervisor = Supervisor(self.clock, logger, witness)

    def _moved(self, child: Child) -> None:
        self.moves.append((child.id, str(child.state)))

    def child(
        self,
        adapter: Any,
        id: str = "one",
        pace: Pace = QUICK,
        dials: FreeDials | None = None,
        shelter: Shelter | None = None,
    ) -> Child:
        intake = Intake(
            id,
            self.store,
            self.clock,
            logger,
            session_of,
            lambda row, inbound, session: self.routed.append((row, inbound)),
            shelter=shelter,
        )
        child = Child(
            id=id,
            platform=id,
            account="",
            adapter=adapter,
            intake=intake,
            dials=dials or FreeDials(),
            pace=pace,
            clock=self.clock,
            log=logger,
            post=self.supervisor.post,
            observer=self.supervisor.witness,
        )
        self.supervisor.add(child)
        return child

    def close(self) -> None:
        self.supervisor.stop_all(8)
        for child in self.supervisor.children.values():
            child.free()
        self.supervisor.close()


def eventually(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until ``true()`` is."""
    with gevent.Timeout(seconds, AssertionError(f"not true within {seconds} s")):
        looks = 0
        while not true():
            # Most of what is awaited is true within a millisecond.
            gevent.sleep(0.0005 if looks < 10 else 0.002)
            looks += 1
