"""Driver and Bench: what a platform tells the adapters' contract suite, and what each test is given."""

from __future__ import annotations

import secrets
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Mapping

from gevent.event import Event

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Called, Inbound, Part, Reply
from tests.support.port import FakeContext, FakePort, Run, wait_for
from tests.support.stage import PATIENCE

# Seconds between heartbeats, and until one that nobody answers ends the link: longer than a busy machine may hold
# up the two who talk here. A test of deaf links has a timeout of its own.
INTERVAL = 0.3
TIMEOUT = 20.0


class Driver:
    """What the suite must know of a platform."""

    name = ""
    package: Any = None
    # kinds of chat as ``simulator.say(chat_type=...)`` names them -> Peer.chat_type
    kinds: Mapping[str, str] = {"dm": "dm", "group": "group"}
    # close code -> the end of a run that was ready: None for a planned end, else the error's class
    closes: Mapping[int, type[Exception] | None] = {1000: None, 1001: None, 1011: LinkLost}
    # what a wrong secret's ``action`` must name
    keys: tuple[str, ...] = ()
    # may an uncertain send be repeated with its key, and which chat kind allows it
    keyed = "dm"
    # how many messages an uncertain send and its repeat make there: 2 where the platform has no key
    repeats = 1
    # whose sends wait when the platform answers "too fast"
    throttles = "account"
    # a text that must be cut in several parts, all of which the platform takes
    long_text = ""
    # the settings that move the platform's HTTP hosts
    bases: tuple[str, ...] = ("api_base",)
    # connections that a message and its answer take at least: the socket and the calls
    connections = 2
    # does the simulator tell when a frame was acknowledged (kind ``ack``)?
    acks = True
    # what stands in the frame of a message of a kind that nobody knows yet
    strange = "hologram"
    # abilities that take a setting which the usual ones do not have
    after_more: tuple[str, ...] = ()
    # does the platform name the messages it takes?
    receipts = True
    # settings with which a deaf link is noticed soon, and how many beats may leave until then
    deaf: Mapping[str, Any] = {"ping_timeout": 1.0}
    unanswered = 5

    def simulator(self, **how: Any) -> Any:
        """A simulator, not started. ``how``: certfile, keyfile, hostname."""
        raise AssertionError("a driver names its simulator")

    def settings(self, sim: Any, **more: Any) -> Any:
        """Settings with which the adapter reaches ``sim``; ``more`` overrides keys."""
        raise AssertionError("a driver makes its settings")

    def wrong(self, sim: Any) -> Any:
        """Settings whose secret the platform does not accept."""
        raise AssertionError("a driver makes wrong settings")

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        """What a user's message has besides when it answers this one."""
        raise AssertionError("a driver says how its users quote")

    def react(self, sim: Any, inbound: Inbound) -> bool:
        """Let a user put a thumbs-up to this message; False: the platform tells of no reactions in direct chats."""
        return False

    def growing(self, sim: Any) -> Any:
        """Settings with which answers grow in direct chats."""
        return self.settings(sim)

    def send_file(self, sim: Any, data: str) -> None:
        """Let a user send a file of these bytes (base64) in a direct chat."""
        raise AssertionError("a driver says how its users send files")

    def send_strange(self, sim: Any) -> None:
        """Let a user send a message of a kind that nobody knows yet, in a direct chat."""
        raise AssertionError("a driver says what a message of tomorrow looks like")

    def announce(self, sim: Any) -> bool:
        """Let the platform say that it will end the link; False: it never does."""
        return False

    def expire_tokens(self, sim: Any) -> None:
        """Make every access token invalid, as in mid-life."""
        sim.rest.revoke()

    def lose(self, bench: Bench, run: Run) -> None:
        """End a run as a bad line does."""
        bench.sim.fault("rst")
        run.until_end()

    def impatient(self, sim: Any) -> AbstractContextManager[None]:
        """While this lasts, an answer that does not come is not waited for as long as in life. Where answers come
        by HTTP, the end of their connection is told at once."""
        return nullcontext()

    def delivered_text(self, sends: list[Mapping[str, Any]]) -> str:
        """The words that arrived, without what splitting may change."""
        return "".join("".join(str(entry["text"]).split()) for entry in sends)


class Bench:
    """One simulator, one adapter, one context."""

    def __init__(self, driver: Driver, sim: Any, settings: Any) -> None:
        self.driver = driver
        self.sim = sim
        self.ctx = FakeContext(driver.name)
        self.adapter = driver.package.create(settings, self.ctx)
        self.runs: list[Run] = []
        self.forgiven: list[str] = []

    def anew(self, **more: Any) -> None:
        """Another adapter in the place of the first, with these settings besides."""
        self.adapter.close()
        self.adapter = self.driver.package.create(self.driver.settings(self.sim, **more), self.ctx)

    def start(self, port: FakePort | None = None) -> Run:
        """Begin a run, as the runtime would."""
        run = Run(self.adapter, self.ctx, port, number=len(self.runs) + 1)
        self.runs.append(run)
        return run

    def ready(self) -> Run:
        """A run that is READY."""
        return self.start().until_ready()

    def hear(self, run: Run, text: str = "hello", kind: str = "dm", **more: Any) -> Inbound:
        """Let a user write; the Inbound that was committed for it."""
        before = len(run.port.accepted)
        self.sim.say(text=text, chat_type=kind, **more)
        wait_for(lambda: len(run.port.accepted) > before, what=f"{kind} message {text!r}")
        return run.port.accepted[-1]

    def parts(self, inbound: Inbound, text: str, key: str = "") -> list[Part]:
        """The parts of an answer, as the store would make them."""
        payloads = self.adapter.render(Reply(text=text, peer=inbound.peer, reply_ref=inbound.reply_ref))
        caps = self.adapter.caps.of(inbound.peer.chat_type)
        now = time.time()
        return [
            Part(
                key=key or secrets.token_hex(16),
                reply_seq=number,
                ordinal=number - 1,
                peer=inbound.peer,
                payload=payload,
                reply_ref=inbound.reply_ref,
                not_after=now + caps.reply_window if caps.reply_window is not None else None,
                key_expires=now + caps.key_lifetime if caps.key_lifetime is not None else None,
            )
            for number, payload in enumerate(payloads, 1)
        ]

    def sends(self) -> list[Mapping[str, Any]]:
        """What the simulator got, repeats apart."""
        return [entry for entry in self.sim.record(kind="send") if not entry.get("duplicate")]

    def fetched(self, ref: Mapping[str, Any]) -> bytes:
        """The bytes of what came with a message."""
        return b"".join(piece for piece in self.adapter.fetch(ref) if not isinstance(piece, Called))

    def shown(self, inbound: Inbound) -> list[str]:
        """The texts of ours that stand in a message's chat now."""
        return [text.strip() for text in self.sim.shown().get(inbound.peer.chat_id, ()) if text.strip()]

    def close(self) -> None:
        """End everything; nothing of it may be left and nothing may have been wrong."""
        self.sim.clear()
        for run in self.runs:
            run.close()
        self.adapter.close()
        wait_for(lambda: not self.sim.links, what="every link to be closed")
        wrong = [entry["text"] for entry in self.sim.record(kind="violation")]
        self.sim.stop()
        unforgiven = [text for text in wrong if not any(part in text for part in self.forgiven)]
        assert not unforgiven, unforgiven


class Gate:
    """Holds back what a simulator answers to calls and to upgrades, from now on and until it is opened."""

    def __init__(self, sim: Any) -> None:
        self.asked = Event()
        self._open = Event()
        for name in ("route", "admit"):
            setattr(sim, name, partial(self._held, getattr(sim, name)))

    def open(self) -> None:
        self._open.set()

    def _held(self, answer: Callable[[Any], Any], request: Any) -> Any:
        found = answer(request)
        self.asked.set()
        self._open.wait(PATIENCE)
        return found


def again(part: Part) -> Part:
    """The same row's next attempt."""
    return replace(part, attempt=part.attempt + 1)


def count_connections(sim: Any) -> list[Any]:
    """The addresses that connect to ``sim`` from now on; it is not started yet."""
    reached: list[Any] = []
    serve = sim._serve

    def counted(raw: Any, address: Any) -> None:
        reached.append(address)
        serve(raw, address)

    sim._server.set_handle(counted)
    return reached
