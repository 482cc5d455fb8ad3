"""A draft shows what the agent has said so far; the final text is the outbox's, whatever became of it."""

import time
from dataclasses import replace

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import AgentFailed, SendRefused, SendRetry, SendUnknown, StoreAway
from hermes_green.core.model import Caps, CapsTable, Delta, Inbound, Peer, Rate
from hermes_green.core.ports import Lease
from hermes_green.runtime import drafts, turn
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Place, Rooms, ScriptedAgent


@pytest.fixture
def said():
    """The errors in the log."""
    errors = []
    sink = logger.add(lambda message: errors.append(message.record["message"]), level="ERROR")
    yield errors
    logger.remove(sink)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(drafts, "FIRST_WAIT", 0.002)


class Screen(ScriptedAdapter):
    """An adapter that shows drafts; ``refuse`` raises at the next call."""

    def __init__(self) -> None:
        super().__init__(caps=Caps(streaming=True, draft_every=0.003, key_lifetime=60))
        self.opened = []
        self.updates = []
        self.refuse = []

    def draft_open(self, peer, ref, key, seq, link):
        if self.refuse:
            raise self.refuse.pop(0)
        self.opened.append((key, seq))
        return {"bubble": len(self.opened)}

    def draft_update(self, handle, text, n, link):
        if self.refuse:
            raise self.refuse.pop(0)
        self.updates.append((handle["bubble"], text, n))


class Talker(ScriptedAgent):
    """Says words one by one; ``stop`` may raise or wait in the middle."""

    def __init__(self, words=8, pause=0.003, stop=None) -> None:
        super().__init__()
        self.words, self.pause, self.stop = words, pause, stop

    def run(self, turn):
        self.turns.append(turn)
        for number in range(self.words):
            if number == self.words // 2 and self.stop is not None:
                self.stop()
            yield Delta(f"w{number} ")
            gevent.sleep(self.pause)


FULL = "".join(f"w{number} " for number in range(8))


@pytest.fixture
def make():
    opened = []

    def open_rooms(agent, store=None):
        rooms = Rooms(store or MemoryStore(), agent, Screen())
        opened.append(rooms)
        return rooms

    yield open_rooms
    for rooms in opened:
        rooms.close()


def test_updates_grow_and_the_final_part_carries_the_handle(make):
    rooms = make(Talker())
    rooms.say("x")
    eventually(lambda: rooms.texts == [FULL])
    texts = [text for _, text, _ in rooms.adapter.updates]
    numbers = [n for _, _, n in rooms.adapter.updates]
    assert len(texts) >= 2 and all(FULL.startswith(text) for text in texts)
    assert numbers == sorted(set(numbers))
    final = rooms.adapter.sent[0]
    assert final.handle == {"bubble": 1} and final.reply_seq == rooms.adapter.opened[0][1] + 1


@pytest.mark.parametrize("talker, used", [({}, 1), ({"words": 1, "pause": 0}, 0)], ids=["a draft", "none"])
def test_an_answer_is_cut_into_one_message_less_where_its_draft_has_taken_a_number(make, talker, used):
    rooms = make(Talker(**talker))
    render, replies = rooms.adapter.render, []
    rooms.adapter.render = lambda reply: replies.append(reply) or render(reply)
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert [reply.seq_used for reply in replies] == [used] == [len(rooms.adapter.opened)]


def test_updates_do_not_wait_for_a_limit_that_holds_for_messages_alone(make):
    rooms = make(Talker())
    rooms.adapter.caps = CapsTable(replace(rooms.adapter.caps.default, rates=(Rate(2, 3600.0, drafts=False),)))
    for number in range(2):
        rooms.say("x", key=str(number))
        eventually(lambda: len(rooms.texts) == number + 1)
        assert sum(bubble == number + 1 for bubble, _, _ in rooms.adapter.updates) >= 2


def test_a_short_answer_needs_no_draft(make):
    rooms = make(Talker(words=1, pause=0))
    rooms.say("x")
    eventually(lambda: rooms.texts == ["w0 "])
    assert rooms.adapter.opened == [] and rooms.adapter.sent[0].handle is None


def test_a_platform_that_refuses_drafts_still_gets_the_answer(make):
    rooms = make(Talker())
    rooms.adapter.refuse = [SendRefused("no drafts")]
    rooms.say("x")
    eventually(lambda: rooms.texts == [FULL])
    assert rooms.adapter.opened == []


def test_a_bubble_that_opens_late_is_the_one_that_holds_the_answer(make, monkeypatch):
    """The answer is there while the platform still opens the draft: what opens must not stay empty."""
    monkeypatch.setattr(drafts, "END_TIMEOUT", 0.005)
    rooms = make(Talker(words=6))
    opened = rooms.adapter.draft_open

    def slow(*args):
        handle = opened(*args)
        gevent.sleep(0.06)
        return handle

    rooms.adapter.draft_open = slow
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert len(rooms.adapter.opened) == 1 and rooms.adapter.sent[0].handle == {"bubble": 1}


def test_a_bubble_that_does_not_open_holds_the_answer_up_for_a_bounded_time(make, monkeypatch):
    monkeypatch.setattr(drafts, "CALL_TIMEOUT", 0.05)
    monkeypatch.setattr(drafts, "AGAIN_TIMEOUT", 0.02, raising=False)
    rooms = make(Talker(words=2))
    rooms.adapter.draft_open = lambda *args: gevent.sleep(30)
    rooms.say("x")
    eventually(lambda: rooms.texts == ["w0 w1 "])
    assert rooms.adapter.sent[0].handle is None


@pytest.mark.parametrize("words", [2, 30], ids=["the answer is there", "the answer goes on"])
def test_a_bubble_whose_opening_was_never_answered_is_asked_for_again_and_holds_the_answer(make, monkeypatch, words):
    monkeypatch.setattr(drafts, "CALL_TIMEOUT", 0.03)
    rooms = make(Talker(words=words))
    asked, opened = [], rooms.adapter.draft_open

    def deaf_once(*args):
        asked.append(args[2:4])
        return gevent.sleep(30) if len(asked) == 1 else opened(*args)

    rooms.adapter.draft_open = deaf_once
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert len(asked) == 2 and asked[0] == asked[1], "under the same key and number"
    assert rooms.adapter.sent[0].handle == {"bubble": 1}


def test_an_adapter_is_told_that_its_bubble_may_stand_there_and_can_tell_where(make, monkeypatch):
    monkeypatch.setattr(drafts, "CALL_TIMEOUT", 0.03)
    rooms = make(Talker(words=2))

    def looks(*args):
        try:
            return gevent.sleep(30)
        except SendUnknown:
            gevent.sleep(0.01)
            return {"bubble": "found"}

    rooms.adapter.draft_open = looks
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert rooms.adapter.sent[0].handle == {"bubble": "found"}


def test_a_bubble_that_cannot_be_found_again_is_not_opened_twice(make, monkeypatch):
    monkeypatch.setattr(drafts, "CALL_TIMEOUT", 0.03)
    rooms, asked = make(Talker(words=20)), []

    def unsure(*args):
        asked.append(args)
        try:
            gevent.sleep(30)
        except SendUnknown as error:
            raise SendRefused("whether a draft is open is unknown") from error

    rooms.adapter.draft_open = unsure
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert len(asked) == 1 and rooms.adapter.sent[0].handle is None


def test_a_turn_that_is_parked_does_not_wait_for_its_bubble(make, monkeypatch):
    monkeypatch.setattr(drafts, "HURRY", 0.02)
    rooms = make(Talker(stop=lambda: gevent.sleep(30)))
    opening = []
    rooms.adapter.draft_open = lambda *args: opening.append(args) or gevent.sleep(30)
    rooms.say("x")
    eventually(lambda: opening)
    assert rooms.lanes.drain(0, grace=0.6) == 1
    assert rooms.store.sessions_waiting() == {"one:c": 1} and rooms.store.sessions_cut() == frozenset()


def test_a_throttled_draft_waits_and_goes_on(make):
    rooms = make(Talker(words=12))
    rooms.say("x")
    eventually(lambda: rooms.adapter.opened)
    rooms.adapter.refuse = [SendRetry("slow", after=0.012)]
    eventually(lambda: rooms.texts)
    assert len(rooms.adapter.opened) == 1


def test_an_agent_that_fails_in_the_middle_ends_its_draft_with_the_apology(make):
    def fail():
        gevent.sleep(0.02)
        raise AgentFailed("cut")

    rooms = make(Talker(stop=fail))
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert rooms.adapter.sent[0].handle == {"bubble": 1} and "failed" in rooms.texts[0]


def test_a_stopped_turn_ends_its_draft_as_far_as_it_got(make):
    rooms = make(Talker(stop=lambda: gevent.sleep(30)))
    rooms.say("x")
    eventually(lambda: rooms.adapter.updates)
    rooms.say("/stop")
    eventually(lambda: len(rooms.texts) == 2)
    finished = next(part for part in rooms.adapter.sent if part.handle)
    assert finished.payload["text"].startswith("w0 ") and finished.payload["text"].endswith("Stopped.")


def test_a_turn_that_is_stopped_twice_ends_its_draft_as_far_as_it_got(make, monkeypatch):
    rooms = make(Talker(words=8, stop=lambda: gevent.sleep(30)))
    update = rooms.adapter.draft_update
    monkeypatch.setattr(rooms.adapter, "draft_update", lambda *args: (gevent.sleep(0.03), update(*args)))
    rooms.say("x")
    eventually(lambda: rooms.drafts and rooms.drafts[0].handle and rooms.drafts[0]._busy)
    for _ in range(2):  # while an update is in flight
        rooms.lanes.cancel("one:c", interrupt=True)
        gevent.sleep(0.005)
    eventually(lambda: rooms.adapter.sent)
    (part,) = rooms.adapter.sent
    assert part.handle == {"bubble": 1} and part.payload["text"].startswith("w0")
    assert rooms.store.history("one:c", 1)[1].text.startswith("w0")


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_turn_that_is_stopped_when_all_is_said_ends_its_draft_with_that(make, monkeypatch, interrupt):
    """The agent is done, and the last update still in flight."""
    rooms = make(Talker(words=8))
    update = rooms.adapter.draft_update
    monkeypatch.setattr(rooms.adapter, "draft_update", lambda *args: (gevent.sleep(0.05), update(*args)))
    rooms.say("x")
    eventually(lambda: rooms.drafts and rooms.drafts[0]._over)
    rooms.lanes.cancel("one:c", interrupt=interrupt)
    eventually(lambda: rooms.adapter.sent)
    (part,) = rooms.adapter.sent
    assert part.handle == {"bubble": 1} and part.payload["text"].startswith(FULL.strip())
    assert bool(rooms.store.history("one:c", 1)) == interrupt


def test_a_turn_that_is_stopped_while_its_answer_waits_for_the_store_ends_its_draft(make, monkeypatch):
    monkeypatch.setattr(turn, "STORE_RETRY", 0.01)
    rooms = make(Talker())
    commit, away = rooms.store.commit_turn, [True]

    def commit_turn(*args):
        if away:
            raise StoreAway("full")
        return commit(*args)

    monkeypatch.setattr(rooms.store, "commit_turn", commit_turn)
    rooms.say("x")
    eventually(lambda: rooms.drafts and rooms.drafts[0]._over and not rooms.turns._asking._calls)
    rooms.lanes.cancel("one:c")
    gevent.sleep(0.02)
    away.clear()
    eventually(lambda: rooms.adapter.sent)
    (part,) = rooms.adapter.sent
    assert part.handle == {"bubble": 1} and part.payload["text"].endswith("Stopped.")
    eventually(lambda: not rooms.lanes.active)
    assert not rooms.turns._asking._left


@pytest.mark.parametrize("where", ["render", "history"])
def test_a_turn_that_a_bug_ends_says_so_in_its_draft(make, where):
    rooms = make(Talker())
    render = rooms.adapter.render
    if where == "render":
        rooms.adapter.render = lambda reply: 1 / 0 if reply.text == FULL else render(reply)
    else:
        rooms.turns._spent = lambda *args: 1 / 0
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert "failed" in rooms.texts[0] and rooms.adapter.sent[0].handle == {"bubble": 1}
    eventually(lambda: [letter.text for letter in rooms.store.dead()] == ["x"])


def test_a_stopped_turn_ends_though_what_it_said_cannot_be_rendered(make):
    rooms = make(Talker(stop=lambda: gevent.sleep(30)))
    usual = rooms.adapter.render
    rooms.adapter.render = lambda reply: 1 / 0 if reply.text.startswith("w0") else usual(reply)
    rooms.say("x")
    eventually(lambda: rooms.adapter.updates)
    rooms.lanes.cancel("one:c")
    rooms.say("/whoami")
    eventually(lambda: rooms.store.counts(0).inbox == 0 and rooms.texts)
    rooms.agent = Talker(words=1)
    rooms.say("y")
    eventually(lambda: "w0 " in rooms.texts or rooms.store.counts(0).dead)


def test_a_turn_that_was_stopped_is_not_parked_when_the_process_stops_as_well(make, monkeypatch):
    rooms = make(Talker(words=8, stop=lambda: gevent.sleep(30)))
    update = rooms.adapter.draft_update
    monkeypatch.setattr(rooms.adapter, "draft_update", lambda *args: (gevent.sleep(0.03), update(*args)))
    rooms.say("x")
    eventually(lambda: rooms.drafts and rooms.drafts[0].handle and rooms.drafts[0]._busy)
    rooms.lanes.cancel("one:c")
    gevent.sleep(0)
    assert rooms.lanes.drain(0, grace=0.6) == 0
    assert not rooms.store.sessions_waiting() and rooms.store.counts(0).inbox == 0


def test_a_turn_that_runs_again_finds_its_own_bubble(make):
    store = MemoryStore()
    rooms = make(Talker(stop=lambda: gevent.sleep(30)), store)
    rooms.say("x")
    eventually(lambda: rooms.adapter.updates)
    rooms.lanes.drain(0)
    again = make(Talker(), store)
    again.lanes.offer_all(store.sessions_waiting())
    eventually(lambda: again.texts == [FULL])
    assert again.adapter.opened == [] and again.adapter.sent[0].handle == {"bubble": 1}


def test_no_draft_opens_before_an_earlier_reply_has_arrived(make):
    rooms = make(Talker())
    rooms.child.sends = False
    rooms.say("first")
    eventually(lambda: not rooms.store.sessions_waiting() and rooms.lanes.active == 0)
    opened = len(rooms.adapter.opened)
    rooms.say("second")
    eventually(lambda: rooms.lanes.active == 1)
    eventually(lambda: rooms.lanes.active == 0)
    assert len(rooms.adapter.opened) == opened


def test_the_final_text_does_not_leave_before_a_throttled_draft_may(make):
    rooms = make(Talker(words=4))
    send, after, times = rooms.adapter.send, 0.06, []

    def update(*args):
        times.append(rooms.clock.monotonic())
        raise SendRetry("slow", after=after)

    def timed(*args):
        times.append(rooms.clock.monotonic())
        return send(*args)

    rooms.adapter.draft_update, rooms.adapter.send = update, timed
    rooms.say("x")
    eventually(lambda: rooms.adapter.opened)
    eventually(lambda: rooms.texts)
    refused, left = times[-2:]
    assert left - refused >= after


# --- what an adapter lets out that is no Exception ---


def test_a_timeout_that_an_update_lets_out_costs_that_update_and_none_after_it(make):
    rooms = make(Talker(words=12))
    rooms.say("x")
    eventually(lambda: rooms.adapter.updates)
    rooms.adapter.refuse, shown = [gevent.Timeout(1)], len(rooms.adapter.updates)
    eventually(lambda: rooms.texts)
    assert not rooms.adapter.refuse and len(rooms.adapter.updates) > shown and len(rooms.adapter.opened) == 1


def test_a_bubble_is_asked_for_again_whose_opening_lets_out_a_timeout(make):
    rooms = make(Talker(words=12))
    rooms.adapter.refuse = [gevent.Timeout(1)]
    rooms.say("x")
    eventually(lambda: rooms.texts)
    assert len(rooms.adapter.opened) == 1 and rooms.adapter.updates
    assert rooms.adapter.sent[0].handle == {"bubble": 1}


@pytest.mark.parametrize("bug", [ZeroDivisionError("bug"), gevent.Timeout(1)], ids=["error", "timeout let out"])
def test_what_ends_the_updates_of_a_draft_is_said(make, monkeypatch, said, bug):
    def broken(*args):
        raise bug

    rooms = make(Talker())
    monkeypatch.setattr(rooms.delivery, "quiet", broken)
    rooms.say("x")
    eventually(lambda: said)
    eventually(lambda: rooms.texts == [FULL])
    assert len(said) == 1 and "the draft of turn" in said[0] and "this is a bug" in said[0]


def test_a_draft_that_is_killed_ends_though_its_adapter_waits(make, said):
    rooms, shown = make(Talker(stop=lambda: gevent.sleep(30))), []
    rooms.adapter.draft_update = lambda *args: shown.append(args) or gevent.sleep(30)
    rooms.say("x")
    eventually(lambda: shown)
    rooms.drafts[0]._greenlet.kill(timeout=1)
    assert rooms.drafts[0]._greenlet.dead and not said


class Pulses(ScriptedAdapter):
    """Each pulse raises the next of ``troubles`` while there are any."""

    def __init__(self, *troubles) -> None:
        super().__init__()
        self.troubles, self.pulses = list(troubles), 0

    def typing(self, peer, link):
        self.pulses += 1
        if self.troubles:
            raise self.troubles.pop(0)


@pytest.fixture
def sign(monkeypatch):
    monkeypatch.setattr(drafts.Sign, "EVERY", 0.002)
    inbound = Inbound(("k",), Peer("one", "c", "dm"), "m", "x")
    lease = Lease(row=1, token="t", until=0, attempt=1, turn_id="t", session_id="s", inbound=inbound, accepted_at=0)
    begun = []

    def begin(adapter):
        begun.append(drafts.Sign(lease, Place("one", adapter), logger))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.mark.parametrize("trouble", [SendRefused("no"), gevent.Timeout(1)], ids=["refused", "timeout let out"])
def test_a_pulse_that_comes_to_nothing_costs_no_later_one(sign, said, trouble):
    adapter = Pulses(trouble)
    one = sign(adapter)
    eventually(lambda: adapter.pulses > 2)
    one.end()
    eventually(lambda: one._greenlet.dead)
    assert not said


def test_a_bug_in_a_pulse_ends_the_sign_and_is_said(sign, said):
    adapter = Pulses(ZeroDivisionError("bug"))
    one = sign(adapter)
    eventually(lambda: one._greenlet.dead)
    assert adapter.pulses == 1 and len(said) == 1 and "the working sign failed" in said[0]


def test_a_sign_that_is_asked_to_wait_waits_as_long(sign):
    adapter, began = Pulses(SendRetry("too many signs", after=0.06)), time.monotonic()
    one = sign(adapter)
    eventually(lambda: adapter.pulses == 2)
    assert time.monotonic() - began >= 0.06
    eventually(lambda: adapter.pulses > 3)
    one.end()
