"""The position in a platform's sequence: what is committed, and how seldom it is written."""

from __future__ import annotations

import gevent
import pytest

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Inbound, Peer
from hermes_green.link.cursor import Cursor


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
    def positions(self) -> list[int]:
        return [memo["at"] for _, _, memo in self.offers]


def message(n: int) -> Inbound:
    return Inbound((str(n),), Peer("child", "U", "dm"), str(n), "hi")


@pytest.fixture
def port() -> SlowPort:
    return SlowPort()


@pytest.fixture
def cursor(port) -> Cursor:
    return Cursor(port, lambda at: {"at": at}, 4)


def test_a_position_counts_only_once_its_message_is_committed(port, cursor):
    cursor.take(message(5), 5)
    cursor.take(message(6), 6)
    assert (cursor.received, cursor.committed) == (6, 4)
    port.commit(1)
    assert cursor.committed == 5
    port.commit()
    assert cursor.committed == 6 and port.positions == [5, 6]


def test_a_flood_of_events_not_for_us_is_written_once_per_commit(port, cursor):
    for at in range(5, 1005):
        cursor.take(None, at)
    assert len(port.offers) == 1
    port.commit()
    port.commit()
    assert port.positions == [5, 1004] and cursor.committed == 1004


def test_a_message_carries_the_position_of_what_was_passed_over_before_it(port, cursor):
    cursor.take(None, 5)
    cursor.take(None, 6)
    cursor.take(message(7), 7)
    port.commit()
    assert port.positions == [5, 7] and cursor.committed == 7


def test_an_event_that_moves_nothing_is_written_with_its_message_alone(port, cursor):
    cursor.take(message(1), cursor.received)
    cursor.take(None, cursor.received)
    port.commit()
    assert port.positions == [4] and cursor.committed == 4


def test_numbers_that_begin_anew_are_followed(port, cursor):
    cursor.take(message(9), 900)
    cursor.take(message(1), 11)
    port.commit()
    cursor.take(None, 12)
    port.commit()
    assert port.positions == [900, 11, 12] and cursor.committed == 12


def test_a_sequence_that_begins_has_nothing_committed(port):
    cursor = Cursor(port, lambda at: {"at": at})
    assert (cursor.received, cursor.committed) == (0, None)
    cursor.take(None, 1)
    assert cursor.committed is None
    port.commit()
    assert cursor.committed == 1


def test_a_sequence_that_begins_is_kept_even_where_its_first_event_has_no_number(port):
    cursor = Cursor(port, lambda at: {"at": at})
    cursor.take(None, 0)
    cursor.take(None, 0)
    port.commit()
    assert port.positions == [0] and cursor.committed == 0


def test_after_its_end_no_move_is_written(port, cursor):
    cursor.take(None, 5)
    cursor.take(None, 6)
    cursor.end()
    port.commit()
    assert port.positions == [5] and cursor.committed == 5


def test_an_intake_that_is_full_ends_the_run_but_not_the_ack_greenlet(port, cursor):
    cursor.take(None, 5)
    cursor.take(None, 6)
    port.full = True
    with pytest.raises(LinkLost):
        cursor.take(message(7), 7)
    port.commit()
    assert cursor.committed == 5 and cursor.settle(0)


def test_who_waits_is_woken_when_the_last_is_committed(port, cursor):
    assert cursor.settle(0)
    cursor.take(message(5), 5)
    cursor.take(None, 6)
    waiting = gevent.spawn(cursor.settle, 10)
    port.commit()
    gevent.idle()
    assert not waiting.ready() and cursor.committed == 5
    port.commit()
    assert waiting.get(timeout=60) is True and cursor.committed == 6


def test_who_waits_is_woken_by_the_end(port, cursor):
    cursor.take(message(5), 5)
    waiting = gevent.spawn(cursor.settle, 10)
    gevent.idle()
    cursor.end()
    assert waiting.get(timeout=60) is True and cursor.committed == 4


def test_a_store_that_is_away_is_not_waited_for_for_ever(port, cursor):
    cursor.take(message(5), 5)
    assert cursor.settle(0.001) is False
