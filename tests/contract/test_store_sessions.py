"""Rows that are one turn, sessions that begin anew, and the file of an earlier schema: every store."""

from __future__ import annotations

import json
import sqlite3

import pytest

from hermes_green.core.errors import LeaseLost
from hermes_green.core.model import Inbound, Message, Peer, Receipt
from hermes_green.core.ports import Intake, NewPart, Resets, Settled, Store, TurnEnd
from hermes_green.store import schema
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore

NOW = 1_700_000_000.0


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    made: Store = SqliteStore(tmp_path / "data" / "store.db") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def say(store, *texts, user="u", session="s", now=NOW, thread=None):
    """One row a text, each committed by itself; their numbers."""
    found = []
    for text in texts:
        inbound = Inbound((f"{session}{text}{now}",), Peer("c", "x", "group", thread, user_id=user), f"m-{text}", text)
        found += store.accept("c", [Intake(inbound, session)], now)
    return found


def lease(store, join=None, now=NOW, session="s", **more):
    return store.lease_session(session, "w", 60, now, 10, join, **more)


def told(found):
    return [message.text for message in found.messages] or [found.inbound.text]


ALL = float("inf")


# --- several rows, one turn ---


def test_rows_are_joined_only_when_asked(store):
    say(store, "a", "b")
    assert told(lease(store)) == ["a"]


def test_rows_of_one_turn_have_one_lease_and_one_end_and_the_last_is_answered(store):
    say(store, "a", "b", "c")
    found = lease(store, ALL)
    assert told(found) == ["a", "b", "c"] and found.inbound.message_id == "m-c"
    assert lease(store, ALL) is None and store.sessions_waiting() == {}
    end = TurnEnd("done", parts=(NewPart(found.inbound.peer, {"text": "answer"}),))
    assert len(store.commit_turn(found, end, NOW)) == 1
    assert store.counts(NOW).inbox == 0 and lease(store, ALL) is None


def test_a_turn_given_up_makes_a_dead_letter_of_each_of_its_rows_and_each_can_be_retried_alone(store):
    say(store, "a", "b")
    store.commit_turn(lease(store, ALL), TurnEnd("dead", reason="no"), NOW)
    letters = {letter.text: letter.id for letter in store.dead()}
    assert set(letters) == {"a", "b"}
    assert store.dead_retry(letters["b"], NOW)
    assert told(lease(store)) == ["b"]


@pytest.mark.parametrize("alone", ["/stop", "  /queue x", "／新对话"])
def test_a_command_is_joined_to_nothing(store, alone):
    say(store, "a", alone, "b", "c")
    turns = []
    while found := lease(store, ALL):
        turns.append(told(found))
        store.commit_turn(found, TurnEnd("done"), NOW)
    assert turns == [["a"], [alone], ["b", "c"]]


def test_messages_of_two_users_are_two_turns(store):
    say(store, "a", user="u1")
    say(store, "b", user="u2")
    assert told(lease(store, ALL)) == ["a"]


def test_only_rows_that_came_close_to_each_other_are_joined(store):
    say(store, "a", now=NOW)
    say(store, "b", now=NOW + 2)
    say(store, "c", now=NOW + 9)
    assert told(lease(store, 3.0, NOW + 10)) == ["a", "b"]


def test_rows_of_a_turn_that_a_crash_cut_run_again_together_and_take_no_more_in(store):
    say(store, "a", "b")
    first = lease(store, ALL)
    store.put_draft(first, None, NOW)
    say(store, "c")
    store.recover(NOW)
    assert store.sessions_waiting() == {"s": 3}
    again = lease(store, ALL)
    assert told(again) == ["a", "b"]
    assert (again.turn_id, again.row, again.attempt) == (first.turn_id, first.row, 2)
    assert again.draft is not None and again.inbound == first.inbound
    with pytest.raises(LeaseLost):
        store.commit_turn(first, TurnEnd("done"), NOW)
    store.commit_turn(again, TurnEnd("done"), NOW)
    assert told(lease(store, ALL)) == ["c"]


def test_a_row_that_was_a_turn_of_its_own_takes_no_others_in_when_it_runs_again(store):
    say(store, "a")
    lease(store, ALL)
    say(store, "b", "c")
    store.recover(NOW)
    again = lease(store, ALL)
    assert told(again) == ["a"]
    store.release(again, NOW)
    assert told(lease(store, ALL)) == ["a"]


def test_a_parked_turn_of_several_rows_gives_back_the_attempt_of_each_and_goes_on_whole(store):
    say(store, "a", "b")
    first = lease(store, ALL)
    store.release(first, NOW)
    again = lease(store)
    assert told(again) == ["a", "b"] and (again.attempt, again.turn_id) == (1, first.turn_id)


def test_a_lease_of_several_rows_that_ran_out_is_taken_over_whole(store):
    say(store, "a", "b")
    old = lease(store, ALL)
    new = lease(store, now=NOW + 61)
    assert told(new) == ["a", "b"]
    with pytest.raises(LeaseLost):
        store.renew(old, 60, NOW + 61)
    store.renew(new, 600, NOW + 61)
    assert lease(store, now=NOW + 300) is None


# --- joining a turn that runs ---


def test_a_row_that_joins_a_running_turn_ends_with_it(store):
    (_, late) = say(store, "a", "b")
    found = lease(store)
    assert store.join(found, late, NOW)
    assert store.sessions_waiting() == {} and not store.join(found, late, NOW)
    store.commit_turn(found, TurnEnd("done"), NOW)
    assert store.counts(NOW).inbox == 0


def test_a_row_that_joined_is_with_the_turn_when_it_runs_again_and_the_first_is_answered(store):
    (_, late) = say(store, "a", "b")
    found = lease(store)
    store.join(found, late, NOW)
    store.recover(NOW)
    again = lease(store)
    assert told(again) == ["a", "b"] and again.inbound.text == "a" and again.attempt == 2


def test_a_row_cannot_join_a_turn_that_is_over_and_waits_on(store):
    (_, late) = say(store, "a", "b")
    found = lease(store)
    store.commit_turn(found, TurnEnd("done"), NOW)
    with pytest.raises(LeaseLost):
        store.join(found, late, NOW)
    assert told(lease(store)) == ["b"]


def test_a_row_of_another_session_joins_nothing(store):
    say(store, "a")
    (other,) = say(store, "b", session="t")
    assert not store.join(lease(store), other, NOW)
    assert store.sessions_waiting() == {"t": 1}


# --- rows that leave a turn before it has begun ---


def test_rows_that_leave_a_turn_have_leases_of_their_own_and_ends_of_their_own(store):
    rows = say(store, "a", "b", "c", "d")
    whole = lease(store, ALL)
    rest, second, last = store.detach(whole, [rows[1], rows[3]], NOW)
    assert told(rest) == ["a", "c"] and rest.rows == (rows[0], rows[2]) and rest.turn_id == whole.turn_id
    assert (rest.row, rest.inbound.text, rest.attempt) == (rows[2], "c", 1), "the last that is left is answered"
    assert [second.inbound.text, last.inbound.text] == ["b", "d"] and second.attempt == last.attempt == 0
    assert len({rest.turn_id, second.turn_id, last.turn_id}) == 3
    store.commit_turn(second, TurnEnd("refused", "too much"), NOW)
    store.put_draft(rest, None, NOW)
    assert store.renew(rest, 60, NOW) and lease(store) is None, "the turn goes on"
    with pytest.raises(LeaseLost):
        store.commit_turn(whole, TurnEnd("done"), NOW)
    store.commit_turn(rest, TurnEnd("done", parts=(NewPart(rest.inbound.peer, {"text": "re"}),)), NOW)
    store.commit_turn(last, TurnEnd("refused", "too much"), NOW)
    assert store.counts(NOW).inbox == 0
    found = [(line.message_id, line.state, line.undelivered) for line in store.audit(0)]
    assert found == [("m-a", "done", 0), ("m-b", "refused", 0), ("m-c", "done", 1), ("m-d", "refused", 0)]


def test_who_is_answered_stays_the_same_where_another_row_leaves(store):
    rows = say(store, "a", "b")
    whole = lease(store, ALL)
    rest, first = store.detach(whole, rows[:1], NOW)
    assert (rest.row, rest.inbound.text) == (rows[1], "b") and first.inbound.text == "a"
    store.release(rest, NOW)
    assert told(lease(store)) == ["b"], "it is the turn that it was"


def test_rows_that_left_a_turn_and_met_a_crash_wait_alone_and_were_no_attempt(store):
    rows = say(store, "a", "b")
    store.detach(lease(store, ALL), rows[1:], NOW)
    store.recover(NOW)
    assert store.sessions_cut() == {"s"}
    again = lease(store, ALL)
    assert told(again) == ["a"] and again.attempt == 2
    store.commit_turn(again, TurnEnd("done"), NOW)
    assert store.sessions_cut() == frozenset() and lease(store).attempt == 1


def test_no_row_leaves_a_turn_that_is_lost_and_something_is_left_of_it(store):
    rows = say(store, "a", "b")
    old = lease(store, ALL)
    with pytest.raises(LeaseLost):
        store.detach(old, rows, NOW)
    lease(store, now=NOW + 61)
    with pytest.raises(LeaseLost):
        store.detach(old, rows[1:], NOW + 61)


# --- generations, resets, undo ---


def talk(store, text, now=NOW, **end):
    say(store, text, now=now)
    lines = (Message("user", text), Message("assistant", f"re {text}"))
    store.commit_turn(lease(store, now=now), TurnEnd("done", history=lines, **end), now)


def test_each_new_beginning_has_a_number_of_its_own_for_ever(store):
    talk(store, "a")
    assert store.reset_session("s", NOW) and not store.reset_session("s", NOW)
    say(store, "/new")
    found = lease(store)
    assert found.generation == 1
    store.commit_turn(found, TurnEnd("done", reset_session=True), NOW)
    talk(store, "b")
    say(store, "c")
    assert lease(store).generation == 2
    assert [(info.generation, info.messages) for info in store.sessions()] == [(2, 2)]


def test_what_was_put_aside_can_still_be_read(store):
    talk(store, "a")
    talk(store, "b")
    store.reset_session("s", NOW)
    assert [line.text for line in store.archived("s", 10)] == ["a", "re a", "b", "re b"]
    assert [line.text for line in store.archived("s", 1)] == ["b", "re b"]


def test_an_old_session_begins_anew_with_the_lease_that_finds_it_so(store):
    talk(store, "a")
    say(store, "b", now=NOW + 100)
    before = Resets({"group": NOW + 50})
    found = lease(store, now=NOW + 100, resets=before)
    assert found.reset and found.history == () and found.generation == 1
    store.commit_turn(found, TurnEnd("done", history=(Message("user", "b"),)), NOW + 100)
    say(store, "c", now=NOW + 101)
    assert not lease(store, now=NOW + 101, resets=before).reset


@pytest.mark.parametrize("resets", [Resets({"dm": NOW + 50}), Resets({"group": NOW + 50}, {"x": float("-inf")}), None])
def test_a_session_of_another_kind_or_an_excepted_chat_goes_on(store, resets):
    talk(store, "a")
    say(store, "b", now=NOW + 100)
    found = lease(store, now=NOW + 100, resets=resets)
    assert not found.reset and len(found.history) == 2


def test_the_last_exchange_is_put_aside_and_another_takes_its_place_in_one_step(store):
    talk(store, "a")
    talk(store, "b")
    talk(store, "b2", undo=True)
    assert [line.text for line in store.history("s", 9)] == ["a", "re a", "b2", "re b2"]
    assert store.sessions()[0].messages == 4
    say(store, "/undo")
    store.commit_turn(lease(store), TurnEnd("done", undo=True), NOW)
    say(store, "/undo ")
    store.commit_turn(lease(store), TurnEnd("done", undo=True), NOW)
    assert store.history("s", 9) == () and store.sessions() == ()


def test_a_chat_that_changed_its_id_keeps_its_generation(store):
    store.accept("c", [Intake(Inbound(("k",), Peer("c", "old", "group"), "m", "t"), "c:old:@u")], NOW)
    found = store.lease_session("c:old:@u", "w", 60, NOW)
    store.commit_turn(found, TurnEnd("done", reset_session=True), NOW)
    store.rekey("c", "old", "new")
    store.accept("c", [Intake(Inbound(("l",), Peer("c", "new", "group"), "m", "t"), "c:new:@u")], NOW)
    assert store.lease_session("c:new:@u", "w", 60, NOW).generation == 1


# --- the file of the first release ---


def test_a_file_of_the_first_schema_with_work_under_way_goes_on_and_is_backed_up(tmp_path, monkeypatch):
    path = tmp_path / "store.db"
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    schema.prepare(path, busy_timeout=1)
    monkeypatch.undo()
    old = sqlite3.connect(path)
    body = json.dumps({"keys": ["k"], "peer": {"chat_type": "dm", "user_id": "u"}})
    for row, state in ((1, schema.LEASED), (2, schema.WAITING)):
        old.execute(
            "INSERT INTO inbox (id, child, session_id, chat_id, message_id, text, body, accepted_at, state, attempt, "
            "turn_id, token, until) VALUES (?, 'c', 's', 'x', ?, ?, ?, ?, ?, ?, ?, 't', ?)",
            (row, f"m{row}", f"text {row}", body, NOW, state, state, "turn", NOW + 600),
        )
    old.execute("UPDATE counter SET value = 2")
    for row, state in ((1, schema.SENDING), (2, schema.QUEUED)):
        old.execute(
            "INSERT INTO outbox (id, child, lane, chat_id, turn, ordinal, message_id, reply_seq, key, peer, payload, "
            "text, reply_ref, born_at, due_at, state, attempt, token, until) VALUES "
            "(?, 'c', 'x', 'x', 'before', 0, 'm0', ?, ?, ?, ?, 'a', '{}', ?, ?, ?, 1, 't', ?)",
            (row, row, f"key{row}", '{"chat_type": "dm"}', f'{{"text": "p{row}"}}', NOW, NOW, state, NOW + 600),
        )
    for role in ("user", "assistant"):
        old.execute("INSERT INTO history (session_id, turn, role, text, at) VALUES ('s', 1, ?, 'x', ?)", (role, NOW))
    old.execute("INSERT INTO session VALUES ('s', 'c', 'x', 2, 1, ?)", (NOW,))
    old.commit()
    old.close()

    store = SqliteStore(path)
    found = store.recover(NOW + 1)
    assert (found.cut, found.waiting, found.undelivered) == (1, 1, 2)
    first = lease(store, ALL, NOW + 1)
    assert first.turn_id == "turn" and len(first.history) == 2 and first.generation == 0
    store.commit_turn(first, TurnEnd("done"), NOW + 1)
    for key, uncertain in (("key1", True), ("key2", False)):
        out = store.lease_outbox("c", "x", NOW + 1)
        assert (out.part.key, out.uncertain) == (key, uncertain)
        store.settle(out, Settled("delivered", Receipt("r", NOW)), NOW + 1)
    store.close()
    backup = sqlite3.connect(schema.backup_of(path, 1))
    assert backup.execute("SELECT count(*) FROM outbox WHERE state < 2").fetchone() == (2,)
    backup.close()
