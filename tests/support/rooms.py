"""The runtime's shared rooms over a store in memory, with a scripted agent and adapter."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping

import gevent
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import UnknownChild
from hermes_green.core.model import Delta, Inbound, Peer, Turn
from hermes_green.core.options import Access
from hermes_green.core.ports import Intake, Store
from hermes_green.runtime import delivery, turn
from hermes_green.runtime.commands import Command
from hermes_green.runtime.delivery import Delivery
from hermes_green.runtime.desk import Desk
from hermes_green.runtime.door import Door
from hermes_green.runtime.drafts import Draft, Progress
from hermes_green.runtime.events import Bus
from hermes_green.runtime.express import Express
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.lanes import Lanes
from hermes_green.runtime.limits import Limits
from hermes_green.runtime.loops import Loops
from hermes_green.runtime.pairing import Pairing
from hermes_green.runtime.policy import Policy
from hermes_green.runtime.turn import Turns
from tests.support.children import NoMeters, ScriptedAdapter


class ScriptedAgent:
    """Answers ``re: <text>`` after ``before(turn)``, which may wait or raise."""

    def __init__(self, before: Callable[[Turn], Any] | None = None) -> None:
        self.before = before or (lambda turn: None)
        self.turns: list[Turn] = []
        self.running = 0
        self.most = 0

    def run(self, turn: Turn) -> Iterator[Delta]:
        self.turns.append(turn)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.before(turn)
            yield Delta("re: ")
            yield Delta(turn.text, usage={"total_tokens": 2})
        finally:
            self.running -= 1

    def close(self) -> None:
        """Nothing."""


class Place:
    """A child as turns and deliveries see it."""

    def __init__(self, id: str, adapter: Any) -> None:
        self.id = self.platform = id
        self.account = ""
        self.adapter = adapter
        self.link: Any = None
        self.sends = True


class Crew:
    """The children, as the desk asks about them."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str]] = []

    def state(self, id: str) -> str:
        return "READY"

    def board(self) -> list[str]:
        return ["one: READY", "two: HALTED (the secret is wrong)"]

    def command(self, id: str, verb: str) -> None:
        if id not in ("one", "two"):
            raise UnknownChild(id, ("one", "two"))
        self.commands.append((id, verb))


class Rooms:
    """Desk, lanes, turns and delivery around one child called ``one``."""

    def __init__(
        self,
        store: Store,
        agent: ScriptedAgent | None = None,
        adapter: Any = None,
        *,
        max_parallel: int = 8,
        queue: int = 4,
        access: Access = Access(dm="open", group="open"),
        mode: Any = "queue",
        policy: Mapping[str, Any] | None = None,
        **rules: Any,
    ) -> None:
        self.clock = SystemClock()
        self.store = store
        self.agent = agent or ScriptedAgent()
        self.adapter = adapter or ScriptedAdapter()
        self.child = Place("one", self.adapter)
        self.meters = NoMeters()
        self.rules = turn.Rules(**rules)
        self.delivery_rules = delivery.Rules()
        self.policy = Policy(
            queue_per_session=queue, busy_input_mode=mode, access={"one": access}, turns=self.rules, **(policy or {})
        )
        self.saved: list[Any] = []
        self.look: Callable[[], None] = lambda: None
        self.commands: list[tuple[str, str, str]] = []
        self.door = Door(
            lambda: self.policy,
            Pairing(self.clock, None, self.saved.append),
            Limits(self.clock, lambda: self.policy.limits),
            Loops(self.clock),
        )
        self.supervisor = Crew()
        common: dict[str, Any] = dict(store=store, clock=self.clock, log=logger)
        shared: dict[str, Any] = dict(
            common, bus=Bus(self.clock), hooks=Hooks([], logger), meters=self.meters, place=self.place
        )
        self.delivery = Delivery(**shared, rules=lambda: self.delivery_rules)
        self.drafts: list[Draft] = []
        self.turns = Turns(
            **shared,
            progress=self.progress,
            agent=lambda asked: self.agent,
            wake=lambda child, peer: self.delivery.wake(child, peer.chat_id),
            offhub=lambda fn, *args: fn(*args),
            rules=lambda: self.rules,
            admit=self.door.admits,
            spent=self.door.limits.spent,
        )
        self.lanes = Lanes(
            **common,
            turn=self.turns.run,
            cancelled=self.turns.cancelled,
            worker="w",
            max_parallel=max_parallel,
            timeout=60,
            manner=lambda: self.policy.manner(self.clock.wall()),
            aside=lambda lease: self.desk.take(lease),
            look=lambda: self.look(),
        )
        self._express = Express("one", store, self.clock, logger, "w")
        self.reactions: list[Inbound] = []
        self.desk = Desk(self, self.lanes, self.turns, logger, self._obeyed, self.reactions.append)

    def progress(self, lease: Any, place: Place) -> Progress:
        if not self.adapter.caps.default.streaming:
            return Progress()
        delivery, lane = self.delivery, lease.inbound.peer.chat_id
        quiet = lambda: delivery.quiet("one", lane)  # noqa: E731
        self.drafts.append(Draft(lease, place, self.store, delivery.gates, self.clock.wall, quiet, logger))
        return Progress(self.drafts[-1])

    # --- the house, as the desk asks it ---

    def place(self, child: str) -> Place | None:
        return self.child if child == "one" else None

    def express(self, child: str) -> Express:
        return self._express

    def _obeyed(self, command: Command, inbound: Inbound, session_id: str) -> None:
        self.commands.append((command.name, command.rest, session_id))

    # --- the test's hands ---

    def say(self, text: str, chat: str = "c", *, key: str = "", route: bool = True, **peer: Any) -> int | None:
        """Commit a message as an adapter's run would, and send it on its way."""
        mentioned, kind, bot = peer.pop("mentioned", True), peer.pop("kind", "dm"), peer.pop("bot", False)
        known, media = (key or f"{chat} {text}",), peer.pop("attachments", ())
        inbound = Inbound(known, Peer("one", chat, kind, **peer), text, text, media, mentioned=mentioned, bot=bot)
        inbound = self.policy.addressed(inbound)
        session = f"one:{chat}"
        if route:
            self.desk.foresee(inbound, session)
        row = self.store.accept("one", [Intake(inbound, session)], self.clock.wall())[0]
        if row is not None and route:
            self.desk.route(row, inbound, session)
        return row

    @property
    def texts(self) -> list[str]:
        """What the adapter was given to send."""
        return [str(part.payload["text"]) for part in self.adapter.sent]

    def close(self) -> None:
        self.lanes.drain(0)
        self.delivery.drain(0)
        self._express.close()
        gevent.sleep(0)
