"""From a committed row to a receipt: order, one turn a session, crowding, commands, parking, poison."""

from collections import deque

import gevent
import pytest
from gevent.event import Event
from loguru import logger

from hermes_green.core.errors import AgentFailed, AgentTimeout, StoreAway
from hermes_green.core.model import Caps, Inbound, Peer, Rate, Reaction
from hermes_green.core.options import Access
from hermes_green.core.ports import Intake
from hermes_green.runtime import gates
from hermes_green.runtime.texts import say
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms, ScriptedAgent


@pytest.fixture
def open_rooms():
    opened = []

    def make(*args, **kwargs):
        rooms = Rooms(kwargs.pop("store", None) or MemoryStore(), *args, **kwargs)
        opened.append(rooms)
        return rooms

    yield make
    for rooms in opened:
        rooms.close()


def test_a_message_is_answered_and_remembered(open_rooms):
    rooms = open_rooms()
    rooms.say("hello")
    eventually(lambda: rooms.texts == ["re: hello"])
    history = rooms.store.history("one:c", 5)
    assert [(line.role, line.text) for line in history] == [("user", "hello"), ("assistant", "re: hello")]


def test_a_session_has_one_turn_at_a_time_in_the_order_of_commit(open_rooms):
    agent = ScriptedAgent(lambda turn: gevent.sleep(0.002))
    rooms = open_rooms(agent, queue=50)
    for number in range(10):
        rooms.say(f"n{number}")
    eventually(lambda: len(rooms.texts) == 10)
    assert rooms.texts == [f"re: n{number}" for number in range(10)] and agent.most == 1


def test_a_message_foreseen_and_found_a_duplicate_leaves_no_lane_behind(open_rooms):
    rooms = open_rooms()
    rooms.say("hello", key="k")
    eventually(lambda: rooms.texts == ["re: hello"])
    assert rooms.say("hello", key="k") is None
    eventually(lambda: not rooms.lanes._lanes)
    rooms.say("again")
    eventually(lambda: rooms.texts == ["re: hello", "re: again"])


def test_a_row_that_is_only_foreseen_does_not_crowd_its_session(open_rooms):
    rooms = open_rooms(queue=1)
    rooms.say("hello")
    eventually(lambda: rooms.texts == ["re: hello"])
    assert not rooms.store.dead()


def test_of_chats_that_were_answered_nothing_is_kept_but_what_has_a_bound(open_rooms, monkeypatch):
    monkeypatch.setattr(gates, "REMEMBER", 20)
    monkeypatch.setattr(gates, "FORGET_EVERY", 0.0)
    rooms = open_rooms(adapter=ScriptedAdapter(caps=Caps(rates=(Rate(5, 0.01),))))
    for number in range(200):
        rooms.say("hi", chat=f"c{number}")
        if not number % 20:
            gevent.sleep(0.005)
    eventually(lambda: len(rooms.texts) == 200)
    rooms.say("last")
    eventually(lambda: len(rooms.texts) == 201 and not rooms.lanes._lanes and not rooms.delivery._workers)
    parts = (rooms.desk, rooms.lanes, rooms.turns, rooms.delivery, rooms.delivery.gates)
    kept = {(type(part).__name__, name): len(value) for part in parts for name, value in vars(part).items()
            if isinstance(value, (dict, set, list, deque))}  # fmt: skip
    assert len(kept) >= 8 and max(kept.values()) <= 42, kept


def test_sessions_run_side_by_side_up_to_the_limit(open_rooms):
    agent = ScriptedAgent(lambda turn: gevent.sleep(0.008))
    rooms = open_rooms(agent, max_parallel=3)
    for number in range(9):
        rooms.say("hi", chat=f"c{number}")
    eventually(lambda: len(rooms.texts) == 9)
    assert agent.most == 3


def test_a_crowded_session_says_so_once_and_keeps_the_message_as_a_dead_letter(open_rooms):
    gate = Event()
    rooms = open_rooms(ScriptedAgent(lambda turn: gate.wait()), queue=2)
    for number in range(4):
        rooms.say(f"n{number}")
    eventually(lambda: any("Too many" in text for text in rooms.texts))
    assert [letter.text for letter in rooms.store.dead()] == ["n3"], "what runs does not wait: two may wait beside it"
    gate.set()
    eventually(lambda: len(rooms.texts) == 4)


@pytest.mark.parametrize(
    ("error", "words"),
    [(AgentFailed("500"), "agent failed"), (AgentTimeout("slow"), "too long"), (ZeroDivisionError(), "agent failed")],
)
def test_an_agent_that_fails_costs_one_apology_and_the_chat_goes_on(open_rooms, error, words):
    def before(turn):
        if turn.text == "bad":
            raise error

    rooms = open_rooms(ScriptedAgent(before))
    rooms.say("bad")
    rooms.say("good")
    eventually(lambda: len(rooms.texts) == 2)
    assert words in rooms.texts[0] and rooms.texts[1] == "re: good"


def test_an_agent_beyond_its_deadline_is_cut_off(open_rooms):
    rooms = open_rooms(ScriptedAgent(lambda turn: gevent.sleep(30)), timeout=0.02)
    rooms.say("slow")
    eventually(lambda: rooms.texts)
    assert "too long" in rooms.texts[0] and rooms.agent.running == 0


def test_stop_is_answered_at_once_and_ends_the_turn_in_progress(open_rooms):
    rooms = open_rooms(ScriptedAgent(lambda turn: gevent.sleep(30) if turn.text == "long" else None))
    rooms.say("long")
    eventually(lambda: rooms.agent.running)
    rooms.say("/stop")
    eventually(lambda: rooms.texts == ["Stopped."] and not rooms.agent.running)
    rooms.say("next")
    eventually(lambda: rooms.texts[-1] == "re: next")


def test_status_answers_while_the_agent_is_stuck(open_rooms):
    rooms = open_rooms(ScriptedAgent(lambda turn: gevent.sleep(30)))
    rooms.say("long")
    eventually(lambda: rooms.agent.running)
    rooms.say("/status")
    eventually(lambda: rooms.texts)
    assert rooms.texts[0] == "one: READY. Answering: yes. Waiting: 0."


def test_a_new_conversation_forgets_what_was_said(open_rooms):
    rooms = open_rooms()
    rooms.say("one")
    rooms.say("/new")
    rooms.say("two")
    eventually(lambda: len(rooms.texts) == 3)
    assert rooms.agent.turns[-1].history == ()


def test_a_refused_sender_costs_no_agent_call_and_leaves_no_text(open_rooms):
    rooms = open_rooms(access=Access(dm="allowlist"))
    rooms.say("secret", user_id="u")
    eventually(lambda: not rooms.store.sessions_waiting())
    assert rooms.agent.turns == [] and rooms.texts == [] and not rooms.store.dead()


def test_a_stranger_is_told_how_to_be_let_in(open_rooms):
    rooms = open_rooms(access=Access(dm="pairing"))
    rooms.say("hi", user_id="u7")
    eventually(lambda: rooms.texts)
    assert "u7" in rooms.texts[0] and rooms.agent.turns == []


def test_a_drain_parks_the_turn_and_the_next_process_goes_on_with_it(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(ScriptedAgent(lambda turn: gevent.sleep(30)), store=store)
    rooms.say("long")
    eventually(lambda: rooms.agent.running)
    assert rooms.lanes.drain(0.01) == 1
    assert rooms.agent.running == 0
    after = open_rooms(store=store)
    after.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: after.texts == ["re: long"])
    assert after.agent.turns[0].attempt == 1 and after.agent.turns[0].id == rooms.agent.turns[0].id


def test_a_turn_parked_before_its_first_step_is_not_lost(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    leased = []
    original = store.lease_session

    def lease_and_drain(*args):
        lease = original(*args)
        leased.append(lease)
        gevent.spawn(rooms.lanes.drain, 0)
        return lease

    store.lease_session = lease_and_drain
    rooms.say("x")
    eventually(lambda: leased)
    gevent.sleep(0.02)
    assert rooms.texts == ["re: x"] or store.sessions_waiting() == {"one:c": 1}


def cut(store, rooms, times=1):
    """What ``times`` crashes in mid-turn leave behind."""
    for _ in range(times):
        store.lease_session("one:c", "dead", 100, rooms.clock.wall())
        store.recover(rooms.clock.wall())


def test_a_turn_cut_by_a_crash_runs_again_with_the_same_id(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    rooms.say("x", route=False)
    cut(store, rooms)
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: rooms.texts == ["re: x"])
    assert rooms.agent.turns[0].attempt == 2


def test_a_turn_that_kills_the_process_again_and_again_is_given_up(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store, poison_limit=3)
    rooms.say("x", route=False)
    cut(store, rooms, 3)
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: store.dead())
    assert rooms.agent.turns == [] and "3 attempts" in store.dead()[0].reason


def test_turns_cut_before_run_again_one_at_a_time(open_rooms):
    store = MemoryStore()
    agent = ScriptedAgent(lambda turn: gevent.sleep(0.004))
    rooms = open_rooms(agent, store=store)
    for number in range(5):
        rooms.say("x", chat=f"c{number}", route=False)
        store.lease_session(f"one:c{number}", "dead", 100, rooms.clock.wall())
    store.recover(rooms.clock.wall())
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: len(rooms.texts) == 5)
    assert agent.most == 1


@pytest.mark.parametrize(("policy", "said"), [("notify", "interrupted"), ("drop", None)])
def test_what_becomes_of_a_cut_turn_is_the_operators_choice(open_rooms, policy, said):
    store = MemoryStore()
    rooms = open_rooms(store=store, on_crash=policy)
    rooms.say("x", route=False)
    cut(store, rooms)
    rooms.lanes.offer_all(store.sessions_waiting())
    if said:
        eventually(lambda: rooms.texts)
        assert said in rooms.texts[0]
    else:
        eventually(lambda: store.dead())
        assert rooms.texts == []
    assert rooms.agent.turns == []


def test_a_message_of_a_child_that_was_removed_is_a_dead_letter_that_names_it(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    inbound = Inbound(("k",), Peer("gone", "c", "dm"), "m", "hello")
    store.accept("gone", [Intake(inbound, "gone:c")], rooms.clock.wall())
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: store.dead())
    (letter,) = store.dead()
    assert (letter.text, letter.reason) == ("hello", "child gone is no longer configured")


def test_a_timeout_that_an_agent_or_an_adapter_let_out_leaves_no_row_to_nobody(open_rooms):
    def late(*args):
        raise gevent.Timeout(1)

    rooms = open_rooms(agent=ScriptedAgent(late))
    rooms.say("a")
    eventually(lambda: rooms.texts and "failed" in rooms.texts[0])
    rooms.agent.before = lambda turn: None
    usual, rooms.adapter.render = rooms.adapter.render, late
    for text in ("b", "/whoami"):
        rooms.say(text)
    eventually(lambda: rooms.store.counts(rooms.clock.wall()).inbox == 0)
    assert sorted(letter.text for letter in rooms.store.dead()) == ["/whoami", "b"]
    rooms.adapter.render = usual
    rooms.say("c")
    eventually(lambda: "re: c" in rooms.texts)


@pytest.mark.parametrize(
    "about", [{"reaction": Reaction("+1")}, {"mentioned": False}], ids=["a reaction", "talk among others"]
)
def test_what_nobody_waits_for_of_a_child_that_was_removed_ends_quietly(open_rooms, about):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    inbound = Inbound(("k",), Peer("gone", "c", "group"), "m", "", **about)
    store.accept("gone", [Intake(inbound, "gone:c")], rooms.clock.wall())
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: store.counts(rooms.clock.wall()).inbox == 0)
    (line,) = store.audit(0)
    assert (line.state, line.reason) == ("refused", "child gone is no longer configured")
    assert not store.dead() and not rooms.reactions and not rooms.agent.turns


def test_what_was_refused_before_its_child_was_removed_ends_as_refused(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store, access=Access(dm="closed"))
    rooms.express("one").close()
    row = rooms.say("hello")
    rooms.child = None
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: store.counts(rooms.clock.wall()).inbox == 0)
    (line,) = store.audit(0)
    assert row and (line.state, line.reason) == ("refused", "not allowed") and not store.dead()


@pytest.mark.parametrize("sent, stale", [(-90_000.0, True), (-80_000.0, False), (90_000.0, False), (None, False)])
def test_a_message_too_old_when_its_turn_begins_is_answered_and_marked(open_rooms, sent, stale):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    now = rooms.clock.wall()
    at = None if sent is None else now + sent
    inbound = Inbound(("k",), Peer("one", "c", "dm"), "m", "hello", sent_at=at)
    store.accept("one", [Intake(inbound, "one:c")], now)
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: rooms.texts == ["re: hello"])
    assert (rooms.agent.turns[0].stale, rooms.turns.stale) == (stale, int(stale))
    assert [line.stale for line in store.audit(0.0)] == [stale]


def test_a_message_that_waited_here_for_too_long_is_marked_though_its_platform_tells_no_time(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    inbound = Inbound(("k",), Peer("one", "c", "dm"), "m", "hello")
    store.accept("one", [Intake(inbound, "one:c")], rooms.clock.wall() - 90_000)
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: rooms.texts == ["re: hello"])
    assert rooms.agent.turns[0].stale


def test_a_sender_no_longer_welcome_gets_no_turn_for_what_still_waits(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    rooms.say("x", route=False)
    rooms.turns._admit = lambda inbound: False
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: not store.sessions_waiting() and rooms.lanes.active == 0)
    assert rooms.agent.turns == [] and rooms.texts == []


def test_a_command_left_by_an_earlier_process_is_not_told_to_the_agent(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store)
    rooms.say("/stop", route=False)
    rooms.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: not store.sessions_waiting() and rooms.lanes.active == 0)
    assert rooms.agent.turns == [] and not store.dead()
    eventually(lambda: rooms.texts == ["Nothing is running here."])


def test_a_store_that_is_away_in_mid_turn_gives_the_turn_back_and_it_goes_on(open_rooms, monkeypatch):
    monkeypatch.setattr("hermes_green.runtime.lanes.STORE_RETRY", 0.01)
    store = MemoryStore()
    rooms = open_rooms(store=store)
    history, failures = store.history, [StoreAway("locked"), StoreAway("locked")]

    def shaky(*args):
        if failures:
            raise failures.pop()
        return history(*args)

    store.history = shaky
    rooms.say("x")
    eventually(lambda: rooms.texts == ["re: x"])
    assert rooms.agent.turns[0].attempt == 1


def test_an_answer_that_waits_long_for_the_store_is_told_once(open_rooms, monkeypatch):
    monkeypatch.setattr("hermes_green.runtime.turn.STORE_RETRY", 0.001)
    said, store, failures = [], MemoryStore(), [StoreAway("full")] * 20
    sink, commit = logger.add(lambda line: said.append(line.record["message"]), level="WARNING"), store.commit_turn

    def commit_turn(*args):
        if failures:
            raise failures.pop()
        return commit(*args)

    store.commit_turn = commit_turn
    rooms = open_rooms(store=store)
    rooms.say("x")
    eventually(lambda: rooms.texts == ["re: x"])
    logger.remove(sink)
    assert len([line for line in said if "full" in line]) == 1


def test_an_answer_that_cannot_be_rendered_is_a_dead_letter_and_the_session_goes_on(open_rooms):
    rooms = open_rooms()
    render = rooms.adapter.render
    rooms.adapter.render = lambda reply: 1 / 0 if "bad" in reply.text else render(reply)
    rooms.say("bad")
    rooms.say("good")
    eventually(lambda: rooms.texts == [say("failed", "en"), "re: good"])
    assert "rendered" in rooms.store.dead()[0].reason
