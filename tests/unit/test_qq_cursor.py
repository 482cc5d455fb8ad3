"""The position in the gateway's sequence: what is committed, and how seldom it is written."""

from __future__ import annotations

import pytest

from hermes_green.adapters.qq.cursor import Cursor, Session
from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Inbound, Peer

SESSION = Session("S", "1024", 33, 4, "5", "bot")


class SlowPort:
    """Keeps what it is given; commits when told."""

    def __init__(self) -> None:
        self.offers: list[tuple] = []
        self.done = 0
        self.full = False

    def accept(self, inbound, ack=None, memo=None) -> None:
        if self.full:
            raise LinkLost("intake full")
        self.offers.append((inbound, ack, memo))

    def commit(self, count: int = 1_000) -> None:
        for inbound, ack, memo in self.offers[self.done : self.done + count]:
            self.done += 1
            if ack is not None:
                ack(True)

    @property
    def seqs(self) -> list[int]:
        return [memo["session"]["seq"] for _, _, memo in self.offers]


def message(n: int) -> Inbound:
    return Inbound((str(n),), Peer("qq", "U", "dm"), str(n), "hi")


@pytest.fixture
def port() -> SlowPort:
    return SlowPort()


def test_a_position_counts_only_once_its_message_is_committed(port):
    cursor = Cursor(port, SESSION)
    cursor.take(5, message(5))
    cursor.take(6, message(6))
    assert cursor.committed == 4
    port.commit(1)
    assert cursor.committed == 5
    port.commit()
    assert cursor.committed == 6 and port.seqs == [5, 6]


def test_the_memo_is_the_whole_session(port):
    Cursor(port, SESSION).take(5, message(5))
    memo = port.offers[0][2]["session"]
    assert memo == {"id": "S", "seq": 5, "app_id": "1024", "asked": 33, "bot_id": "5", "bot_name": "bot"}
    assert Session.of_memo(memo, "1024", 33) == Session("S", "1024", 33, 5, "5", "bot")


def test_a_flood_of_events_not_for_us_is_written_once_per_commit(port):
    cursor = Cursor(port, SESSION)
    for seq in range(5, 1005):
        cursor.skip(seq)
    assert len(port.offers) == 1
    port.commit()
    port.commit()
    assert port.seqs == [5, 1004] and cursor.committed == 1004


def test_a_message_carries_the_position_of_what_was_passed_over_before_it(port):
    cursor = Cursor(port, SESSION)
    cursor.skip(5)
    cursor.skip(6)
    cursor.take(7, message(7))
    port.commit()
    assert port.seqs == [5, 7] and cursor.committed == 7


def test_an_event_sent_again_does_not_move_the_position_back(port):
    cursor = Cursor(port, SESSION)
    cursor.take(8, message(8))
    cursor.take(5, message(5))
    port.commit()
    assert port.seqs == [8, 8] and cursor.committed == 8


def test_an_event_without_a_number_is_handed_in_all_the_same(port):
    cursor = Cursor(port, SESSION)
    cursor.take(None, message(1))
    cursor.skip(None)
    port.commit()
    assert port.seqs == [4]


def test_a_new_session_starts_with_nothing_committed(port):
    cursor = Cursor(port, None)
    assert cursor.committed is None
    cursor.open(SESSION, 1)
    assert cursor.committed is None
    port.commit()
    assert cursor.committed == 1 and port.seqs == [1]


def test_a_forgotten_session_is_never_written_again(port):
    cursor = Cursor(port, SESSION)
    cursor.skip(5)
    cursor.skip(6)
    cursor.forget()
    port.commit()
    assert [memo["session"] for _, _, memo in port.offers][1:] == [None]


def test_after_the_end_of_the_run_nothing_is_written(port):
    cursor = Cursor(port, SESSION)
    cursor.skip(5)
    cursor.skip(6)
    cursor.end()
    port.commit()
    assert port.seqs == [5]


def test_an_intake_that_is_full_ends_the_run_but_not_the_ack_greenlet(port):
    cursor = Cursor(port, SESSION)
    cursor.skip(5)
    cursor.skip(6)
    port.full = True
    with pytest.raises(LinkLost):
        cursor.take(7, message(7))
    port.commit()
    assert cursor.committed == 5


@pytest.mark.parametrize(
    "memo",
    [
        None,
        "S",
        {},
        {"id": "S", "seq": 3, "app_id": "2048"},
        {"id": "", "seq": 3, "app_id": "1024"},
        {"id": "S", "seq": None, "app_id": "1024"},
        {"id": "S", "seq": 3, "app_id": "1024", "asked": 1},
    ],
)
def test_only_our_own_session_for_the_same_events_is_resumed(memo):
    assert Session.of_memo(memo, "1024", 33) is None


def test_a_session_needs_no_more_than_id_number_and_owner():
    assert Session.of_memo({"id": "S", "seq": 3, "app_id": "1024"}, "1024", 33) == Session("S", "1024", 33, 3)


@pytest.mark.parametrize("d", [None, [], {}, {"session_id": 5}])
def test_ready_without_a_session_opens_none(d):
    assert Session.of_ready(d, "1024", 33) is None
