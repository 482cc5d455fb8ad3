"""The end of a process has one deadline, whatever hangs: the store, a link, a send, all of them at once."""

from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from loguru import logger

from hermes_green.core.machine import State
from hermes_green.core.model import Inbound, Peer, Receipt
from hermes_green.core.options import Access
from hermes_green.core.ports import Intake as Item, NewPart
from hermes_green.runtime import delivery, house, intake
from hermes_green.runtime.closing import Deadline
from hermes_green.runtime.context import AdapterContext
from hermes_green.runtime.events import Bus
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.house import House, Member
from hermes_green.runtime.intake import Offer
from hermes_green.runtime.policy import Policy
from hermes_green.store.memory import MemoryStore
from tests.support.children import Bench, FreeDials, ScriptedAdapter, eventually
from tests.support.rooms import Rooms, ScriptedAgent


class Deaf(ScriptedAdapter):
    """Its links do not close, its sends do not end."""

    def run(self, port: Any) -> None:
        port.ready("bot", object())
        port.on_close(lambda: gevent.sleep(60))
        gevent.sleep(60)

    def send(self, part: Any, link: Any) -> Any:
        self.sent.append(part)
        gevent.sleep(60)


@pytest.fixture
def scene():
    """A house with one child; its lanes, turns and delivery are those of the rooms."""
    hung = []
    store = MemoryStore(lambda: gevent.sleep(60) if hung else None)
    bench = Bench(store)
    rooms = Rooms(store, ScriptedAgent(lambda turn: gevent.sleep(60)), Deaf())
    made = House(
        store=store,
        clock=bench.clock,
        log=logger,
        bus=Bus(bench.clock),
        hooks=Hooks([], logger),
        supervisor=bench.supervisor,
        policy=Policy(access={"one": Access(dm="open")}),
    )
    made.connect(rooms.lanes, rooms.turns, rooms.delivery)
    dials: Any = FreeDials()
    child = bench.child(rooms.adapter, dials=dials)
    made.members["one"] = Member(child, rooms.express("one"), dials)
    rooms.delivery._place = made.place
    yield SimpleNamespace(house=made, rooms=rooms, child=child, store=store, hung=hung, clock=bench.clock)
    hung.clear()


def test_what_the_store_took_while_nobody_heard_so_is_taken_up_when_it_is_back(scene):
    """A commit that was given up by those who waited for it, and came to its end all the same."""
    scene.rooms.agent.before = lambda turn: None
    scene.house.resume()
    inbound = Inbound(("w",), Peer("one", "e", "dm"), "w", "hello")
    scene.store.accept("one", [Item(inbound, "one:e")], scene.clock.wall())
    gevent.sleep(0.005)
    assert not scene.rooms.agent.turns
    scene.house.look()
    eventually(lambda: [turn.text for turn in scene.rooms.agent.turns] == ["hello"])


def test_a_bug_met_while_looking_for_rows_is_not_the_end_of_looking(scene, monkeypatch):
    scene.rooms.agent.before = lambda turn: None
    scene.house.resume()
    usual, bugs = scene.store.lanes_waiting, [ZeroDivisionError("bug")]
    monkeypatch.setattr(scene.store, "lanes_waiting", lambda: 1 / 0 if bugs and bugs.pop() else usual())
    scene.house.look()
    eventually(lambda: not bugs)
    test_what_the_store_took_while_nobody_heard_so_is_taken_up_when_it_is_back(scene)


def test_what_a_chat_still_awaits_goes_on_at_once_when_that_chat_has_changed_its_id(scene):
    nothing = lambda *args: None  # noqa: E731
    context = AdapterContext(
        child="one",
        account="",
        log=logger,
        store=scene.store,
        halt=nothing,
        count=nothing,
        hide=nothing,
        rekeyed=scene.house.rekeyed.tell,
    )
    sent = []

    def send(part, link):
        if not sent:
            context.rekey("old", "new")
        sent.append((part.peer.chat_id, part.payload["text"]))
        return Receipt("r", scene.clock.wall())

    scene.rooms.adapter.send = send
    eventually(lambda: scene.child.state is State.READY)
    scene.house.resume()
    parts = [NewPart(Peer("one", "old", "group"), {"text": text}) for text in "ab"]
    scene.store.enqueue("k", "d", "one", parts, scene.clock.wall())
    scene.rooms.delivery.wake("one", "old")
    eventually(lambda: sent == [("old", "a"), ("new", "b")])


def test_what_was_left_of_the_one_before_is_taken_up_with_a_child_that_takes_its_place(scene, monkeypatch):
    scene.rooms.agent.before = lambda turn: None
    scene.house.resume()
    member = scene.house.members["one"]
    member.express.close()
    inbound = Inbound(("w",), Peer("one", "e", "dm"), "w", "/whoami")
    (row,) = scene.store.accept("one", [Item(inbound, "one:e")], scene.clock.wall())
    scene.rooms.desk.route(row, inbound, "one:e")
    gevent.sleep(0.005)
    assert scene.store.sessions_waiting()
    monkeypatch.setattr(scene.house.supervisor, "add", lambda child, refused: None)
    scene.house.enlist(member)
    eventually(lambda: not scene.store.sessions_waiting())


def test_an_adapter_that_cannot_be_closed_is_let_go_all_the_same(scene, monkeypatch):
    monkeypatch.setattr(scene.house.supervisor, "retire", lambda id: scene.child)
    scene.rooms.adapter.close = lambda: 1 / 0
    scene.house.dismiss("one")
    assert not scene.house.members and not scene.house.supervisor.children


@pytest.mark.parametrize(("seconds", "turns"), [(25.0, 22.0), (2.0, 1.5), (0.0, 0.0)])
def test_turns_have_most_of_a_drain_however_short_it_is(scene, monkeypatch, seconds, turns):
    given: list[float] = []
    monkeypatch.setattr(scene.house.lanes, "drain", lambda timeout, grace: given.append(timeout) or 0)
    monkeypatch.setattr(scene.house.supervisor, "stop_all", lambda timeout: None)
    scene.house.drain(seconds, Deadline(scene.clock, seconds + 1))
    assert given == [turns]


def test_a_drain_in_which_nothing_answers_any_more_is_over_in_time(scene, monkeypatch):
    monkeypatch.setattr(house, "DRAIN_TAIL", 0.05)
    monkeypatch.setattr(house, "CLOSE_TAIL", 0.25)
    for place in (house, delivery):
        monkeypatch.setattr(place, "LAST", 0.05)
    rooms, store, now = scene.rooms, scene.store, scene.clock.wall()
    eventually(lambda: scene.child.state is State.READY)
    store.enqueue("k", "d", "one", [NewPart(Peer("one", "c", "dm"), {"text": "a"})], now)
    rooms.delivery.wake("one", "c")
    rooms.say("long", chat="d")
    eventually(lambda: rooms.agent.running and rooms.adapter.sent)
    inbound = Inbound(("w",), Peer("one", "e", "dm"), "w", "/status")
    (row,) = store.accept("one", [Item(inbound, "one:e")], now)
    scene.hung.append(True)
    rooms.desk.route(row, inbound, "one:e")
    scene.child.intake.offer(Offer(Inbound(("x",), Peer("one", "f", "dm"), "x", "x"), None, {}))
    scene.house._counts.touch()
    gevent.sleep(0.01)
    began = scene.clock.monotonic()
    scene.house.drain(0.05, Deadline(scene.clock, 0.5))
    assert scene.clock.monotonic() - began < 0.5 - 0.05, "the rest of the process has to end as well"


@pytest.mark.parametrize("where", ["a send", "an ack"])
def test_an_adapter_that_does_not_end_when_it_is_told_to_costs_nobody_else_the_end(scene, monkeypatch, where):
    monkeypatch.setattr(house, "DRAIN_TAIL", 0.05)
    monkeypatch.setattr(intake, "ENDING", 0.02, raising=False)
    for place in (house, delivery):
        monkeypatch.setattr(place, "LAST", 0.02)
    store, child, begun = scene.store, scene.child, []

    def stubborn(*args):
        begun.append(args)
        try:
            gevent.sleep(60)
        except gevent.GreenletExit:
            gevent.sleep(0.3)

    scene.rooms.adapter.send = stubborn
    eventually(lambda: child.state is State.READY)
    if where == "a send":
        store.enqueue("k", "d", "one", [NewPart(Peer("one", "c", "dm"), {"text": "a"})], scene.clock.wall())
        scene.rooms.delivery.wake("one", "c")
    else:
        child.intake.offer(Offer(Inbound(("x",), Peer("one", "f", "dm"), "x", "x"), stubborn, {}))
    eventually(lambda: begun)
    scene.house.drain(0.05, Deadline(scene.clock, 2.03))
    assert scene.rooms.adapter.closed == 1


def test_nothing_is_asked_of_an_adapter_any_more_when_it_is_closed(scene, monkeypatch):
    ended: list[str] = []
    monkeypatch.setattr(scene.house.supervisor, "stop_all", lambda timeout: ended.append("links"))
    scene.house._media = SimpleNamespace(close=lambda: ended.append("media"))
    scene.house._reactions = SimpleNamespace(close=lambda: ended.append("reactions"))
    monkeypatch.setattr(scene.rooms.adapter, "close", lambda: ended.append("adapter"))
    scene.house.drain(0.0, Deadline(scene.clock, 2.5))
    assert ended == ["reactions", "media", "links", "adapter"]
