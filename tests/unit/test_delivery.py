"""Delivery: the class of the error decides, keys stay, chats keep their order, gates learn."""

from dataclasses import replace

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import SendCollision, SendRefused, SendRetry, SendUnknown, TextRefused
from hermes_green.core.model import Caps, CapsTable, Peer, Rate, Secret
from hermes_green.core.ports import NewPart
from hermes_green.ops.log import add_secrets
from hermes_green.runtime import delivery
from hermes_green.runtime.delivery import Rules
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(delivery, "RETRY_MIN", 0.002)
    monkeypatch.setattr(delivery, "RETRY_MAX", 0.008)


@pytest.fixture
def rooms():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(key_lifetime=3600)))
    yield rooms
    rooms.close()


def put(rooms, *texts, chat="c", **caps):
    """Commit one part per text, each a send of its own."""
    for text in texts:
        part = NewPart(Peer("one", chat, "dm"), {"text": text}, key_lifetime=3600, **caps)
        rooms.store.enqueue(f"{chat} {text}", "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", chat)


def timed(rooms):
    """When each text was sent, by the clock of the gates: what they hold back is seen at whatever speed this runs."""
    send, times = rooms.adapter.send, {}

    def note(part, link):
        receipt = send(part, link)
        times[part.payload["text"]] = rooms.clock.monotonic()
        return receipt

    rooms.adapter.send = note
    return times


def test_parts_of_a_chat_arrive_in_order(rooms):
    put(rooms, "a", "b", "c")
    eventually(lambda: rooms.texts == ["a", "b", "c"])
    eventually(lambda: rooms.store.counts(rooms.clock.wall()).outbox == 0)


def test_a_part_certainly_not_delivered_is_tried_again_as_a_first_attempt(rooms):
    rooms.adapter.fail = [SendRetry("429", after=0.01)]
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a"])
    assert rooms.adapter.sent[0].attempt == 1


def test_the_log_tells_a_lane_s_trouble_once_until_it_is_another(rooms):
    told = []
    sink = logger.add(lambda line: told.append(line.record), level="INFO", format="{message}")
    try:
        rooms.adapter.fail = [SendRetry(text, after=0.001) for text in ("429", "429", "429", "503", "429")]
        put(rooms, "a")
        eventually(lambda: rooms.texts == ["a"])
        rooms.adapter.fail = [SendRetry("429", after=0.001)]
        put(rooms, "b")
        eventually(lambda: rooms.texts == ["a", "b"])
    finally:
        logger.remove(sink)
    again = [line for line in told if "sent again" in line["message"]]
    assert [line["message"].rpartition(" ")[2] for line in again] == ["429", "503", "429", "429"]
    assert {line["extra"]["child"] for line in again} == {"one"}


def test_an_uncertain_part_is_sent_again_under_the_same_key_as_a_later_attempt(rooms):
    keys = []
    original = rooms.adapter.send

    def send(part, link):
        keys.append((part.key, part.attempt))
        return original(part, link)

    rooms.adapter.send = send
    rooms.adapter.fail = [SendUnknown("no answer")]
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a"])
    assert len({key for key, _ in keys}) == 1 and [attempt for _, attempt in keys] == [1, 2]


@pytest.mark.parametrize("bug", [ZeroDivisionError("bug"), gevent.Timeout(1)], ids=repr)
def test_a_crash_of_the_adapter_is_an_uncertain_send_and_the_lane_lives_on(rooms, bug):
    rooms.adapter.fail = [bug]
    put(rooms, "a", "b")
    eventually(lambda: rooms.texts == ["a", "b"])


def test_a_refused_part_is_a_dead_letter_with_the_reason_and_the_next_goes_on(rooms):
    rooms.adapter.fail = [SendRefused("the bot is not in this chat")]
    put(rooms, "a", "b")
    eventually(lambda: rooms.texts == ["b"])
    assert rooms.store.dead()[0].reason == "the bot is not in this chat"


def test_a_platform_that_echoes_a_secret_has_it_kept_in_no_dead_letter(rooms):
    add_secrets([Secret("h0rse-battery")])
    rooms.adapter.fail = [SendRefused("the token h0rse-battery may not write here")]
    put(rooms, "a", "b")
    eventually(lambda: rooms.texts == ["b"])
    assert rooms.store.dead()[0].reason == "the token *** may not write here"


TOO_LARGE = SendRefused("x", limit=30 << 20)


@pytest.mark.parametrize(
    "locale, error, said",
    [
        ("en", TOO_LARGE, "[a b.pdf was not sent: it is larger than the 30 MiB that are taken here]"),
        ("zh", TOO_LARGE, "[a b.pdf 未发送：超过此平台的上限 30 MiB]"),
        ("en", SendRefused("x", code="230013"), "[a b.pdf was not sent: the platform does not take it (230013)]"),
        ("en", SendRefused("x", code="file"), "[a b.pdf was not sent: it cannot be read]"),
        ("zh", SendRefused("x", code="file"), "[a b.pdf 未发送：文件无法读取]"),
    ],
)
def test_a_refused_file_is_said_in_its_place_and_kept_with_its_reason(rooms, locale, error, said):
    rooms.delivery_rules = Rules(locale=locale)
    rooms.adapter.fail = [error]
    file = NewPart(Peer("one", "c", "dm"), {"media": {"kind": "file", "path": "/x/a b.pdf", "name": "a\nb.pdf"}})
    after = NewPart(Peer("one", "c", "dm"), {"text": "after"})
    rooms.store.enqueue("k", "d", "one", [file, after], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: rooms.texts == [said, "after"])
    assert [letter.reason for letter in rooms.store.dead()] == ["x"]


@pytest.mark.parametrize("locale, said", [("en", "does not take it"), ("zh", "平台拒收")])
def test_a_refused_answer_is_said_where_its_beginning_was_shown_and_kept_with_its_reason(rooms, locale, said):
    """Else half of it would stand in the chat for ever."""
    rooms.delivery_rules = Rules(locale=locale)
    rooms.adapter.fail = [SendRefused("content audit", code="230028")]
    shown = NewPart(Peer("one", "c", "dm"), {"text": "the whole answer"}, handle={"bubble": 1})
    rooms.store.enqueue("k", "d", "one", [shown, NewPart(Peer("one", "c", "dm"), {"text": "rest"})], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: len(rooms.texts) == 2)
    assert said in rooms.texts[0] and rooms.texts[1] == "rest"
    assert rooms.adapter.sent[0].handle == {"bubble": 1}
    assert [letter.reason for letter in rooms.store.dead()] == ["content audit"]


def test_a_text_that_the_platform_does_not_take_is_said_to_be_one_and_a_chat_that_takes_none_is_not_bothered(rooms):
    rooms.adapter.fail = [TextRefused("an address that is not registered", code="304003")]
    put(rooms, "a", "b")
    eventually(lambda: len(rooms.texts) == 2)
    assert "does not take it" in rooms.texts[0] and rooms.texts[1] == "b"
    assert [letter.reason for letter in rooms.store.dead()] == ["an address that is not registered"]
    rooms.adapter.fail = [TextRefused("x"), TextRefused("x")]
    put(rooms, "c", "d")
    eventually(lambda: rooms.texts[2:] == ["d"])
    assert len(rooms.store.dead()) == 3


def test_a_chat_that_takes_nothing_ends_the_line_about_its_answer_too(rooms):
    rooms.adapter.fail = [SendRefused("gone")] * 2
    part = NewPart(Peer("one", "c", "dm"), {"text": "a"}, handle={"bubble": 1})
    rooms.store.enqueue("k", "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: len(rooms.store.dead()) == 2)
    assert rooms.texts == [] and rooms.store.counts(rooms.clock.wall()).outbox == 0


def test_a_refused_file_whose_line_cannot_be_made_holds_nothing_up(rooms, monkeypatch):
    rooms.adapter.fail = [SendRefused("x")]
    monkeypatch.setattr(rooms.adapter, "render", lambda reply: 1 / 0)
    file = NewPart(Peer("one", "c", "dm"), {"media": {"kind": "image", "path": "/x/a.png", "name": ""}})
    rooms.store.enqueue("k", "d", "one", [file, NewPart(Peer("one", "c", "dm"), {"text": "after"})], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: rooms.texts == ["after"])
    assert [letter.reason for letter in rooms.store.dead()] == ["x"]


def test_a_chat_that_takes_nothing_ends_the_line_about_its_file_too(rooms):
    rooms.adapter.fail = [SendRefused("gone"), SendRefused("gone")]
    file = NewPart(Peer("one", "c", "dm"), {"media": {"kind": "image", "path": "/x/a.png", "name": ""}})
    rooms.store.enqueue("k", "d", "one", [file], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: len(rooms.store.dead()) == 2)
    assert rooms.texts == [] and rooms.store.counts(rooms.clock.wall()).outbox == 0


def test_a_taken_reply_number_is_replaced_by_the_next(rooms):
    rooms.adapter.fail = [SendCollision("taken")]
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a"])
    assert rooms.adapter.sent[0].reply_seq == 2


def test_a_closed_window_is_a_dead_letter_and_nothing_is_sent(rooms):
    peer = Peer("one", "c", "dm")
    part = NewPart(peer, {"text": "late"}, window=-1.0)
    rooms.store.enqueue("k", "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: rooms.store.dead())
    assert rooms.store.dead()[0].reason == "window closed" and rooms.texts == []


def test_replies_wait_while_the_child_is_halted_and_go_when_it_is_not(rooms):
    rooms.child.sends = False
    put(rooms, "a")
    gevent.sleep(0.01)
    assert rooms.texts == []
    rooms.child.sends = True
    rooms.delivery.wake_child("one")
    eventually(lambda: rooms.texts == ["a"])


def test_what_is_born_while_its_lane_finds_itself_empty_is_sent_all_the_same(rooms):
    lease, late = rooms.store.lease_outbox, ["b"]

    def nothing_yet(child, lane, now):
        found = lease(child, lane, now)
        if found is None and late:
            put(rooms, late.pop())
        return found

    rooms.store.lease_outbox = nothing_yet
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a", "b"])


def test_a_lane_that_finds_nothing_to_send_has_spent_nothing():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(rates=(Rate(1, 3600.0),))))
    for _ in range(3):
        rooms.delivery.wake("one", "c")
        eventually(lambda: not rooms.delivery._lanes)
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a"])
    rooms.close()


def test_a_rate_gate_holds_a_burst_back_and_counts_no_attempt():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(rates=(Rate(2, 0.03),))))
    times, began = timed(rooms), rooms.clock.monotonic()
    put(rooms, "a", "b", "c")
    eventually(lambda: rooms.texts == ["a", "b", "c"])
    assert times["c"] - began >= 0.03
    assert rooms.adapter.sent[2].attempt == 1
    rooms.close()


def test_an_account_that_must_wait_holds_back_every_chat(rooms):
    rooms.adapter.fail = [SendRetry("slow down", after=0.03, scope="account")]
    times, began = timed(rooms), rooms.clock.monotonic()
    put(rooms, "a", chat="c1")
    eventually(lambda: not rooms.adapter.fail)
    put(rooms, "b", chat="c2")
    eventually(lambda: sorted(rooms.texts) == ["a", "b"])
    assert min(times.values()) - began >= 0.03


def test_what_cannot_be_delivered_for_hours_is_given_up(rooms):
    rooms.delivery_rules = Rules(give_up_after=0.02)
    rooms.adapter.fail = [SendRetry("down", after=0.004)] * 100
    put(rooms, "a")
    eventually(lambda: rooms.store.dead())
    assert "not delivered" in rooms.store.dead()[0].reason


def orphan(rooms, text):
    """A part of a child that is not configured."""
    rooms.store.enqueue(text, "d", "gone", [NewPart(Peer("gone", "c", "dm"), {"text": text})], rooms.clock.wall())
    rooms.delivery.wake_all(rooms.store.lanes_waiting())
    gevent.sleep(0.01)


def test_what_a_removed_child_has_not_delivered_is_given_up_when_its_time_is_over_and_says_so(rooms):
    orphan(rooms, "a")
    rooms.delivery.give_up(["gone", "one"])
    assert not rooms.store.dead(), "its child may come back before that"
    rooms.delivery_rules = Rules(give_up_after=0.0)
    rooms.delivery.give_up(["gone", "one"])
    (letter,) = rooms.store.dead()
    assert letter.text == "a" and "gone is no longer configured" in letter.reason
    assert ("delivery", "gone", "dead") in [call[:3] for call in rooms.meters.calls]


def test_what_a_removed_child_left_goes_out_when_it_is_back_in_time(rooms):
    orphan(rooms, "a")
    rooms.place = lambda child: rooms.child
    rooms.delivery._place = rooms.place
    rooms.delivery.wake_child("gone")
    eventually(lambda: rooms.texts == ["a"])


def test_a_child_that_can_send_gives_up_its_own_parts(rooms):
    rooms.adapter.fail = [SendRetry("later", after=30)]
    put(rooms, "a")
    eventually(lambda: not rooms.adapter.fail)
    rooms.delivery_rules = Rules(give_up_after=0.0)
    rooms.delivery.give_up(["one"])
    assert not rooms.store.dead()


@pytest.mark.parametrize("table", [False, True])
def test_a_chat_that_needs_the_link_waits_for_it_and_writes_nothing_meanwhile(monkeypatch, table):
    monkeypatch.setattr(delivery, "LINK_AGAIN", 0.003)
    adapter = ScriptedAdapter(caps=Caps(send_needs_link=True))
    if table:
        # Which kind of chat it is, is known from the first part on.
        adapter.caps = CapsTable(Caps(), {"dm": Caps(send_needs_link=True)})
    writes = []
    rooms = Rooms(MemoryStore(lambda: writes.append(1)), adapter=adapter)
    put(rooms, "a")
    gevent.sleep(0.009)
    before = len(writes)
    gevent.sleep(0.03)
    assert len(writes) == before and rooms.texts == []
    rooms.child.link = object()
    rooms.delivery.wake_child("one")
    eventually(lambda: rooms.texts == ["a"])
    assert next(iter(rooms.store._outbox.values())).attempt == 1
    rooms.close()


def test_what_waits_for_a_link_for_too_long_is_given_up():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(send_needs_link=True)))
    put(rooms, "a")
    rooms.delivery_rules = Rules(give_up_after=0.0)
    gevent.sleep(0.01)
    rooms.delivery.give_up(["one"])
    assert [letter.reason for letter in rooms.store.dead()] == ["not delivered in 0 s: the link of one is down"]
    rooms.close()


def test_without_a_key_an_uncertain_part_is_held_where_the_operator_wants_it():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps()))
    rooms.delivery_rules = replace(rooms.delivery_rules, on_unknown="hold")
    rooms.adapter.fail = [SendUnknown("no answer")]
    part = NewPart(Peer("one", "c", "dm"), {"text": "a"})
    rooms.store.enqueue("k", "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: rooms.store.dead())
    assert rooms.texts == [] and "perhaps delivered" in rooms.store.dead()[0].reason
    rooms.close()


def test_a_group_has_the_limits_of_groups_from_its_first_message_on():
    adapter = ScriptedAdapter()
    adapter.caps = CapsTable(Caps(rates=(Rate(100, 1.0),)), {"group": Caps(rates=(Rate(2, 0.06),))})
    rooms = Rooms(MemoryStore(), adapter=adapter)
    times, began = timed(rooms), rooms.clock.monotonic()
    for number in range(3):
        part = NewPart(Peer("one", "g", "group"), {"text": f"g{number}"})
        rooms.store.enqueue(f"g{number}", "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", "g")
    put(rooms, "a", "b", "c", "d")
    eventually(lambda: len(rooms.texts) == 7)
    assert rooms.texts[-1] == "g2" and times["g2"] - began >= 0.06
    rooms.close()


def test_a_bug_in_looking_a_reply_up_does_not_stop_its_chat():
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(lookup=True)))
    bugs = [ZeroDivisionError("bug"), gevent.Timeout(1)]

    def find(part):
        if bugs:
            raise bugs.pop()

    rooms.adapter.find = find
    rooms.adapter.fail = [SendUnknown("no answer")]
    rooms.store.enqueue("k", "d", "one", [NewPart(Peer("one", "c", "dm"), {"text": "a"})], rooms.clock.wall())
    rooms.delivery.wake("one", "c")
    eventually(lambda: rooms.texts == ["a"])
    assert not bugs
    rooms.close()


def test_a_bug_between_two_sends_costs_a_chat_a_wait_and_no_reply(rooms):
    learn, bugs = rooms.delivery.gates.enter, [ZeroDivisionError("bug"), gevent.Timeout(1)]

    def enter(*args, **kwargs):
        if bugs:
            raise bugs.pop()
        return learn(*args, **kwargs)

    rooms.delivery.gates.enter = enter
    put(rooms, "a")
    eventually(lambda: rooms.texts == ["a"])


def test_no_send_begins_any_more_where_the_end_of_the_process_would_cut_it(rooms, monkeypatch):
    """Its lease may come late. A send that is cut was perhaps delivered, and would be sent again."""
    asked, answer, lease = gevent.event.Event(), gevent.event.Event(), rooms.store.lease_outbox

    def slowly(*args):
        asked.set()
        found = lease(*args)
        answer.wait()
        return found

    monkeypatch.setattr(rooms.store, "lease_outbox", slowly)
    put(rooms, "a")
    asked.wait()
    gevent.spawn_later(0.01, answer.set)
    rooms.delivery.drain(0)
    monkeypatch.setattr(rooms.store, "lease_outbox", lease)
    found = rooms.store.lease_outbox("one", "c", rooms.clock.wall())
    assert not rooms.texts and not found.uncertain and found.part.attempt == 1
