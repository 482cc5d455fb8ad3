"""Rows that pass their lane and rows of that lane, side by side: each comes to an end of its own."""

import gevent
import pytest
from gevent.event import Event
from loguru import logger

from hermes_green.core.errors import StoreAway
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access
from hermes_green.runtime import loops
from hermes_green.runtime.intake import Intake, Offer
from hermes_green.runtime.limits import Limit, Rules
from hermes_green.runtime.texts import say
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore
from tests.support.children import eventually
from tests.support.rooms import Rooms, ScriptedAgent

GROUP = Access(dm="open", group="open", require_mention=True)


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.thorough)])
def store(request, tmp_path):
    made = SqliteStore(tmp_path / "store.db") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


@pytest.fixture
def come(store):
    """Rooms, and how messages ``(text, mentioned)`` of one group come into them: all in one batch."""
    opened = []

    def open_rooms(**kwargs):
        rooms = Rooms(store, **kwargs)
        intake = Intake(
            "one",
            store,
            rooms.clock,
            logger,
            lambda peer: f"one:{peer.chat_id}",
            rooms.desk.route,
            rooms.desk.foresee,
            rooms.desk.judge,
            rooms.lanes.unforesee,
            rooms.policy.addressed,
        )
        opened.append((rooms, intake))

        def arrive(*messages, chat="g", **more):
            peer = Peer("one", chat, "group", user_id="u")
            for text, mentioned in messages:
                inbound = Inbound((text,), peer, text, text, mentioned=mentioned, **more)
                intake.offer(Offer(inbound, None, {}))

        return rooms, arrive

    yield open_rooms
    for rooms, intake in opened:
        intake.close(1)
        rooms.close()


def nothing_waits(rooms):
    eventually(lambda: rooms.store.counts(rooms.clock.wall()).inbox == 0)


def test_talk_that_is_not_for_the_bot_takes_no_turn_from_what_is(come):
    rooms, arrive = come(access=GROUP)
    arrive(("chatter", False), ("more", False), ("hello", True))
    eventually(lambda: rooms.texts == ["re: hello"])
    nothing_waits(rooms)


def test_talk_in_a_group_where_nobody_need_mention_the_bot_is_merged_with_what_mentions_it(come):
    rooms, arrive = come(access=Access(group="open", require_mention=False), mode="merge")
    arrive(("hello", True), ("and", False))
    eventually(lambda: rooms.texts == ["re: hello\nand"])
    nothing_waits(rooms)


def test_a_command_that_comes_with_a_message_is_answered_and_so_is_the_message(come):
    rooms, arrive = come()
    arrive(("/whoami", True), ("hello", True))
    eventually(lambda: len(rooms.texts) == 2)
    assert "re: hello" in rooms.texts
    nothing_waits(rooms)


def test_a_message_is_answered_though_its_lane_was_faster_than_those_that_pass_it(come):
    rooms, arrive = come(access=GROUP)
    held = Event()
    rooms.express("one").later(held.wait)
    arrive(("chatter", False))
    gevent.sleep(0.05)
    arrive(("hello", True))
    gevent.sleep(0.05)
    held.set()
    eventually(lambda: rooms.texts == ["re: hello"])
    nothing_waits(rooms)


def held(rooms):
    """Nothing passes the lanes until the event is set."""
    event = Event()
    rooms.express("one").later(event.wait)
    gevent.sleep(0)
    return event


@pytest.mark.parametrize("text, said", [("/status", "Answering: no"), ("/stop", "Nothing is running")])
def test_a_command_is_answered_though_its_lane_was_faster_than_those_that_pass_it(come, text, said):
    gate = Event()
    rooms, arrive = come(agent=ScriptedAgent(lambda turn: gate.wait()))
    arrive(("long", True))
    eventually(lambda: rooms.agent.running)
    event = held(rooms)
    arrive((text, True), ("next", True))
    eventually(lambda: rooms.lanes.waiting("one:g") == 2)
    gate.set()
    eventually(lambda: len(rooms.texts) >= 2)
    event.set()
    eventually(lambda: len(rooms.texts) == 3)
    assert rooms.texts[0] == "re: long" and "re: next" in rooms.texts
    assert [answer for answer in rooms.texts if said in answer]
    nothing_waits(rooms)


def test_a_limit_holds_for_the_messages_of_one_batch_in_several_chats_too(come):
    rules = Rules(user=Limit(messages_per_minute=2))
    rooms, arrive = come(policy={"limits": rules})
    event = held(rooms)
    for chat in "abcd":
        arrive((f"to {chat}", True), chat=chat)
    eventually(lambda: len(rooms.texts) >= 2)
    gevent.sleep(0.05)
    event.set()
    nothing_waits(rooms)
    assert sorted(turn.text for turn in rooms.agent.turns) == ["to a", "to b"]


def test_a_limit_holds_for_the_messages_of_one_batch_that_would_be_one_turn(come):
    rooms, arrive = come(policy={"limits": Rules(user=Limit(messages_per_minute=2))}, mode="merge")
    event = held(rooms)
    arrive(*((text, True) for text in "abcd"))
    eventually(lambda: rooms.texts)
    event.set()
    nothing_waits(rooms)
    assert "\n".join(turn.text for turn in rooms.agent.turns) == "a\nb"
    assert not rooms.desk._aside and not rooms.desk._judged


TOO_MUCH = say("over_minute", "en")


@pytest.mark.parametrize("passes", [False, True])
def test_who_wrote_too_much_in_one_go_is_told_so_once_whoever_gets_to_the_rows_first(come, passes):
    rooms, arrive = come(policy={"limits": Rules(user=Limit(messages_per_minute=2))}, mode="merge")
    event = held(rooms)
    if passes:
        event.set()
    arrive(*((text, True) for text in "abcd"))
    eventually(lambda: len(rooms.texts) == 2)
    event.set()
    nothing_waits(rooms)
    eventually(lambda: rooms.store.counts(rooms.clock.wall()).outbox == 0)
    assert sorted(rooms.texts) == sorted(["re: a\nb", TOO_MUCH])
    ends = {line.message_id: (line.state, line.delivered) for line in rooms.store.audit(0)}
    assert (ends.pop("a"), ends.pop("b")) == (("done", 0), ("done", 1))
    assert sorted(ends.values()) == [("refused", 0), ("refused", 1)]
    assert not rooms.desk._aside
    eventually(lambda: not rooms.lanes.waiting("one:g"))


def test_who_wrote_nothing_but_too_much_is_told_so_once_where_the_lane_was_faster(come):
    rooms, arrive = come(policy={"limits": Rules(user=Limit(messages_per_minute=1))}, mode="merge")
    arrive(("a", True))
    eventually(lambda: rooms.texts == ["re: a"])
    event = held(rooms)
    arrive(("b", True), ("c", True), ("d", True))
    rooms.lanes.offer("one:g", 3)
    eventually(lambda: rooms.texts == ["re: a", TOO_MUCH])
    event.set()
    nothing_waits(rooms)
    assert len(rooms.agent.turns) == 1 and rooms.texts[1:] == [TOO_MUCH]


def test_what_bots_said_too_much_of_in_one_go_is_refused_and_no_part_of_the_turn(come, monkeypatch):
    monkeypatch.setattr(loops, "MOST", 2)
    rooms, arrive = come(access=Access(dm="open", group="open", bots=True), mode="merge")
    event = held(rooms)
    arrive(*((text, True) for text in "abcd"), bot=True)
    eventually(lambda: rooms.texts == ["re: a\nb"])
    event.set()
    nothing_waits(rooms)
    assert [line.state for line in rooms.store.audit(0)] == ["done", "done", "refused", "refused"]


def test_rows_are_taken_apart_once_the_store_is_back(come, store):
    rooms, arrive = come(policy={"limits": Rules(user=Limit(messages_per_minute=2))}, mode="merge")
    event, detach, away = held(rooms), store.detach, [StoreAway("full")] * 2
    store.detach = lambda *args: detach(*args) if not away else away_now(away)
    arrive(*((text, True) for text in "abc"))
    eventually(lambda: len(rooms.texts) == 2)
    event.set()
    nothing_waits(rooms)
    assert sorted(rooms.texts) == sorted(["re: a\nb", TOO_MUCH]) and not away
    assert not rooms.desk._aside
    eventually(lambda: not rooms.lanes.waiting("one:g"))


def test_a_bug_that_a_lane_meets_before_its_turn_leaves_no_row_to_nobody(come, monkeypatch):
    rooms, arrive = come()
    monkeypatch.setattr(rooms.desk, "_left_over", lambda lease: 1 / 0)
    arrive(("a", True), ("b", True))
    eventually(lambda: rooms.texts == ["re: a", "re: b"])
    nothing_waits(rooms)


def away_now(errors):
    raise errors.pop()


def test_a_line_about_too_much_that_cannot_be_made_costs_the_others_no_answer(come):
    rooms, arrive = come(policy={"limits": Rules(user=Limit(messages_per_minute=2))}, mode="merge")
    event, render = held(rooms), rooms.adapter.render
    rooms.adapter.render = lambda reply: 1 / 0 if reply.text == TOO_MUCH else render(reply)
    arrive(*((text, True) for text in "abc"))
    eventually(lambda: rooms.texts == ["re: a\nb"])
    event.set()
    nothing_waits(rooms)
    assert [line.state for line in rooms.store.audit(0)] == ["done", "done", "dead"]


def test_to_take_up_what_waits_a_second_time_crowds_nobody(come):
    gate = Event()
    rooms, arrive = come(agent=ScriptedAgent(lambda turn: gate.wait()), queue=4)
    arrive(("a", True), ("b", True), ("c", True))
    eventually(lambda: rooms.lanes.busy("one:g") is not None)
    for _ in range(3):
        rooms.lanes.offer_all(rooms.store.sessions_waiting())
    arrive(("d", True))
    gate.set()
    eventually(lambda: rooms.texts == ["re: a", "re: b", "re: c", "re: d"])
    assert not rooms.store.dead()


def test_a_refusal_that_cannot_be_written_ends_its_row_as_a_dead_letter(come):
    rooms, arrive = come()
    rooms.adapter.render = lambda reply: 1 / 0
    arrive(("/whoami", True))
    eventually(lambda: [letter.text for letter in rooms.store.dead()] == ["/whoami"])
    nothing_waits(rooms)


def test_a_message_that_cannot_be_written_waits_for_a_store_that_is_away_and_lets_others_run(come, store):
    rooms, arrive = come()
    taken, kept, away = store.accept, store.quarantine, [StoreAway("full")] * 3

    def accept(child, items, now):
        if items[0].inbound.text == "bad":
            raise TypeError("not JSON")
        return taken(child, items, now)

    def quarantine(*args):
        if away:
            raise away.pop()
        return kept(*args)

    store.accept, store.quarantine = accept, quarantine
    seen = []
    gevent.spawn_later(0.01, lambda: seen.append(len(away)))
    arrive(("bad", True))
    eventually(lambda: not away)
    assert seen == [2], "what else was due ran between the first try and the last"
    arrive(("good", True))
    eventually(lambda: rooms.texts == ["re: good"])
    assert store.counts(rooms.clock.wall()).quarantine == 1


def test_what_was_refused_stays_out_of_a_merged_turn_though_it_was_asked_for_before_that_began(come):
    rules, gate = Rules(user=Limit(messages_per_minute=2)), Event()
    rooms, arrive = come(agent=ScriptedAgent(lambda turn: gate.wait()), mode="merge", policy={"limits": rules})
    arrive(("long", True))
    eventually(lambda: rooms.agent.running)
    event, take = held(rooms), rooms.desk.take

    def late(lease):
        event.set()
        gevent.sleep(0.05)
        return take(lease)

    rooms.desk.take = late
    arrive(("a", True), ("b", True), ("c", True))
    eventually(lambda: len(rooms.store.sessions_waiting()) == 1 and rooms.lanes.waiting("one:g") == 2)
    gate.set()
    nothing_waits(rooms)
    assert [turn.text for turn in rooms.agent.turns] == ["long", "a"]
    assert not rooms.desk._aside


@pytest.mark.parametrize("step", ["_verdict", "_enter"])
def test_a_bug_that_one_message_meets_costs_no_other_its_answer(come, step, monkeypatch):
    rooms, arrive = come()
    usual = getattr(rooms.desk, step)
    broken = lambda *args: 1 / 0 if "'bad'" in str(args) else usual(*args)  # noqa: E731
    monkeypatch.setattr(rooms.desk, step, broken)
    for text in ("bad", "good", "better"):
        arrive((text, True), chat=f"to {text}")
    gevent.sleep(0.01)
    arrive(("later", True), chat="h")
    eventually(lambda: {"re: good", "re: better", "re: later"} <= set(rooms.texts))


@pytest.mark.parametrize("known", ["after", "meanwhile", "before"])
def test_a_repeat_of_what_an_earlier_process_took_costs_no_later_message_its_answer(come, store, known):
    gate = Event()
    rooms, arrive = come(agent=ScriptedAgent(lambda turn: gate.wait(5) or None))
    rooms.say("old", chat="g", route=False)  # as an earlier process left it

    def take_up():
        rooms.lanes.offer_all(store.sessions_waiting())

    if known == "before":
        take_up()
    arrive(("g old", True), ("g old", True))
    if known == "meanwhile":
        take_up()
    eventually(lambda: rooms.agent.running == 1)
    if known == "after":
        take_up()
    arrive(("new", True))
    eventually(lambda: store.counts(rooms.clock.wall()).inbox == 2)
    gate.set()
    eventually(lambda: rooms.texts == ["re: old", "re: new"])
    nothing_waits(rooms)
    eventually(lambda: not rooms.lanes._lanes)


def test_a_new_message_that_comes_before_what_waits_is_known_leaves_nothing_behind(come, store):
    rooms, arrive = come()
    rooms.say("old", chat="g", route=False)
    waiting = store.sessions_waiting()  # read before the new one, heeded after it
    arrive(("new", True))
    rooms.lanes.offer_all(waiting)
    eventually(lambda: rooms.texts == ["re: old", "re: new"])
    nothing_waits(rooms)
