"""What an operator may ask afterwards: every store answers the same."""

from __future__ import annotations

import pytest

from hermes_green.core.model import Attachment, Inbound, Peer, Receipt
from hermes_green.core.ports import Intake, NewPart, OutLease, Settled, Store, TurnEnd
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore

NOW = 1_700_000_000.0
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    made: Store = SqliteStore(tmp_path / "data" / "store.db") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def say(store, text, *, now=NOW, media=(), user="u", session="s"):
    peer = Peer("c", "x", "group", "t", user, "Ünal")
    inbound = Inbound((f"{text}{now}",), peer, f"m-{text}", text, tuple(Attachment(kind) for kind in media))
    (row,) = store.accept("c", [Intake(inbound, session)], now)
    return row


def part(text="answer"):
    return NewPart(Peer("c", "x", "group"), {"text": text})


def finish(store, state="done", now=NOW + 2, session="s", **more):
    lease = store.lease_session(session, "w", 60, now)
    store.commit_turn(lease, TurnEnd(state, **more), now)
    return lease


def deliver(store, state, now=NOW + 3, reason=""):
    lease = store.lease_outbox("c", "x", now)
    assert isinstance(lease, OutLease)
    store.settle(lease, Settled(state, Receipt("r", now) if state == "delivered" else None, reason=reason), now)


def test_a_message_is_told_with_its_sender_its_cost_and_its_answers_fate(store) -> None:
    say(store, "hello")
    lease = finish(store, parts=(part("one"), part("two")), usage=USAGE)
    deliver(store, "delivered")
    (line,) = store.audit(NOW)
    assert (line.at, line.child, line.chat_id, line.chat_type, line.thread_id) == (NOW, "c", "x", "group", "t")
    assert (line.user_id, line.user_name, line.session_id, line.message_id) == ("u", "Ünal", "s", "m-hello")
    assert (line.turn_id, line.kind, line.length, line.state) == (lease.turn_id, "text", 5, "done")
    assert (line.attempts, line.seconds, line.usage) == (1, 2.0, USAGE)
    assert (line.delivered, line.undelivered, line.given_up) == (1, 1, 0)


def test_what_was_said_is_told_only_where_it_is_asked_for(store) -> None:
    say(store, "hello")
    finish(store, parts=(part("one"), part("two")))
    (line,) = store.audit(NOW)
    assert line.text == line.answer == ""
    (line,) = store.audit(NOW, contents=True)
    assert (line.text, line.answer) == ("hello", "one\ntwo")


@pytest.mark.parametrize(
    ("text", "media", "kind"),
    [
        ("hi", (), "text"),
        ("/new", (), "command"),
        ("", ("image",), "image"),
        ("look", ("image", "file"), "text+file+image"),
        ("", ("image", "image"), "image"),
        ("", (), "text"),
    ],
)
def test_the_kind_of_a_message_is_told_and_not_its_words(store, text, media, kind) -> None:
    say(store, text, media=media)
    assert [line.kind for line in store.audit(NOW)] == [kind]


def test_every_state_of_a_message_is_told(store) -> None:
    for number, name in enumerate(("waits", "runs", "fails", "dies", "refused")):
        say(store, name, session=name, now=NOW + number)
    store.lease_session("runs", "w", 60, NOW + 9)
    finish(store, session="fails", reason="agent: no answer")
    finish(store, "dead", session="dies", reason="given up")
    finish(store, "refused", session="refused", reason="not allowed")
    told = {line.message_id: line for line in store.audit(NOW, contents=True)}
    states = {name: told[f"m-{name}"].state for name in ("waits", "runs", "fails", "dies", "refused")}
    assert states == {"waits": "waiting", "runs": "running", "fails": "done", "dies": "dead", "refused": "refused"}
    assert told["m-fails"].reason == "agent: no answer" and told["m-waits"].seconds is None
    refused = told["m-refused"]
    assert (refused.user_id, refused.text, refused.kind, refused.reason) == (None, "", "", "not allowed")


def test_a_send_from_outside_is_told_as_such(store) -> None:
    sent = store.enqueue("k", "d", "c", [part("news")], NOW)
    (line,) = store.audit(NOW)
    assert (line.kind, line.state, line.turn_id, line.user_id) == ("send", "waiting", sent.id, None)
    assert (line.length, line.chat_id, line.undelivered) == (4, "x", 1)
    deliver(store, "dead", reason="refused")
    (line,) = store.audit(NOW)
    assert (line.state, line.given_up, line.seconds) == ("dead", 1, 3.0)


def test_it_begins_when_asked_and_keeps_the_newest(store) -> None:
    for number in range(6):
        say(store, f"n{number}", now=NOW + number)
    assert [line.message_id for line in store.audit(NOW + 2, limit=3)] == ["m-n3", "m-n4", "m-n5"]
    assert [line.message_id for line in store.audit(NOW + 5)] == ["m-n5"]
    assert store.audit(NOW + 6) == () and store.audit(NOW, limit=0) == ()


def test_of_messages_that_are_one_turn_only_the_answered_one_has_cost_and_answer(store) -> None:
    for number in range(3):
        say(store, f"n{number}", now=NOW + number)
    lease = store.lease_session("s", "w", 60, NOW + 3, None, 60.0)
    store.commit_turn(lease, TurnEnd("done", parts=(part(),), usage=USAGE), NOW + 4)
    lines = store.audit(NOW)
    assert [line.state for line in lines] == ["done"] * 3
    assert sum(line.undelivered for line in lines) == 1 and [line.usage for line in lines if line.usage] == [USAGE]


def test_what_was_too_old_for_its_turn_is_told_of_every_message_of_it(store):
    for n, text in enumerate(("one", "two")):
        say(store, text, now=NOW + n)
    lease = store.lease_session("s", "w", 60, NOW, join=60.0)
    assert len(lease.messages) == 2
    store.commit_turn(lease, TurnEnd("done", stale=True), NOW + 1)
    say(store, "three", now=NOW + 2)
    finish(store)
    assert [line.stale for line in store.audit(0.0)] == [True, True, False]
