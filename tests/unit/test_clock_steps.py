"""A wall clock that is put forward in mid-life: what waits for a turn or for its delivery grows no older by it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from hermes_green.core.model import Caps, Peer
from hermes_green.core.ports import NewPart
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms

WINDOW = 300.0


@pytest.fixture
def step(monkeypatch):
    """Put the wall clock forward by so many seconds, as NTP does that finds it wrong."""
    ahead = []
    machine = SimpleNamespace(
        time=lambda: time.time() + sum(ahead), monotonic=time.monotonic, clock_gettime=time.clock_gettime
    )
    monkeypatch.setattr("hermes_green.core.clock.time", machine)
    return ahead.append


@pytest.fixture
def rooms(step):
    rooms = Rooms(MemoryStore(), adapter=ScriptedAdapter(caps=Caps(reply_window=WINDOW)))
    yield rooms
    rooms.close()


def held(rooms, text, **more):
    """A reply that waits, because its child is halted."""
    rooms.child.sends = False
    part = NewPart(Peer("one", "c", "dm"), {"text": text}, **more)
    rooms.store.enqueue(text, "d", "one", [part], rooms.clock.wall())
    rooms.delivery.wake("one", "c")


def go(rooms):
    rooms.child.sends = True
    rooms.delivery.wake_child("one")
    eventually(lambda: rooms.store.counts(rooms.clock.wall()).outbox == 0)


def test_a_reply_that_waits_is_not_given_up(rooms, step):
    held(rooms, "a")
    step(86_400)
    rooms.delivery.give_up(["one"])
    go(rooms)
    assert rooms.texts == ["a"] and not rooms.store.dead()


def test_the_window_of_a_reply_that_waits_is_not_closed(rooms, step):
    held(rooms, "a", window=WINDOW)
    step(86_400)
    go(rooms)
    assert rooms.texts == ["a"] and not rooms.store.dead()


def test_a_window_that_has_closed_stays_closed(rooms, step):
    rooms.store.enqueue(
        "k", "d", "one", [NewPart(Peer("one", "c", "dm"), {"text": "a"}, window=WINDOW)], rooms.clock.wall() - 301
    )
    rooms.delivery.wake("one", "c")
    step(86_400)
    go(rooms)
    assert rooms.texts == [] and [letter.reason for letter in rooms.store.dead()] == ["window closed"]


def test_a_message_that_waits_is_not_called_old(rooms, step):
    rooms.say("hello", route=False)
    step(90_000)
    rooms.lanes.offer_all(rooms.store.sessions_waiting())
    eventually(lambda: rooms.texts == ["re: hello"])
    assert not rooms.agent.turns[0].stale
