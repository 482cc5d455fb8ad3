"""Durable intake measured: inserts a second by waiters, and how late a 20 ms timer of the hub gets meanwhile.

    python -m tests.bench.bench_store [seconds per figure]

Each row is committed (WAL, synchronous FULL) before its waiter goes on. The naive control commits
each message by itself on the hub, through the same statements. The slow disk is 5 ms more per
commit. The bare control is what this disk gives today: ready rows of 500 bytes in groups of 100
into one table with one unique index, no values, no waiters.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import sqlite3  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.threadpool import ThreadPool  # noqa: E402

from hermes_green.core.model import Inbound, Peer  # noqa: E402
from hermes_green.core.ports import Intake  # noqa: E402
from hermes_green.store.accepting import accept_one, encode  # noqa: E402
from hermes_green.store.connection import connect  # noqa: E402
from hermes_green.store.schema import prepare  # noqa: E402
from hermes_green.store.sqlite import SqliteStore  # noqa: E402

native_sleep = monkey.get_original("time", "sleep")
TEXT = "how far is it from the river to the old mill, and may we walk there? " * 4
PERIOD = 0.02
SLOW = 0.005

Accept = Callable[[list[Intake]], object]


class Timer:
    """The largest lateness of a 20 ms timer, in milliseconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._greenlet = gevent.spawn(self._tick)

    def _tick(self) -> None:
        due = time.perf_counter() + PERIOD
        while True:
            gevent.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            self.worst = max(self.worst, (now - due) * 1000)
            due = now + PERIOD

    def stop(self) -> float:
        if not self._greenlet.dead:
            self._greenlet.kill()
        return self.worst


def messages(count: int, chats: int = 50) -> list[Intake]:
    """Distinct messages of about 500 bytes, made before the clock runs."""
    made = []
    for n in range(count):
        chat = f"oc_{n % chats:032d}"
        inbound = Inbound(
            keys=(f"om_{n:032x}",),
            peer=Peer("feishu", chat, "group", user_id="ou_1", user_name="Ann"),
            message_id=f"om_{n:032x}",
            text=TEXT,
            reply_ref={"message_id": f"om_{n:032x}"},
            sent_at=1.0,
        )
        made.append(Intake(inbound, f"feishu:{chat}"))
    return made


def load(accept: Accept, waiters: int, seconds: float, batch: int, chats: int = 50) -> tuple[float, float]:
    """Rows a second and the timer's worst lateness, with ``waiters`` greenlets one batch each at a time."""
    stock = messages(int(max(2_000, 120_000 * seconds)), chats)
    position = 0
    deadline = 0.0
    # The stock is the load's, not ours: its objects shall not be what the collector is busy with.
    gc.collect()
    gc.freeze()

    def wait_for_row() -> None:
        nonlocal position
        while position < len(stock) and time.perf_counter() < deadline:
            taken = stock[position : position + batch]
            position += len(taken)
            accept(taken)

    timer = Timer()
    gevent.sleep(0.05)
    began = time.perf_counter()
    deadline = began + seconds
    gevent.joinall([gevent.spawn(wait_for_row) for _ in range(waiters)])
    took = time.perf_counter() - began
    gevent.sleep(PERIOD * 2)
    gc.unfreeze()
    return position / took, timer.stop()


def grouped(slow: bool, waiters: int, seconds: float, batch: int = 1, chats: int = 50) -> tuple[float, float]:
    """Our store."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "store.db", before_commit=(lambda: native_sleep(SLOW)) if slow else None)
        try:
            return load(lambda items: store.accept("feishu", items, 1.0), waiters, seconds, batch, chats)
        finally:
            store.close()


def naive(slow: bool, waiters: int, seconds: float, batch: int = 1) -> tuple[float, float]:
    """The control: encode, insert and commit on the hub, one message at a time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        prepare(path, busy_timeout=5)
        connection = connect(path, busy_timeout=5)

        def accept(items: list[Intake]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            accept_one(connection, "feishu", [encode("feishu", item, 1.0) for item in items], 1.0)
            if slow:
                native_sleep(SLOW)
            connection.execute("COMMIT")
            gevent.sleep(0)

        try:
            return load(accept, waiters, seconds, batch)
        finally:
            connection.close()


def bare(seconds: float, group: int = 100) -> float:
    """Rows a second of the least that can be called durable, on a thread of its own."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL").fetchall()
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, msgid TEXT UNIQUE, body TEXT)")

        def commit(rows: list[tuple[str, str]]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO row (msgid, body) VALUES (?, ?)", rows)
            connection.execute("COMMIT")

        pool = ThreadPool(1)
        done = 0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            pool.apply(commit, ([(f"om_{n:032x}", "x" * 460) for n in range(done, done + group)],))
            done += group
        took = time.perf_counter() - began
        pool.kill()
        connection.close()
        return done / took


def main(seconds: float = 1.5) -> None:
    """Print the figures, each with its aim."""
    sys.setswitchinterval(0.001)
    print(f"this disk today, bare groups of 100: {bare(seconds):.0f} rows/s (where the aim was set: 130,000)")
    print(f"{'':34s}{'rows/s':>8s}{'ratio':>8s}{'timer late':>12s}")
    for slow in (False, True):
        disk = "5 ms commit" if slow else "this disk"
        for waiters in (1, 10, 100, 1000):
            base, base_late = naive(slow, waiters, seconds)
            ours, late = grouped(slow, waiters, seconds)
            aim = _aim(slow, waiters)
            print(f"{disk:12s} {waiters:5d} waiters  naive  {base:9.0f}{1.0:8.1f}{base_late:9.1f} ms")
            print(f"{'':12s} {'':5s}          ours   {ours:9.0f}{ours / base:8.1f}{late:9.1f} ms{aim}", flush=True)
    # Nothing is answered here, so the backlog grows: over 50 chats each commit touches 50 places of its
    # index. One chat shows what a backlog that is worked off costs.
    rate, late = grouped(False, 100, seconds, chats=1)
    print(f"this disk      100 waiters, one chat    {rate:9.0f}{'':8s}{late:9.1f} ms")
    for size in (10, 100):
        rate, late = grouped(False, 10, seconds, batch=size)
        print(f"this disk       10 waiters, {size:3d} a batch {rate:9.0f}{'':8s}{late:9.1f} ms")


def _aim(slow: bool, waiters: int) -> str:
    if waiters != 100:
        return ""
    if slow:
        return "   aim: 80 times the naive one, timer about 2 ms late (naive: 280 ms)"
    return "   aim: 130,000 rows/s, timer about 2 ms late"


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
