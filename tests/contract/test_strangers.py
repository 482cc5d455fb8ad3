"""A flood of people whom nobody let in: no agent call, bounded memory, no text kept."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc

import pytest

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access
from hermes_green.core.ports import Intake
from hermes_green.runtime.pairing import MAX_PENDING
from hermes_green.store.memory import MemoryStore
from hermes_green.store.sqlite import SqliteStore
from tests.support.children import eventually
from tests.support.rooms import Rooms

CHATS = 100
BATCH = 100


def come(rooms: Rooms, numbers: range) -> None:
    """What an intake does with a batch."""
    peers = [Peer("one", f"c{n % CHATS}", "dm", user_id=f"s{n}") for n in numbers]
    messages = [Inbound((f"k{n}",), peer, f"m{n}", f"text {n}") for n, peer in zip(numbers, peers)]
    items = [Intake(each, f"one:{each.peer.chat_id}") for each in messages]
    for item in items:
        rooms.desk.foresee(item.inbound, item.session_id)
    for row, item in zip(rooms.store.accept("one", items, rooms.clock.wall()), items):
        rooms.desk.route(row, item.inbound, item.session_id)


@pytest.mark.parametrize(("kind", "messages"), [("memory", 10_000), ("sqlite", 2_000)])
def test_ten_thousand_messages_of_strangers_cost_no_agent_call_and_bounded_memory(tmp_path, kind, messages):
    store = SqliteStore(tmp_path / "store.db") if kind == "sqlite" else MemoryStore()
    rooms = Rooms(store, access=Access(dm="pairing"))
    tracemalloc.start()
    try:
        early = 0
        for first in range(0, messages, BATCH):
            come(rooms, range(first, first + BATCH))
            if first == messages // 2:
                rooms._express._queue.join()
                gc.collect()
                early = tracemalloc.get_traced_memory()[0]
        eventually(lambda: store.counts(0).inbox == 0, 60)
        eventually(lambda: len(rooms.adapter.sent) == MAX_PENDING, 60)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - early
    finally:
        tracemalloc.stop()
    assert rooms.agent.turns == [] and len(rooms.door.pairing.waiting()) == MAX_PENDING
    assert not rooms.lanes._lanes and not store.dead()
    # The store in memory keeps a small row of each; that is its disk.
    assert grown < (2_000_000 if kind == "sqlite" else messages * 2_000), f"the second half cost {grown} bytes"
    rooms.close()
    store.close()
    if kind == "sqlite":
        plain = sqlite3.connect(tmp_path / "store.db")
        assert plain.execute("SELECT count(*), max(text), max(body) FROM inbox").fetchone() == (messages, "", "{}")
        plain.close()
    else:
        assert {row.inbound.text for row in store._inbox.values()} == {""}
