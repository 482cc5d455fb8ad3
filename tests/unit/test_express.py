"""Rows that pass their lanes are many at times, refusals above all: they share commits and keep their order."""

import gevent
import pytest
from gevent.event import Event
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Intake, NewPart, TurnEnd
from hermes_green.runtime.express import Express
from hermes_green.store.sqlite import SqliteStore
from tests.support.children import eventually
from tests.support.stage import PATIENCE

MANY = 150


@pytest.fixture
def scene(tmp_path):
    """The store with waiting rows, its commits, and what closes a row with an answer."""
    commits = []
    clock = SystemClock()
    store = SqliteStore(tmp_path / "store.db", before_commit=lambda: commits.append(1))
    inbounds = [Inbound((str(n),), Peer("one", "c", "dm"), str(n), str(n)) for n in range(MANY)]
    rows = store.accept("one", [Intake(inbound, f"one:{n}") for n, inbound in enumerate(inbounds)], clock.wall())
    express = Express("one", store, clock, logger, "w")

    def close(lease):
        part = NewPart(lease.inbound.peer, {"text": lease.inbound.text})
        store.commit_turn(lease, TurnEnd("refused", parts=(part,)), clock.wall())

    yield store, express, rows, commits, close
    express.close()
    store.close()


def test_rows_that_wait_together_share_their_commits_and_are_answered_in_their_order(scene):
    store, express, rows, commits, close = scene
    before = len(commits)
    for row in rows:
        express.do(row, close)
    eventually(lambda: store.counts(0.0).inbox == 0)
    assert len(commits) - before <= 12, "two for each batch, and a few for those who came first"
    parts = store.give_up("one", 3e9, "", 2e9)
    assert [lease.part.payload["text"] for lease in parts] == [str(n) for n in range(MANY)]


def test_a_timeout_that_somebody_let_out_does_not_end_what_passes_the_lanes(scene):
    store, express, rows, _, close = scene

    def late(lease=None):
        raise gevent.Timeout(1)

    express.later(late)
    express.do(rows[0], late)
    gevent.sleep(0.008)
    for row in rows[1:3]:
        express.do(row, close)
    eventually(lambda: store.counts(0.0).inbox == MANY - 3)
    assert [letter.text for letter in store.dead()] == ["0"]


def test_one_that_fails_leaves_the_others_of_its_batch_alone(scene):
    store, express, rows, _, close = scene
    held = Event()
    express.later(held.wait)
    for row in rows:
        express.do(row, (lambda lease: 1 / 0) if row == rows[7] else close)
    gevent.sleep(0.008)
    assert store.counts(0.0).inbox == MANY, "they wait for what was queued before them"
    held.set()
    eventually(lambda: store.counts(0.0).inbox == 0)
    assert [letter.text for letter in store.dead()] == ["7"]


def test_an_end_waits_for_what_is_queued_and_no_longer(scene):
    store, express, rows, _, close = scene
    for row in rows[:3]:
        express.do(row, close)
    with gevent.Timeout(PATIENCE):
        express.close(grace=10 * PATIENCE)
    assert store.counts(0.0).inbox == MANY - 3


def test_an_end_without_grace_leaves_what_has_not_begun(scene):
    store, express, rows, _, close = scene
    express.later(Event().wait)
    express.do(rows[0], close)
    gevent.sleep(0)
    with gevent.Timeout(PATIENCE):
        express.close()
    assert store.counts(0.0).inbox == MANY


def test_a_row_that_somebody_else_has_is_told_of_and_left_alone(scene):
    store, express, rows, _, _ = scene
    store.lease_row(rows[0], "another", 60.0, SystemClock().wall())
    told = []
    express.do(rows[0], lambda lease: told.append("done"), gone=lambda: told.append("gone"))
    eventually(lambda: told)
    assert told == ["gone"]
