"""A message that comes while the agent works: a test for each cell of ARCHITECTURE's table of busy modes."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.errors import StoreAway
from hermes_green.core.model import Attachment
from hermes_green.core.options import Access
from hermes_green.runtime import turn
from hermes_green.store.memory import MemoryStore
from tests.support.children import eventually
from tests.support.rooms import Rooms, ScriptedAgent

MODES = ("queue", "merge", "interrupt", "steer")


class Gated(ScriptedAgent):
    """Works on each turn until the test lets it; ``takes``: it takes messages meanwhile (None: it cannot)."""

    def __init__(self, takes: bool | None = None) -> None:
        super().__init__(self._wait)
        self.steers = takes is not None
        self.takes = takes
        self.steered: list[str] = []
        self._gate = Event()

    def _wait(self, turn: Any) -> None:
        self._gate.wait()

    def steer(self, turn_id: str, text: str) -> bool:
        self.steered.append(text)
        return bool(self.takes)

    def let(self) -> None:
        """All turns from now on end at once."""
        self._gate.set()

    def asked(self) -> list[str]:
        return [turn.text for turn in self.turns]


@pytest.fixture
def open_rooms():
    opened = []

    def make(agent: Any = None, **kwargs: Any) -> Rooms:
        rooms = Rooms(kwargs.pop("store", None) or MemoryStore(), agent or Gated(), queue=20, **kwargs)
        opened.append(rooms)
        return rooms

    yield make
    for rooms in opened:
        rooms.close()


def working(rooms: Rooms) -> Rooms:
    """The agent has begun with ``first``."""
    rooms.say("first")
    eventually(lambda: rooms.agent.running == 1)
    return rooms


def settled(rooms: Rooms) -> None:
    eventually(lambda: not rooms.store.sessions_waiting() and rooms.lanes.active == 0)


@pytest.mark.parametrize("mode", MODES)
def test_in_every_mode_a_message_to_an_idle_agent_is_begun_at_once(open_rooms, mode):
    rooms = working(open_rooms(mode=mode))
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first"])


def test_queue_answers_each_message_in_its_turn(open_rooms):
    rooms = working(open_rooms(mode="queue"))
    for text in "abc":
        rooms.say(text)
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: a", "re: b", "re: c"])


def test_merge_answers_what_came_meanwhile_as_one(open_rooms):
    rooms = working(open_rooms(mode="merge"))
    for text in "abc":
        rooms.say(text)
    assert rooms.agent.asked() == ["first"]
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: a\nb\nc"])
    settled(rooms)
    history = rooms.store.history("one:c", 9)
    assert [line.text for line in history] == ["first", "re: first", "a\nb\nc", "re: a\nb\nc"]


def test_merge_keeps_two_users_apart(open_rooms):
    rooms = working(open_rooms(mode="merge"))
    rooms.say("a", user_id="u")
    rooms.say("b", user_id="v")
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: a", "re: b"])


@pytest.mark.parametrize("mode", ["merge", "interrupt"])
def test_what_a_user_says_to_others_joins_no_turn_of_what_he_says_to_the_bot(open_rooms, mode):
    rooms = open_rooms(mode=mode, access=Access(dm="open", group="open", require_mention=True))
    for text, mentioned in (("hello", True), ("psst", False), ("again", True)):
        rooms.say(text, kind="group", user_id="u", mentioned=mentioned, route=False)
    rooms.lanes.offer_all(rooms.store.sessions_waiting())
    rooms.agent.let()
    settled(rooms)
    assert rooms.agent.asked() == ["hello", "again"]


def test_where_nobody_need_mention_the_bot_merge_joins_what_does_and_what_does_not(open_rooms):
    rooms = open_rooms(mode="merge", access=Access(dm="open", group="open", require_mention=False))
    for text, mentioned in (("hello", True), ("and", False), ("again", True)):
        rooms.say(text, kind="group", user_id="u", mentioned=mentioned, route=False)
    rooms.lanes.offer_all(rooms.store.sessions_waiting())
    rooms.agent.let()
    settled(rooms)
    assert rooms.agent.asked() == ["hello\nand\nagain"]


def test_interrupt_ends_the_turn_and_goes_on_with_the_message_knowing_what_was_said(open_rooms):
    rooms = working(open_rooms(mode="interrupt"))
    rooms.say("second")
    eventually(lambda: rooms.agent.asked() == ["first", "second"])
    assert rooms.agent.running == 1
    assert [line.text for line in rooms.agent.turns[1].history] == ["first", "(interrupted)"]
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: second"])
    settled(rooms)


def test_interrupt_joins_messages_that_come_faster_than_turns_begin(open_rooms):
    rooms = working(open_rooms(mode="interrupt"))
    rooms.say("a")
    rooms.say("b")
    eventually(lambda: rooms.agent.asked() == ["first", "a\nb"])
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: a\nb"])


def test_an_interruption_that_comes_too_late_loses_neither_answer(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(mode="interrupt", store=store)
    commit = store.commit_turn
    late: list[Any] = []

    def commit_and_be_interrupted(lease, end, now):
        found = commit(lease, end, now)
        if end.parts and not late:
            late.append(rooms.say("second"))
            gevent.sleep(0)
        return found

    store.commit_turn = commit_and_be_interrupted
    rooms.agent.let()
    rooms.say("first")
    eventually(lambda: rooms.texts == ["re: first", "re: second"])
    settled(rooms)


def test_steer_gives_the_message_to_the_running_agent_and_ends_it_with_that_turn(open_rooms):
    rooms = working(open_rooms(Gated(takes=True), mode="steer"))
    rooms.say("faster")
    eventually(lambda: rooms.agent.steered == ["faster"] and not rooms.store.sessions_waiting())
    assert rooms.store.counts(0).inbox == 2, "it is not over before the turn is"
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first"])
    settled(rooms)
    assert rooms.agent.asked() == ["first"] and rooms.store.counts(0).inbox == 0
    assert rooms.store.history("one:c", 1)[0].text == "first\nfaster"


def test_what_an_agent_was_given_while_the_store_was_away_is_not_answered_a_second_time(open_rooms, monkeypatch):
    monkeypatch.setattr(turn, "STORE_RETRY", 0.003)
    rooms = working(open_rooms(Gated(takes=True), mode="steer"))
    join, away = rooms.store.join, [StoreAway("full")] * 2
    rooms.store.join = lambda *args: join(*args) if not away else away_now(away)
    rooms.say("faster")
    eventually(lambda: rooms.agent.steered == ["faster"] and not rooms.store.sessions_waiting())
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first"])
    settled(rooms)
    assert rooms.agent.asked() == ["first"] and not away


def away_now(errors):
    raise errors.pop()


def test_steer_queues_what_comes_with_a_file_because_words_alone_can_be_given_to_a_running_agent(open_rooms):
    rooms = working(open_rooms(Gated(takes=True), mode="steer"))
    rooms.say("look", attachments=(Attachment("image", {}, "a.png"),))
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: look"])
    assert rooms.agent.steered == [] and [item.name for item in rooms.agent.turns[1].attachments] == ["a.png"]


@pytest.mark.parametrize("takes", [None, False])
def test_steer_queues_what_the_agent_cannot_or_will_not_take(open_rooms, takes):
    rooms = working(open_rooms(Gated(takes), mode="steer"))
    rooms.say("faster")
    rooms.say("and on")
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: faster", "re: and on"])


@pytest.mark.parametrize("mode", MODES)
def test_queue_as_a_command_waits_in_every_mode_and_is_joined_to_nothing(open_rooms, mode):
    rooms = working(open_rooms(Gated(takes=True), mode=mode))
    rooms.say("/queue later")
    rooms.say("/queue last")
    gevent.sleep(0.005)
    assert rooms.agent.asked() == ["first"] and rooms.agent.steered == []
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: later", "re: last"])


@pytest.mark.parametrize("mode", MODES)
def test_steer_as_a_command_steers_in_every_mode(open_rooms, mode):
    rooms = working(open_rooms(Gated(takes=True), mode=mode))
    rooms.say("/steer faster")
    eventually(lambda: rooms.agent.steered == ["faster"])
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first"])
    settled(rooms)


def test_steer_as_a_command_to_an_idle_agent_is_an_ordinary_message(open_rooms):
    rooms = open_rooms(Gated(takes=True))
    rooms.agent.let()
    rooms.say("/steer hello")
    eventually(lambda: rooms.texts == ["re: hello"])


@pytest.mark.parametrize("mode", MODES)
def test_commands_on_the_conversation_wait_for_their_turn_in_every_mode(open_rooms, mode):
    rooms = working(open_rooms(Gated(takes=True), mode=mode))
    rooms.say("/new")
    gevent.sleep(0.005)
    assert rooms.agent.running == 1 and rooms.texts == []
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "A new conversation begins."])


# --- bursts ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.thorough
def test_in_every_mode_a_burst_within_the_window_becomes_one_turn(open_rooms, mode):
    rooms = open_rooms(mode=mode, policy={"merge_window": 0.03})
    rooms.agent.let()
    for text in "abc":
        rooms.say(text)
    eventually(lambda: rooms.texts == ["re: a\nb\nc"])
    settled(rooms)


def test_with_a_window_queue_still_answers_apart_what_came_apart(open_rooms):
    rooms = working(open_rooms(policy={"merge_window": 0.015}))
    rooms.say("a")
    gevent.sleep(0.045)
    rooms.say("b")
    rooms.agent.let()
    eventually(lambda: rooms.texts == ["re: first", "re: a", "re: b"])


def test_a_burst_without_end_is_begun_with_all_the_same(open_rooms, monkeypatch):
    monkeypatch.setattr("hermes_green.runtime.lanes.BURST", 3)
    rooms = open_rooms(policy={"merge_window": 0.02})
    for number in range(20):
        rooms.say(str(number))
        gevent.sleep(0.008)
        if rooms.agent.turns:
            break
    assert rooms.agent.turns, "after three windows"


def test_a_drain_does_not_wait_for_a_burst_to_end_and_keeps_its_rows(open_rooms):
    store = MemoryStore()
    rooms = open_rooms(store=store, policy={"merge_window": 30})
    rooms.say("a")
    rooms.say("b")
    gevent.sleep(0.01)
    with gevent.Timeout(20):
        rooms.lanes.drain(1.5)
    assert store.sessions_waiting() == {"one:c": 2} and rooms.agent.turns == []


# --- what was queued is durable ---


def die(rooms: Rooms) -> None:
    """End everything at once, as the end of the process would."""
    rooms._express.close()
    found = [each for lane in rooms.lanes._lanes.values() for each in (lane.greenlet, lane.turn) if each is not None]
    rooms.lanes._draining = True
    gevent.killall(found)


@pytest.mark.parametrize("mode", MODES)
def test_what_waits_or_was_steered_when_the_process_dies_is_answered_by_the_next(open_rooms, mode):
    store = MemoryStore()
    rooms = working(open_rooms(Gated(takes=True), mode=mode, store=store))
    for text in ("a", "b"):
        rooms.say(text)
    eventually(lambda: mode != "interrupt" or rooms.agent.asked() == ["first", "a\nb"])
    eventually(lambda: mode != "steer" or not store.sessions_waiting())
    die(rooms)
    before = rooms.agent.turns[-1]
    store.recover(rooms.clock.wall())
    after = open_rooms(Gated(), mode=mode, store=store)
    after.agent.let()
    after.lanes.offer_all(store.sessions_waiting())
    settled(after)
    assert store.counts(0).inbox == 0 and not store.dead()
    wanted = {
        "queue": ["first", "a", "b"],
        "merge": ["first", "a\nb"],
        "interrupt": ["a\nb"],
        "steer": ["first\na\nb"],
    }[mode]
    assert after.agent.asked() == wanted
    again = after.agent.turns[0]
    assert again.id == before.id and again.attempt == 2
