"""A chat that goes on under another id stays one conversation: its turn, what waits for it, what is said meanwhile."""

import gevent
import pytest
from gevent.event import Event
from loguru import logger

from hermes_green.core.errors import AgentFailed
from hermes_green.core.model import Inbound, Peer
from hermes_green.runtime.context import AdapterContext
from hermes_green.runtime.events import Bus
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.house import House
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore
from tests.support.children import Bench, eventually
from tests.support.rooms import Rooms, ScriptedAgent


class Group:
    """A house and its rooms; ``say`` what the group reads, under either id; ``gate`` holds the turns.
    Nobody here waits until a row that nobody works on is found, which takes 300 s."""

    def __init__(self, store, **rooms):
        self.store, self.gate = store, Event()
        self.rooms = Rooms(store, ScriptedAgent(lambda turn: self.gate.wait() and None), **rooms)
        bench, nothing = Bench(store), lambda *args: None
        told = dict(store=store, clock=bench.clock, log=logger, bus=Bus(bench.clock), hooks=Hooks([], logger))
        self.house = House(**told, supervisor=bench.supervisor, policy=self.rooms.policy)
        self.house.connect(self.rooms.lanes, self.rooms.turns, self.rooms.delivery)
        self.rooms.turns._wake, self.rooms.look = self.house.wake, self.house.look
        self.house.resume()
        self.context = AdapterContext(
            child="one",
            account="",
            log=logger,
            store=store,
            halt=nothing,
            count=nothing,
            hide=nothing,
            rekeyed=self.house.rekeyed.tell,
        )

    def say(self, *texts, chat, **more):
        for text in texts:
            self.rooms.say(text, chat, kind="group", **more)

    def busy(self, turns=1):
        eventually(lambda: self.rooms.agent.running == turns)

    @property
    def asked(self):
        return [turn.text for turn in self.rooms.agent.turns]

    @property
    def answers(self):
        return [(part.peer.chat_id, part.payload["text"]) for part in self.rooms.adapter.sent]

    def close(self):
        self.house._looking.kill()
        self.gate.set()
        self.rooms.close()


@pytest.fixture
def group():
    opened = []

    def start(store=None, **rooms):
        opened.append(Group(store or MemoryStore(), **rooms))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_is_said_under_a_chats_new_id_is_answered_as_soon_as_the_turn_of_the_old_one_ends(group, tmp_path, kind):
    here = group(MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "store.db"))
    here.say("first", "second", chat="old")
    here.busy()
    here.context.rekey("old", "new")
    here.say("third", "fourth", chat="new")
    gevent.sleep(0.01)
    assert here.asked == ["first"]
    here.gate.set()
    eventually(lambda: len(here.answers) == 4)
    assert here.asked == ["first", "second", "third", "fourth"] and here.rooms.agent.most == 1
    assert here.answers == [("new", f"re: {text}") for text in here.asked]
    eventually(lambda: not here.rooms.lanes._lanes)


def test_the_answer_of_a_turn_leaves_at_once_though_its_chat_has_another_id_by_then(group):
    here = group()
    here.say("only", chat="old")
    here.busy()
    here.context.rekey("old", "new")
    gevent.sleep(0.005)
    here.gate.set()
    eventually(lambda: here.answers == [("new", "re: only")])


def test_a_turn_is_stopped_told_of_and_counted_under_the_new_id_of_its_chat(group):
    here = group(queue=2)
    here.say("first", "second", chat="old")
    here.busy()
    here.context.rekey("old", "new")
    gevent.sleep(0.005)  # what waits has been counted anew
    here.say("/status", chat="new")
    eventually(lambda: here.answers)
    assert here.answers.pop() == ("new", "one: READY. Answering: yes. Waiting: 1.")
    here.say("third", "too much", chat="new")
    eventually(lambda: [letter.text for letter in here.store.dead()] == ["too much"])
    here.gate.set()
    here.gate.clear()
    here.busy()
    here.say("/stop", chat="new")
    eventually(lambda: ("new", "Stopped.") in here.answers)
    here.gate.set()
    eventually(lambda: ("new", "re: third") in here.answers)
    assert not here.store.sessions_waiting() and here.rooms.agent.most == 1


def test_a_message_interrupts_the_turn_of_its_chat_whichever_id_that_began_under(group):
    here = group(mode="interrupt")
    here.say("first", chat="old")
    here.busy()
    here.context.rekey("old", "new")
    here.say("no, this", chat="new")
    eventually(lambda: here.asked == ["first", "no, this"])
    here.gate.set()
    eventually(lambda: here.answers == [("new", "re: no, this")])


def test_two_turns_that_are_one_chats_by_now_both_end_and_what_follows_waits_for_both(group):
    here, gates = group(), {"old": Event(), "new": Event()}
    here.rooms.agent.before = lambda turn: gates[turn.chat_id].wait() and None
    here.say("a1", "a2", chat="old")
    here.say("b1", "b2", chat="new")
    here.busy(2)  # nobody knew
    here.context.rekey("old", "new")
    here.say("c", chat="new")
    gates["new"].set()
    eventually(lambda: here.rooms.agent.running == 1)
    gevent.sleep(0.01)
    assert sorted(here.asked) == ["a1", "b1"]
    gates["old"].set()
    eventually(lambda: len(here.answers) == 5)
    assert here.asked[2:] == ["a2", "b2", "c"] and here.rooms.agent.most == 2
    eventually(lambda: not here.rooms.lanes._lanes)


def test_what_was_said_under_an_old_id_and_comes_after_the_change_belongs_to_the_new_one(group):
    here = group()
    late, other = (Inbound((chat,), Peer("one", chat, "group"), "m", "late") for chat in ("old", "other"))
    here.context.rekey("old", "new")
    rekeyed = here.house.rekeyed
    assert rekeyed.inbound(late).peer == Peer("one", "new", "group") and rekeyed.inbound(other) is other
    assert rekeyed.peer(Peer("two", "old", "group")).chat_id == "old"
    here.context.rekey("new", "old")
    assert rekeyed.inbound(late) is late


def test_a_lane_that_asks_while_its_chat_changes_its_id_asks_again(group):
    here = group()
    lease, changed = here.store.lease_session, []

    def meanwhile(session_id, *args):
        if not changed:
            changed.append(here.context.rekey("old", "new"))
        return lease(session_id, *args)

    here.store.lease_session = meanwhile
    here.house._looking.kill()  # nobody else finds it
    here.gate.set()
    here.rooms.say("first", "old", route=False)
    here.rooms.lanes.offer("one:old")
    eventually(lambda: here.answers == [("new", "re: first")])


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_an_end_of_the_process_after_a_chat_has_changed_its_id_loses_nothing_and_keeps_the_order(group, end):
    store = MemoryStore()
    before = group(store)
    before.say("first", "second", chat="old")
    before.busy()
    before.context.rekey("old", "new")
    before.say("third", chat="new")
    if end == "stopped":
        assert before.rooms.lanes.drain(0) == 1
    else:
        store.recover(before.rooms.clock.wall())
        before.house._looking.kill()
    assert store.sessions_waiting() == {"one:new": 3}
    after = group(store)
    eventually(lambda: after.asked == ["first"])
    assert after.rooms.agent.turns[0].attempt == (1 if end == "stopped" else 2)
    after.say("fourth", chat="new")
    after.gate.set()
    eventually(lambda: len(after.answers) == 4)
    assert after.asked == ["first", "second", "third", "fourth"] and after.rooms.agent.most == 1
    assert [chat for chat, _ in after.answers] == ["new"] * 4


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_question_that_failed_is_the_one_that_is_asked_again_though_its_chat_has_another_id_by_now(group, when):
    here = group()
    here.gate.set()
    here.say("first", chat="old")
    eventually(lambda: here.answers == [("old", "re: first")])

    def fail(turn):
        if when == "while":
            here.context.rekey("old", "new")
        raise AgentFailed("away")

    here.rooms.agent.before = fail
    here.say("second", chat="old")
    eventually(lambda: len(here.answers) == 2)
    if when == "before":
        here.context.rekey("old", "new")
    here.rooms.agent.before = lambda turn: None
    here.say("/retry", chat="new")
    eventually(lambda: here.answers[2:] == [("new", "re: second")])
    here.say("/retry", chat="new", key="again")  # it is settled by now, and the last exchange again
    eventually(lambda: here.answers[3:] == [("new", "re: second")])
    said = [line.text for line in here.store.history("one:new", 9)]
    assert said == ["first", "re: first", "second", "re: second"]
