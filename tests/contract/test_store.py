"""What every store must do: one suite over the durable one and its official fake."""

from __future__ import annotations

import pytest

from hermes_green.core.errors import KeyReused, LeaseLost, StoreAway
from hermes_green.core.model import Attachment, Inbound, Message, Peer, Receipt, Secret
from hermes_green.core.ports import Intake, NewPart, Retention, Settled, Store, TurnEnd
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore

NOW = 1_700_000_000.0
DAY = 86_400.0


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    made: Store = SqliteStore(tmp_path / "data" / "store.db") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def peer(chat="oc_1", child="feishu", **more):
    return Peer(child, chat, "group", user_id="ou_1", **more)


def message(n, chat="oc_1", child="feishu", **more):
    return Inbound((f"event-{n}", f"om-{n}"), peer(chat, child), f"om-{n}", f"text {n}", **more)


def take(store, *inbounds, session=None, now=NOW):
    child = inbounds[0].peer.child
    batch = [Intake(i, session or f"{child}:{i.peer.chat_id}") for i in inbounds]
    return store.accept(child, batch, now)


def part(text="answer", chat="oc_1", **more):
    return NewPart(peer(chat), {"text": text}, **more)


def answer(store, *parts, session="feishu:oc_1", now=NOW, **end):
    lease = store.lease_session(session, "w", 60, now)
    return store.commit_turn(lease, TurnEnd(end.pop("state", "done"), parts=parts, **end), now)


def deliver(store, lane="oc_1", now=NOW, id="r"):
    lease = store.lease_outbox("feishu", lane, now)
    store.settle(lease, Settled("delivered", Receipt(id, now)), now)
    return lease


# --- intake ---


def test_a_message_comes_back_as_it_went_in(store):
    inbound = Inbound(
        keys=("e", "m"),
        peer=Peer("qq", "grp/1", "channel", "topic", "u", "Zoë 名", {"guild": {"id": 7}}),
        message_id="m",
        text="héllo 你好 \x00 🙂",
        attachments=(Attachment("image", {"key": "img"}, "a.png", "image/png", 12, None),),
        reply_ref={"msg_id": "m", "seq": 3},
        mentioned=False,
        sent_at=NOW - 2.5,
    )
    (row,) = store.accept("qq", [Intake(inbound, "s")], NOW)
    lease = store.lease_session("s", "w", 60, NOW + 1)
    assert (lease.row, lease.inbound, lease.accepted_at, lease.session_id) == (row, inbound, NOW, "s")
    assert (lease.attempt, lease.seq_used, lease.draft, lease.until) == (1, 0, None, NOW + 61)


def test_rows_are_numbered_in_the_order_of_their_commit(store):
    first = take(store, message(1), message(2), message(3))
    second = take(store, message(4))
    assert [*first, *second] == sorted({*first, *second})


def test_any_key_seen_before_makes_a_duplicate(store):
    again = Inbound(("event-new", "om-1"), peer(), "om-1", "text 1")
    assert None not in take(store, message(1))
    assert list(take(store, again)) == [None]
    # The duplicate's own keys have been seen now, too.
    assert list(take(store, Inbound(("event-new",), peer(), "om-9", "x"))) == [None]
    assert store.sessions_waiting() == {"feishu:oc_1": 1}


def test_a_duplicate_within_one_batch_is_seen(store):
    found = take(store, message(1), message(1), message(2))
    assert [row is None for row in found] == [False, True, False]


def test_the_same_key_of_another_child_is_another_message(store):
    assert None not in take(store, message(1))
    assert None not in take(store, message(1, child="feishu/sales"))


def test_a_message_without_keys_is_never_a_duplicate(store):
    bare = Inbound((), peer(), "", "hi")
    assert None not in take(store, bare, bare)


def test_memo_is_written_with_its_message_and_even_with_a_duplicate(store):
    store.accept("qq", [Intake(message(1), "s", {"session": {"id": "a", "seq": 1}, "other": 5})], NOW)
    assert store.memo("qq", "session") == {"id": "a", "seq": 1}
    assert list(store.accept("qq", [Intake(message(1), "s", {"session": {"seq": 2}})], NOW)) == [None]
    assert store.memo("qq", "session") == {"seq": 2}
    assert list(store.accept("qq", [Intake(None, "", {"session": None})], NOW)) == [None]
    assert store.memo("qq", "session") is None
    assert (store.memo("qq", "other"), store.memo("feishu", "other")) == (5, None)


def test_the_last_memo_of_a_batch_wins(store):
    store.accept("qq", [Intake(None, "", {"n": 1}), Intake(None, "", {"n": None}), Intake(None, "", {"n": 3})], NOW)
    assert store.memo("qq", "n") == 3


def test_a_secret_is_refused_and_nothing_of_its_batch_is_stored(store):
    bad = Inbound(("k",), peer(), "m", "t", reply_ref={"token": Secret("s3cret")})
    with pytest.raises(TypeError):
        take(store, message(1), bad)
    assert store.sessions_waiting() == {}
    assert None not in take(store, message(1))


def test_text_that_is_no_unicode_is_kept_as_far_as_it_is(store):
    broken = Inbound(("k\ud800",), peer(chat="oc_\udfff"), "m\ud800", "a\ud800b", reply_ref={"x": "\ud800"})
    store.accept("feishu", [Intake(broken, "s")], NOW)
    lease = store.lease_session("s", "w", 60, NOW)
    assert lease.inbound.text == "a?b"
    assert lease.inbound.reply_ref == {"x": "\ud800"}


def test_quarantined_frames_are_counted(store):
    store.quarantine("feishu", b"\xff\x00garbage", "no JSON", NOW)
    assert store.counts(NOW).quarantine == 1


# --- leases ---


def test_one_session_has_at_most_one_turn_and_sessions_do_not_wait_for_each_other(store):
    take(store, message(1), message(2), message(3, chat="oc_2"))
    first = store.lease_session("feishu:oc_1", "w", 60, NOW)
    assert first.inbound.message_id == "om-1"
    assert store.lease_session("feishu:oc_1", "w", 60, NOW + 59) is None
    assert store.lease_session("feishu:oc_2", "w", 60, NOW).inbound.message_id == "om-3"
    assert store.lease_session("feishu:none", "w", 60, NOW) is None
    assert store.sessions_waiting() == {"feishu:oc_1": 1}
    store.commit_turn(first, TurnEnd("done"), NOW)
    assert store.lease_session("feishu:oc_1", "w", 60, NOW).inbound.message_id == "om-2"


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_told(store):
    take(store, message(1))
    old = store.lease_session("feishu:oc_1", "a", 10, NOW)
    new = store.lease_session("feishu:oc_1", "b", 10, NOW + 10)
    assert (new.row, new.attempt, new.turn_id) == (old.row, 2, old.turn_id)
    assert new.token != old.token
    for late in (
        lambda: store.renew(old, 10, NOW + 11),
        lambda: store.release(old, NOW + 11),
        lambda: store.put_draft(old, None, NOW + 11),
        lambda: store.commit_turn(old, TurnEnd("done", parts=(part(),)), NOW + 11),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert store.lanes_waiting() == {}
    store.commit_turn(new, TurnEnd("done"), NOW + 12)


def test_a_lease_that_ran_out_shows_as_waiting(store):
    take(store, message(1))
    store.lease_session("feishu:oc_1", "a", 10, NOW)
    assert store.sessions_waiting() == {}
    store.counts(NOW + 11)
    assert store.sessions_waiting() == {"feishu:oc_1": 1}


def test_a_session_whose_turn_was_cut_is_told_apart_from_one_that_waits_or_was_parked(store):
    take(store, message(1), message(2, chat="oc_2"), message(3, chat="oc_3"), message(4, chat="oc_3"))
    store.lease_session("feishu:oc_1", "w", 60, NOW)
    store.release(store.lease_session("feishu:oc_2", "w", 60, NOW), NOW)
    assert store.sessions_cut() == frozenset()
    store.recover(NOW)
    assert store.sessions_cut() == {"feishu:oc_1"}
    store.commit_turn(store.lease_session("feishu:oc_1", "w", 60, NOW), TurnEnd("done"), NOW)
    assert store.sessions_cut() == frozenset()


def test_a_renewed_lease_keeps_others_away_for_longer(store):
    take(store, message(1))
    lease = store.lease_session("feishu:oc_1", "a", 10, NOW)
    lease = store.renew(lease, 100, NOW + 5)
    assert lease.until == NOW + 105
    assert store.lease_session("feishu:oc_1", "b", 10, NOW + 50) is None
    store.commit_turn(lease, TurnEnd("done"), NOW + 51)


def test_release_gives_the_attempt_back_and_the_row_waits_again(store):
    take(store, message(1), message(2))
    lease = store.lease_session("feishu:oc_1", "a", 10, NOW)
    store.release(lease, NOW)
    assert store.sessions_waiting() == {"feishu:oc_1": 2}
    again = store.lease_session("feishu:oc_1", "a", 10, NOW)
    assert (again.row, again.attempt, again.turn_id) == (lease.row, 1, lease.turn_id)


def test_a_given_row_jumps_its_queue_and_is_not_counted(store):
    _, second = take(store, message(1), message(2))
    express = store.lease_row(second, "express", 10, NOW)
    assert (express.row, express.attempt) == (second, 0)
    assert store.lease_row(second, "express", 10, NOW) is None
    # A command being answered does not keep the turn waiting.
    assert store.lease_session("feishu:oc_1", "w", 10, NOW).inbound.message_id == "om-1"
    store.release(express, NOW)
    again = store.lease_row(second, "express", 10, NOW)
    store.commit_turn(again, TurnEnd("done", parts=(part(),)), NOW)
    assert store.lease_row(second, "express", 10, NOW) is None
    assert store.lease_row(999, "express", 10, NOW) is None


def test_an_ended_row_cannot_be_ended_again(store):
    take(store, message(1))
    lease = store.lease_session("feishu:oc_1", "a", 10, NOW)
    store.commit_turn(lease, TurnEnd("done"), NOW)
    with pytest.raises(LeaseLost):
        store.commit_turn(lease, TurnEnd("done", parts=(part(),)), NOW)
    assert store.counts(NOW).outbox == 0


# --- drafts and reply numbers ---


def test_a_draft_is_an_intention_first_and_the_same_for_a_rerun(store):
    take(store, message(1))
    lease = store.lease_session("feishu:oc_1", "a", 10, NOW)
    intention = store.put_draft(lease, None, NOW)
    assert intention["handle"] is None and intention["reply_seq"] == 1 and len(intention["key"]) == 32
    assert store.put_draft(lease, {"card": "c1"}, NOW) == {**intention, "handle": {"card": "c1"}}
    store.recover(NOW + 1)
    rerun = store.lease_session("feishu:oc_1", "a", 10, NOW + 1)
    assert rerun.draft == {**intention, "handle": {"card": "c1"}}
    assert rerun.seq_used == 1
    assert store.put_draft(rerun, None, NOW + 1) == rerun.draft
    (row,) = store.commit_turn(rerun, TurnEnd("done", parts=(part(handle={"card": "c1"}),)), NOW + 1)
    sending = store.lease_outbox("feishu", "oc_1", NOW + 1)
    assert (sending.row, sending.part.reply_seq, sending.part.handle) == (row, 2, {"card": "c1"})


def test_reply_numbers_count_per_message_and_are_never_given_twice(store):
    take(store, message(1), message(2))
    answer(store, part("a"), part("b"))
    answer(store, part("c"))
    store.enqueue("k1", "d", "feishu", [part("d", reply_ref={"message_id": "om-1"})], NOW)
    store.enqueue("k2", "d", "feishu", [part("e"), part("f")], NOW)
    leases = [deliver(store) for _ in range(6)]
    assert [lease.part.payload["text"] for lease in leases] == list("abcdef")
    assert [lease.part.reply_seq for lease in leases] == [1, 2, 1, 3, 1, 2]
    assert [lease.part.ordinal for lease in leases] == [0, 1, 0, 0, 0, 1]
    assert len({lease.part.key for lease in leases}) == 6


def test_renumber_takes_the_next_number_and_makes_a_true_first_attempt(store):
    take(store, message(1))
    answer(store, part("a", key_lifetime=60), part("b"))
    first = store.lease_outbox("feishu", "oc_1", NOW)
    assert (first.part.reply_seq, first.part.attempt) == (1, 1)
    store.settle(first, Settled("renumber", at=NOW + 1), NOW + 1)
    again = store.lease_outbox("feishu", "oc_1", NOW + 1)
    assert (again.row, again.part.reply_seq, again.part.attempt, again.uncertain) == (first.row, 3, 1, False)
    assert (again.part.key, again.part.key_expires) == (first.part.key, NOW + 61)


# --- the end of a turn ---


def test_the_window_counts_from_the_earlier_of_the_platforms_clock_and_ours(store):
    take(store, message(1, sent_at=NOW - 10), message(2, sent_at=NOW + 99), message(3))
    for _ in range(3):
        answer(store, part(window=300), now=NOW + 50)
    limits = [deliver(store, now=NOW + 60).part.not_after for _ in range(3)]
    assert limits == [NOW + 290, NOW + 300, NOW + 300]


def test_a_stamp_by_which_the_window_had_closed_before_the_message_came_does_not_count(store):
    take(store, message(1, sent_at=NOW - 299), message(2, sent_at=NOW - 300), message(3, sent_at=NOW - 90_000_000))
    for _ in range(3):
        answer(store, part(window=300), now=NOW)
    limits = [deliver(store, now=NOW).part.not_after for _ in range(3)]
    assert limits == [NOW + 1, NOW + 300, NOW + 300]


def test_history_is_written_with_the_turn_and_read_by_turns(store):
    take(store, *(message(n) for n in range(4)))
    for n in range(4):
        answer(store, history=(Message("user", f"q{n}"), Message("assistant", f"a{n}")), now=NOW + n)
    lines = [line.text for line in store.history("feishu:oc_1", 2)]
    assert lines == ["q2", "a2", "q3", "a3"]
    assert len(store.history("feishu:oc_1", 99)) == 8
    assert list(store.history("feishu:oc_1", 0)) == []
    assert list(store.history("nobody", 5)) == []


def test_a_lease_brings_the_sessions_history_along_when_it_is_asked_for(store):
    take(store, *(message(n) for n in range(4)))
    for n in range(3):
        answer(store, history=(Message("user", f"q{n}"), Message("assistant", f"a{n}")), now=NOW + n)
    lease = store.lease_session("feishu:oc_1", "w", 60, NOW, 2)
    assert [line.text for line in lease.history] == ["q1", "a1", "q2", "a2"]
    store.release(lease, NOW)
    assert store.lease_session("feishu:oc_1", "w", 60, NOW).history is None


def test_a_reset_session_begins_anew(store):
    take(store, message(1), message(2), message(3))
    pair = (Message("user", "q"), Message("assistant", "a"))
    answer(store, history=pair)
    assert store.reset_session("feishu:oc_1", NOW) is True
    assert store.reset_session("feishu:oc_1", NOW) is False
    assert (list(store.history("feishu:oc_1", 9)), list(store.sessions())) == ([], [])
    answer(store, history=pair)
    answer(store, reset_session=True)
    assert list(store.history("feishu:oc_1", 9)) == []


def test_sessions_are_listed_by_their_last_use(store):
    take(store, message(1), message(2, chat="oc_2"), message(3))
    pair = (Message("user", "q"), Message("assistant", "a"))
    answer(store, history=pair, now=NOW)
    answer(store, session="feishu:oc_2", history=pair, now=NOW + 1)
    answer(store, history=pair, now=NOW + 2)
    first, second = store.sessions()
    assert (first.session_id, first.child, first.chat_id, first.messages) == ("feishu:oc_1", "feishu", "oc_1", 4)
    assert (first.last_at, second.session_id) == (NOW + 2, "feishu:oc_2")
    assert [info.session_id for info in store.sessions(1)] == ["feishu:oc_1"]


def test_a_refused_row_keeps_its_keys_and_not_its_text(store):
    (row,) = take(store, message(1))
    lease = store.lease_row(row, "express", 10, NOW)
    store.commit_turn(lease, TurnEnd("refused", parts=(part("no"),)), NOW)
    assert list(take(store, message(1))) == [None]
    assert list(store.transcript("feishu", "oc_1")) == []
    assert list(store.dead()) == []
    deliver(store, now=NOW + 1)
    assert [line.text for line in store.transcript("feishu", "oc_1")] == ["no"]


def test_a_transcript_joins_both_directions_in_order_of_time(store):
    take(store, message(1), message(2), message(3, chat="oc_2"))
    answer(store, part("answer 1"), now=NOW + 1)
    assert [line.text for line in store.transcript("feishu", "oc_1")] == ["text 1", "text 2"]
    key = deliver(store, now=NOW + 2).part.key
    lines = store.transcript("feishu", "oc_1")
    assert [(line.role, line.text, line.at) for line in lines] == [
        ("user", "text 1", NOW),
        ("user", "text 2", NOW),
        ("assistant", "answer 1", NOW + 2),
    ]
    assert [line.id for line in lines] == [message(1).message_id, message(2).message_id, key]
    assert [line.text for line in store.transcript("feishu", "oc_1", 2)] == ["text 2", "answer 1"]


# --- the outbox ---


def test_a_part_comes_out_as_it_was_born(store):
    take(store, message(1))
    where = Peer("feishu", "oc_1", "group", "topic", "u", "n", {"x": [1]})
    new = NewPart(where, {"content": {"text": "t"}, "n": 1}, {"message_id": "om-1"}, {"h": 1}, 300, 3600)
    (row,) = answer(store, new)
    ((child, lane),) = store.lanes_waiting()
    lease = store.lease_outbox(child, lane, NOW + 5)
    sent = lease.part
    assert (lease.row, lease.child, lease.lane, lease.born_at, lease.uncertain) == (row, child, lane, NOW, False)
    assert (sent.peer, sent.payload, sent.reply_ref, sent.handle) == (where, new.payload, new.reply_ref, new.handle)
    assert (sent.attempt, sent.not_after, sent.key_expires) == (1, NOW + 300, NOW + 5 + 3600)
    assert len(sent.key) == 32


def test_the_keys_lifetime_counts_from_the_first_attempt_and_the_key_stays(store):
    take(store, message(1))
    answer(store, part(key_lifetime=3600))
    first = store.lease_outbox("feishu", "oc_1", NOW + 10)
    store.settle(first, Settled("retry", at=NOW + 20, uncertain=True), NOW + 11)
    second = store.lease_outbox("feishu", "oc_1", NOW + 20)
    assert (second.part.key, second.part.key_expires) == (first.part.key, NOW + 10 + 3600)
    assert (second.part.attempt, second.uncertain) == (2, True)
    store.settle(second, Settled("retry", at=NOW + 30), NOW + 21)
    assert store.lease_outbox("feishu", "oc_1", NOW + 30).uncertain is True


def test_a_key_that_lives_for_ever_never_expires(store):
    store.enqueue("k", "d", "feishu", [part(key_lifetime=float("inf"))], NOW)
    assert store.lease_outbox("feishu", "oc_1", NOW).part.key_expires == float("inf")


def test_a_lane_is_a_fifo_and_lanes_do_not_wait_for_each_other(store):
    take(store, message(1), message(2, chat="oc_2"))
    answer(store, part("a"), part("b"))
    answer(store, part("c", chat="oc_2"), session="feishu:oc_2")
    assert store.lanes_waiting() == {("feishu", "oc_1"): NOW, ("feishu", "oc_2"): NOW}
    first = store.lease_outbox("feishu", "oc_1", NOW)
    assert first.part.payload == {"text": "a"}
    blocked = store.lease_outbox("feishu", "oc_1", NOW)
    assert isinstance(blocked, float) and blocked > NOW
    assert deliver(store, "oc_2").part.payload == {"text": "c"}
    store.settle(first, Settled("delivered", Receipt("r", NOW)), NOW)
    assert deliver(store).part.payload == {"text": "b"}
    assert store.lease_outbox("feishu", "oc_1", NOW) is None
    assert store.lanes_waiting() == {}


def test_a_row_in_back_off_blocks_its_turn_and_other_turns_for_ten_minutes(store):
    take(store, message(1), message(2))
    answer(store, part("a1"), part("a2"))
    answer(store, part("b1"))
    lease = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(lease, Settled("retry", at=NOW + 1000), NOW)
    assert store.lease_outbox("feishu", "oc_1", NOW + 1) == NOW + 600
    assert store.lanes_waiting() == {("feishu", "oc_1"): NOW + 600}
    assert deliver(store, now=NOW + 600).part.payload == {"text": "b1"}
    assert store.lease_outbox("feishu", "oc_1", NOW + 601) == NOW + 1000
    assert [deliver(store, now=NOW + 1000).part.payload["text"] for _ in range(2)] == ["a1", "a2"]


def test_back_off_counts_its_ten_minutes_from_its_first_failure(store):
    take(store, message(1), message(2))
    answer(store, part("a"))
    answer(store, part("b"))
    for n in range(3):
        lease = store.lease_outbox("feishu", "oc_1", NOW + 300 * n)
        assert lease.part.payload == {"text": "a"}
        store.settle(lease, Settled("retry", at=NOW + 300 * (n + 1)), NOW + 300 * n)
    assert deliver(store, now=NOW + 601).part.payload == {"text": "b"}


def test_a_settled_row_cannot_be_settled_again(store):
    take(store, message(1))
    answer(store, part())
    lease = deliver(store)
    with pytest.raises(LeaseLost):
        store.settle(lease, Settled("dead", reason="x"), NOW)


def test_what_was_refused_is_a_dead_letter_and_something_else_goes_in_its_place(store):
    take(store, message(1), message(2))
    answer(store, NewPart(peer(), {"media": {"name": "a.pdf"}}, handle={"bubble": 1}), part("after"))
    answer(store, part("another turn"))
    refused = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(refused, Settled("replaced", payload={"text": "[a.pdf]"}, reason="too large"), NOW + 1)
    leases = [deliver(store, now=NOW + 2) for _ in range(3)]
    assert [lease.part.payload["text"] for lease in leases] == ["[a.pdf]", "after", "another turn"]
    first = leases[0]
    assert (first.row, first.part.attempt, first.uncertain, first.part.handle) == (refused.row, 1, False, {"bubble": 1})
    assert first.part.key != refused.part.key and first.part.reply_seq == refused.part.reply_seq
    (dead,) = store.dead()
    assert dead.reason == "too large"
    assert store.dead_retry(dead.id, NOW + 3)
    again = store.lease_outbox("feishu", "oc_1", NOW + 3)
    assert (again.part.key, again.part.payload) == (refused.part.key, refused.part.payload)


def test_a_sender_that_vanished_leaves_an_uncertain_row(store):
    take(store, message(1))
    answer(store, part())
    lost = store.lease_outbox("feishu", "oc_1", NOW)
    until = store.lease_outbox("feishu", "oc_1", NOW)
    again = store.lease_outbox("feishu", "oc_1", until)
    assert (again.row, again.uncertain, again.part.attempt) == (lost.row, True, 2)
    with pytest.raises(LeaseLost):
        store.settle(lost, Settled("dead", reason="x"), NOW)


# --- sends from outside ---


def test_a_part_that_was_leased_and_not_sent_is_as_it_was_before(store):
    take(store, message(1))
    answer(store, part("a", key_lifetime=60))
    before = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(before, Settled("unsent"), NOW)
    again = store.lease_outbox("feishu", "oc_1", NOW + 5)
    assert (again.part.attempt, again.uncertain, again.part.key) == (1, False, before.part.key)
    assert again.part.key_expires == NOW + 65


def test_parts_of_a_child_that_are_too_old_are_given_up_but_not_one_that_is_being_sent(store):
    old = [take(store, message(n, chat=f"oc_{n}")) for n in (1, 2)]
    assert all(old)
    for n in (1, 2):
        answer(store, part(f"old {n}", chat=f"oc_{n}"), session=f"feishu:oc_{n}")
    sending = store.lease_outbox("feishu", "oc_2", NOW)
    take(store, message(3, child="qq"))
    answer(store, NewPart(peer(child="qq"), {"text": "of another"}), session="qq:oc_1")
    take(store, message(4, chat="oc_4"), now=NOW + 50)
    answer(store, part("young", chat="oc_4"), session="feishu:oc_4", now=NOW + 50)
    gone = store.give_up("feishu", NOW + 10, "feishu is gone", NOW + 60)
    assert [(lease.lane, lease.part.payload["text"], lease.born_at) for lease in gone] == [("oc_1", "old 1", NOW)]
    assert [(letter.child, letter.text, letter.reason) for letter in store.dead()] == [
        ("feishu", "old 1", "feishu is gone")
    ]
    assert list(store.give_up("feishu", NOW + 10, "feishu is gone", NOW + 60)) == []
    store.settle(sending, Settled("delivered", Receipt("r", NOW)), NOW + 61)
    assert store.lanes_waiting().keys() == {("qq", "oc_1"), ("feishu", "oc_4")}


def test_the_same_key_answers_the_same_id(store):
    first = store.enqueue("k", "digest", "feishu", [part("a"), part("b")], NOW)
    assert (first.state, first.fresh) == ("queued", True)
    again = store.enqueue("k", "digest", "feishu", [part("a"), part("b")], NOW + 1)
    assert (again.id, again.fresh) == (first.id, False)
    assert store.counts(NOW).outbox == 2
    with pytest.raises(KeyReused):
        store.enqueue("k", "another", "feishu", [part("x")], NOW)


def test_a_sends_state_is_that_of_its_least_finished_part(store):
    id = store.enqueue("k", "d", "feishu", [part("a"), part("b")], NOW).id
    deliver(store, id="r1")
    assert store.sent(id).state == "queued"
    lease = store.lease_outbox("feishu", "oc_1", NOW + 1)
    assert store.sent(id).state == "sending"
    store.settle(lease, Settled("delivered", Receipt("r2", NOW + 2)), NOW + 2)
    sent = store.sent(id)
    assert (sent.state, sent.receipt) == ("delivered", {"id": "r1", "ids": ["r1", "r2"], "at": NOW + 2})
    assert store.sent("unknown") is None


def test_a_dead_part_makes_a_dead_send_with_its_reason(store):
    id = store.enqueue("k", "d", "feishu", [part("a"), part("b")], NOW).id
    deliver(store)
    lease = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(lease, Settled("dead", reason="no such chat"), NOW)
    assert (store.sent(id).state, store.sent(id).reason) == ("dead", "no such chat")


def test_what_became_of_a_send_is_known_after_its_rows_are_gone(store):
    id = store.enqueue("k", "d", "feishu", [part()], NOW).id
    deliver(store, id="r1")
    assert store.prune(Retention(), NOW + 9 * DAY) > 0
    assert (store.sent(id).state, store.sent(id).receipt["id"]) == ("delivered", "r1")
    assert store.enqueue("k", "d", "feishu", [part()], NOW + 9 * DAY).id == id
    assert store.counts(NOW).outbox == 0


# --- dead letters ---


def test_dead_letters_of_both_kinds_are_listed_newest_first(store):
    take(store, message(1))
    answer(store, state="dead", reason="gave up", now=NOW)
    store.enqueue("k", "d", "feishu", [part("hello"), part("held")], NOW)
    for n, state in enumerate(("dead", "held")):
        lease = store.lease_outbox("feishu", "oc_1", NOW)
        store.settle(lease, Settled(state, reason=state), NOW + 1 + n)
    held, refused, inbox = store.dead()
    assert (inbox.kind, inbox.reason, inbox.text, inbox.chat_id) == ("inbox", "gave up", "text 1", "oc_1")
    assert (refused.kind, refused.reason, refused.text, refused.at) == ("outbox", "dead", "hello", NOW + 1)
    assert (held.id.startswith("out-"), held.reason) == (True, "held")
    assert store.counts(NOW).dead == 3
    assert len(store.dead(1)) == 1


def test_a_retried_message_waits_again_with_no_attempts(store):
    take(store, message(1))
    lease = store.lease_session("feishu:oc_1", "w", 10, NOW)
    store.put_draft(lease, {"h": 1}, NOW)
    store.commit_turn(lease, TurnEnd("dead", reason="x"), NOW)
    (letter,) = store.dead()
    assert store.dead_retry(letter.id, NOW) is True
    assert store.dead_retry(letter.id, NOW) is False
    again = store.lease_session("feishu:oc_1", "w", 10, NOW)
    assert (again.attempt, again.inbound.text, again.draft, again.seq_used) == (1, "text 1", None, 1)
    assert again.turn_id != lease.turn_id


def test_a_retried_part_is_due_at_once_with_no_attempts_and_a_new_age(store):
    id = store.enqueue("k", "d", "feishu", [part(key_lifetime=60)], NOW).id
    first = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(first, Settled("held", reason="perhaps delivered"), NOW)
    (letter,) = store.dead()
    assert store.dead_retry(letter.id, NOW + 500) is True
    assert store.sent(id).state == "queued"
    again = store.lease_outbox("feishu", "oc_1", NOW + 500)
    assert (again.part.key, again.part.attempt, again.uncertain) == (first.part.key, 1, False)
    assert (again.born_at, again.part.key_expires) == (NOW + 500, NOW + 560)


def test_a_dropped_dead_letter_is_forgotten(store):
    take(store, message(1))
    answer(store, state="dead", reason="x")
    id = store.enqueue("k", "d", "feishu", [part()], NOW).id
    lease = store.lease_outbox("feishu", "oc_1", NOW)
    store.settle(lease, Settled("dead", reason="x"), NOW)
    for letter in store.dead():
        assert store.dead_drop(letter.id, NOW) is True
        assert store.dead_drop(letter.id, NOW) is False
    assert list(store.dead()) == []
    assert (store.sent(id).state, store.sent(id).reason) == ("dead", "dropped")
    assert list(take(store, message(1))) == [None]


def test_what_is_no_dead_letter_can_neither_be_retried_nor_dropped(store):
    (row,) = take(store, message(1))
    for id in (f"in-{row}", "out-1", "in-", "in-x", "", "in-99999999999999999999999", "x-1", "in--1"):
        assert store.dead_retry(id, NOW) is False
        assert store.dead_drop(id, NOW) is False


# --- upkeep ---


def test_counts_tell_rows_by_state(store):
    take(store, message(1), message(2), message(3))
    answer(store, part())
    store.lease_session("feishu:oc_1", "w", 60, NOW)
    counts = store.counts(NOW + 7)
    assert (counts.inbox, counts.outbox, counts.dead, counts.oldest_undelivered) == (2, 1, 0, 7)
    deliver(store)
    assert store.counts(NOW + 7).oldest_undelivered is None


def test_recovery_voids_every_lease_and_counts_what_it_found(store):
    take(store, message(1), message(2), message(3, chat="oc_2"), message(4, chat="oc_3"))
    answer(store, part())
    cut = store.lease_session("feishu:oc_2", "w", 600, NOW)
    parked = store.lease_session("feishu:oc_3", "w", 600, NOW)
    store.release(parked, NOW)
    sending = store.lease_outbox("feishu", "oc_1", NOW)
    found = store.recover(NOW + 1)
    assert (found.cut, found.waiting, found.undelivered) == (1, 2, 1)
    assert store.lease_session("feishu:oc_2", "w", 60, NOW + 1).attempt == 2
    assert store.lease_session("feishu:oc_3", "w", 60, NOW + 1).attempt == 1
    again = store.lease_outbox("feishu", "oc_1", NOW + 1)
    assert (again.row, again.uncertain, again.part.attempt) == (sending.row, True, 2)
    with pytest.raises(LeaseLost):
        store.commit_turn(cut, TurnEnd("done"), NOW + 1)
    with pytest.raises(LeaseLost):
        store.settle(sending, Settled("delivered", Receipt("r", NOW)), NOW + 1)


def test_rows_are_pruned_by_their_age_and_keys_by_theirs(store):
    take(store, message(1), message(2), message(3))
    answer(store, part())
    answer(store, state="dead", reason="x")
    deliver(store)
    rows_gone = Retention(inbox_days=1, outbox_days=1, dedup_days=8)
    assert store.prune(rows_gone, NOW + DAY - 1) == 0
    assert store.prune(rows_gone, NOW + DAY + 1) == 2
    assert list(take(store, message(1), now=NOW + DAY + 1)) == [None]
    assert [line.text for line in store.transcript("feishu", "oc_1")] == ["text 2", "text 3"]
    assert store.prune(rows_gone, NOW + 8 * DAY + 1) > 0
    assert None not in take(store, message(1), now=NOW + 8 * DAY + 1)
    assert store.counts(NOW).dead == 1
    store.prune(rows_gone, NOW + 91 * DAY)
    assert (store.counts(NOW).dead, store.counts(NOW).inbox) == (0, 2)


def test_history_is_pruned_per_session(store):
    take(store, *(message(n) for n in range(5)))
    for n in range(5):
        answer(store, history=(Message("user", f"q{n}"), Message("assistant", f"a{n}")), now=NOW + n)
    assert store.prune(Retention(history_turns=2), NOW + 9) == 6
    assert [line.text for line in store.history("feishu:oc_1", 99)] == ["q3", "a3", "q4", "a4"]
    assert store.sessions()[0].messages == 4
    assert store.prune(Retention(history_turns=2), NOW + 9) == 0


def test_prune_does_a_bounded_piece_of_work(store):
    batch = [Intake(Inbound((f"k{n}",), peer(), f"m{n}", "t"), "s") for n in range(700)]
    rows = store.accept("feishu", batch, NOW)
    for row in rows[:2]:
        store.commit_turn(store.lease_row(row, "w", 9, NOW), TurnEnd("done"), NOW)
    first = store.prune(Retention(), NOW + 9 * DAY)
    assert 0 < first < 700
    while store.prune(Retention(), NOW + 9 * DAY):
        pass
    assert store.counts(NOW).inbox == 698
    assert list(store.accept("feishu", batch[:1], NOW + 9 * DAY)) != [None]


def test_a_chat_that_changed_its_id_takes_along_what_is_unfinished(store):
    take(store, message(1), message(2), message(3))
    answer(store, part("sent"), history=(Message("user", "old"),))
    deliver(store)
    answer(store, part("waiting"))
    store.rekey("feishu", "oc_1", "oc_new")
    assert store.sessions_waiting() == {"feishu:oc_new": 1}
    assert [line.text for line in store.history("feishu:oc_new", 9)] == ["old"]
    assert [(s.session_id, s.chat_id) for s in store.sessions()] == [("feishu:oc_new", "oc_new")]
    assert store.lanes_waiting() == {("feishu", "oc_new"): NOW}
    assert store.lease_outbox("feishu", "oc_new", NOW).part.peer.chat_id == "oc_new"
    assert store.lease_session("feishu:oc_new", "w", 9, NOW).inbound.peer.chat_id == "oc_new"


@pytest.mark.parametrize("dead", [False, True], ids=["the process lives", "the process dies"])
def test_a_turn_whose_chat_changes_its_id_is_the_only_one_of_that_chat_and_ends_in_its_new_place(store, dead):
    take(store, message(1), message(2))
    turn = store.lease_session("feishu:oc_1", "w", 60, NOW)
    store.rekey("feishu", "oc_1", "oc_new")
    take(store, message(3, chat="oc_new"))
    assert store.sessions_waiting() == {"feishu:oc_new": 2}
    assert all(store.lease_session(each, "w", 60, NOW) is None for each in ("feishu:oc_1", "feishu:oc_new"))
    if dead:
        store.recover(NOW)
        assert store.sessions_waiting() == {"feishu:oc_new": 3} and store.sessions_cut() == {"feishu:oc_new"}
        turn = store.lease_session("feishu:oc_new", "w", 60, NOW)
        assert (turn.inbound.text, turn.attempt, turn.inbound.peer.chat_id) == ("text 1", 2, "oc_new")
    said = (Message("user", "text 1"), Message("assistant", "answer"))
    ours = "oc_new" if dead else "oc_1"
    end = TurnEnd("done", parts=(part(chat=ours), part("elsewhere", chat="oc_2")), history=said)
    store.commit_turn(turn, end, NOW)
    assert set(store.lanes_waiting()) == {("feishu", "oc_new"), ("feishu", "oc_2")}
    assert store.lease_outbox("feishu", "oc_new", NOW).part.peer.chat_id == "oc_new"
    assert [line.text for line in store.history("feishu:oc_new", 9)] == ["text 1", "answer"]
    assert [(s.session_id, s.chat_id) for s in store.sessions()] == [("feishu:oc_new", "oc_new")]
    for text in ("text 2", "text 3"):
        lease = store.lease_session("feishu:oc_new", "w", 60, NOW)
        assert lease.inbound.text == text
        store.commit_turn(lease, TurnEnd("done"), NOW)


def test_a_turn_that_is_parked_after_its_chat_has_changed_its_id_goes_on_in_the_new_place(store):
    take(store, message(1))
    turn = store.lease_session("feishu:oc_1", "w", 60, NOW)
    store.rekey("feishu", "oc_1", "oc_new")
    store.release(turn, NOW)
    again = store.lease_session("feishu:oc_new", "w", 60, NOW)
    assert (again.turn_id, again.attempt, again.inbound.peer.chat_id) == (turn.turn_id, 1, "oc_new")


def test_what_was_put_aside_moves_along_with_its_chat(store):
    for n, chat in ((1, "oc_1"), (2, "oc_new")):
        take(store, message(n, chat=chat))
        answer(store, session=f"feishu:{chat}", history=(Message("user", f"said {n}"),), now=NOW + n)
        store.reset_session(f"feishu:{chat}", NOW + 9 + n)
    store.rekey("feishu", "oc_1", "oc_new")
    assert [line.text for line in store.archived("feishu:oc_new", 9)] == ["said 1", "said 2"]
    assert store.archived("feishu:oc_1", 9) == ()


def test_a_changed_id_merges_with_a_session_that_exists_already(store):
    take(store, message(1), message(2, chat="oc_new"))
    answer(store, history=(Message("user", "old"),), now=NOW)
    answer(store, session="feishu:oc_new", history=(Message("user", "new"),), now=NOW + 1)
    store.rekey("feishu", "oc_1", "oc_new")
    assert [line.text for line in store.history("feishu:oc_new", 9)] == ["old", "new"]
    assert [(s.session_id, s.messages, s.last_at) for s in store.sessions()] == [("feishu:oc_new", 2, NOW + 1)]


def test_after_close_everything_is_away(store):
    store.ping()
    store.close()
    for call in (store.ping, store.sessions_waiting, lambda: take(store, message(1))):
        with pytest.raises(StoreAway):
            call()


def test_it_has_every_method_of_the_seam(store):
    named = [name for name in vars(Store) if not name.startswith("_")]
    assert [name for name in named if not callable(getattr(store, name, None))] == []
