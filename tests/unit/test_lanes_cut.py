"""Turns that a crash cut run one at a time, and no attempt is counted for those that wait for theirs."""

from __future__ import annotations

import gevent
import pytest

from hermes_green.core.clock import SystemClock
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore
from tests.support.children import eventually
from tests.support.rooms import Rooms, ScriptedAgent


@pytest.fixture
def open_rooms():
    opened = []

    def start(store, agent=None):
        opened.append(Rooms(store, *([agent] if agent else [])))
        return opened[-1]

    yield start
    for rooms in opened:
        rooms.close()


def test_the_turn_that_kills_the_process_takes_no_attempt_from_those_that_wait(open_rooms):
    store = MemoryStore()
    first = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    for number in range(5):
        first.say(f"m{number}", chat=f"c{number}")
    eventually(lambda: first.agent.running == 5)
    for _ in range(2):  # as if the process had died, twice
        store.recover(SystemClock().wall())
        assert len(store.sessions_cut()) == 5
        after = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
        after.lanes.offer_all(store.sessions_waiting(), store.sessions_cut())
        eventually(lambda: after.agent.running == 1)
        gevent.sleep(0.05)
        assert after.agent.most == 1 and len(store.sessions_waiting()) == 4
    store.recover(SystemClock().wall())
    last = open_rooms(store)
    last.lanes.offer_all(store.sessions_waiting(), store.sessions_cut())
    eventually(lambda: len(last.agent.turns) == 4 and store.dead())
    assert [turn.attempt for turn in last.agent.turns] == [2, 2, 2, 2]
    assert [letter.text for letter in store.dead()] == ["m0"]


def test_a_turn_that_is_found_to_be_cut_while_it_waits_for_room_runs_alone_too(open_rooms):
    store = MemoryStore()
    first = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    for chat in "ab":
        first.say("cut", chat=chat)
    eventually(lambda: first.agent.running == 2)
    store.recover(SystemClock().wall())
    gates = {chat: gevent.event.Event() for chat in "abc"}
    after = open_rooms(store, ScriptedAgent(lambda turn: gates[turn.chat_id].wait()))
    after.lanes.resize(2, 60)
    after.lanes.offer_all({"one:a": 1}, {"one:a"})
    after.say("whole", chat="c")
    eventually(lambda: after.agent.running == 2)
    after.lanes.offer_all({"one:b": 1})
    gevent.sleep(0)
    after.lanes.offer_all(store.sessions_waiting(), store.sessions_cut())
    gates["c"].set()
    gevent.sleep(0.05)
    assert [turn.chat_id for turn in after.agent.turns] == ["a", "c"]
    gates["a"].set()
    eventually(lambda: after.agent.turns[-1].chat_id == "b")
    gates["b"].set()


def test_turns_that_were_cut_do_not_wait_for_each_other_where_there_is_room_for_one(open_rooms, tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    first = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    for chat in "abd":
        first.say("cut", chat=chat)
    eventually(lambda: first.agent.running == 3)
    store.recover(SystemClock().wall())
    after = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(0.02)))
    after.lanes.resize(1, 60)
    after.lanes.offer_all({"one:a": 1, "one:d": 1}, {"one:a", "one:d"})
    after.lanes.offer_all({"one:b": 1})  # nobody knows yet that it was cut
    eventually(lambda: len(after.texts) == 3)
    assert after.agent.most == 1 and [turn.attempt for turn in after.agent.turns] == [2, 2, 2]
    store.close()


def test_a_session_that_waits_for_turns_that_a_crash_cut_is_not_called_crowded(open_rooms):
    store = MemoryStore()
    first = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    for chat in "ab":
        first.say(f"first {chat}", chat=chat)
        eventually(lambda: first.agent.running == 1 + "ab".index(chat))
        for number in range(3):
            first.say(f"{chat}{number}", chat=chat)
    store.recover(SystemClock().wall())
    gate = gevent.event.Event()
    after = open_rooms(store, ScriptedAgent(lambda turn: gate.wait()))
    after.lanes.offer_all(store.sessions_waiting(), store.sessions_cut())
    eventually(lambda: after.agent.running == 1)
    for number in range(3, 9):  # one of them waits for the other's rerun, and neither lets anybody in vain
        after.say(f"b{number}", chat="b")
    for number in range(3, 6):
        after.say(f"a{number}", chat="a")
    gate.set()
    eventually(lambda: len(after.agent.turns) == 17 and not store.sessions_waiting())
    assert not store.dead()


def test_what_an_earlier_process_accepted_does_not_crowd_a_session_and_what_comes_beyond_it_does(open_rooms):
    store = MemoryStore()
    first = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    for number in range(5):
        first.say(f"m{number}", route=number == 0)
    eventually(lambda: first.agent.running == 1)
    first.lanes.drain(0)
    gate = gevent.event.Event()
    after = open_rooms(store, ScriptedAgent(lambda turn: gate.wait()))
    after.lanes.offer_all(store.sessions_waiting(), store.sessions_cut())
    eventually(lambda: after.agent.running == 1)
    for number in range(6):
        after.say(f"n{number}")
    gate.set()
    eventually(lambda: not store.sessions_waiting() and after.lanes.active == 0)
    assert sorted(letter.text for letter in store.dead()) == ["n4", "n5"]


def test_a_row_that_is_leased_after_all_turns_were_parked_is_parked_too(open_rooms):
    """Else it would be a turn cut by a crash at the next start, though the process has ended in order."""

    class Slow(MemoryStore):
        def lease_session(self, *args, **named):
            asked.set()
            lease = super().lease_session(*args, **named)
            answer.wait()
            return lease

    asked, answer = gevent.event.Event(), gevent.event.Event()
    store = Slow()
    rooms = open_rooms(store, ScriptedAgent(lambda turn: gevent.sleep(30)))
    rooms.say("hello")
    asked.wait()
    gevent.spawn_later(0.01, answer.set)
    rooms.lanes.drain(0)
    assert not rooms.agent.turns and store.sessions_waiting() and not store.sessions_cut()
