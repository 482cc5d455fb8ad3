"""What only the durable store can show: files, crashes, full disks, and a hub that never waits."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from gevent.monkey import get_original

from hermes_green.core.errors import LeaseLost, StoreAway, StoreBroken
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Intake, Lease, NewPart, Resets, Settled, TurnEnd
from hermes_green.store import connection as opening, schema
from hermes_green.store.sqlite import SqliteStore
from tests.support.disks import sync_no_directory
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.turns import Turns

NOW = 1_700_000_000.0
ROOT = Path(__file__).resolve().parents[2]
native_sleep = get_original("time", "sleep")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "store.db"


def intake(n, text="hello", session="s"):
    return Intake(Inbound((f"k{n}",), Peer("feishu", "oc", "group"), f"m{n}", text), session)


class Gate:
    """Holds a commit back, on the store's own thread: from when it is shut until it is opened."""

    def __init__(self):
        self.shut = False
        self.reached = False

    def __call__(self):
        self.reached = self.shut
        while self.shut:
            native_sleep(0.01)


def fill(store, **more):
    store.accept("feishu", [intake(n, **more) for n in range(3)], NOW)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# --- promises of the connection ---


def test_every_connection_is_wal_and_fully_synchronous(path, monkeypatch):
    opened = []

    def watch(*args, **more):
        made = opening.connect(*args, **more)
        opened.append((made.execute("PRAGMA journal_mode").fetchone(), made.execute("PRAGMA synchronous").fetchone()))
        return made

    for module in ("writer", "reader", "schema"):
        monkeypatch.setattr(f"hermes_green.store.{module}.connect", watch)
    store = SqliteStore(path)
    fill(store)
    store.counts(NOW)
    store.close()
    assert len(opened) >= 3 and set(opened) == {(("wal",), (2,))}


def test_a_connection_that_does_not_take_its_pragmas_is_broken(path):
    SqliteStore(path).close()
    with pytest.raises(StoreBroken):
        bare = sqlite3.connect(path)
        try:
            opening._ask(bare, path, "synchronous", "FULL", "never")
        finally:
            bare.close()


def test_files_are_for_us_alone(path):
    old = os.umask(0)
    try:
        store = SqliteStore(path)
        fill(store)
        names = [path, path.with_name("store.db-wal"), path.with_name("store.db-shm")]
        assert [mode(name) for name in names] == [0o600] * 3
        assert mode(path.parent) == 0o700
        store.close()
        os.chmod(path, 0o644)
        SqliteStore(path).close()
        assert mode(path) == 0o600
    finally:
        os.umask(old)


def test_a_file_system_that_changes_no_modes_and_syncs_no_directory_holds_a_store(path, monkeypatch):
    """Such as a stick or a share that is mounted for its user alone."""

    def refuse(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.chmod", refuse)
    sync_no_directory(monkeypatch)
    for _ in range(2):
        SqliteStore(path).close()
    monkeypatch.undo()
    os.chmod(path, 0o660)
    monkeypatch.setattr("os.chmod", refuse)
    with pytest.raises(StoreBroken) as broken:  # it could be read and written, and by others, too
        SqliteStore(path)
    assert "belong to this user alone" in broken.value.action


def test_a_file_system_that_shares_no_memory_is_named_as_the_trouble(path, monkeypatch):
    """Shared folders of virtual machines, for one: to wait, or to free space, would be no help."""

    def connect(*_, **__):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = 5386, "SQLITE_IOERR_SHMMAP"
        raise error

    monkeypatch.setattr("hermes_green.store.schema.connect", connect)
    with pytest.raises(StoreBroken) as broken:
        SqliteStore(path)
    assert "local file system" in broken.value.action


def test_what_was_committed_is_there_after_reopening(path):
    store = SqliteStore(path)
    fill(store)
    lease = store.lease_session("s", "w", 60, NOW)
    store.commit_turn(lease, TurnEnd("done", parts=(NewPart(Peer("feishu", "oc", "group"), {"text": "a"}),)), NOW)
    store.close()
    store = SqliteStore(path)
    assert store.sessions_waiting() == {"s": 2}
    assert list(store.accept("feishu", [intake(0), intake(9)], NOW))[0] is None
    sent = store.lease_outbox("feishu", "oc", NOW)
    assert (sent.part.reply_seq, sent.part.payload) == (1, {"text": "a"})
    store.settle(sent, Settled("renumber"), NOW)
    assert store.lease_outbox("feishu", "oc", NOW).part.reply_seq == 2
    store.close()


_WRITER = """
import gevent.monkey; gevent.monkey.patch_all()
import sys, gevent
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Intake
from hermes_green.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
def write(name):
    for n in range(10 ** 9):
        key = f"{name}-{n}"
        store.accept("c", [Intake(Inbound((key,), Peer("c", "x", "dm"), key, "t"), "s")], 1.0)
        print(key, flush=True)
gevent.joinall([gevent.spawn(write, i) for i in range(20)])
"""


def test_a_killed_process_loses_no_acknowledged_row(path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, env=env, text=True)
    seen = [writer.stdout.readline().strip() for _ in range(500)]
    writer.send_signal(signal.SIGKILL)
    seen += [line.strip() for line in writer.stdout if line.endswith("\n")]
    writer.wait(PATIENCE)
    assert len(seen) >= 500 and "" not in seen
    store = SqliteStore(path)
    again = [Intake(Inbound((key,), Peer("c", "x", "dm"), key, "t"), "s") for key in seen]
    assert set(store.accept("c", again, 2.0)) == {None}
    store.close()


# --- migrations ---


def test_an_older_file_is_backed_up_and_then_migrated(path, monkeypatch):
    store = SqliteStore(path)
    fill(store)
    store.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE memo ADD COLUMN mood TEXT",)))
    store = SqliteStore(path)
    assert store.sessions_waiting() == {"s": 3}
    store.close()
    now = len(schema.MIGRATIONS)
    backup = path.with_name(f"store.db.v{now - 1}.bak")
    assert mode(backup) == 0o600
    for name, version, rows in ((path, now, 3), (backup, now - 1, 3)):
        plain = sqlite3.connect(name)
        assert plain.execute("PRAGMA user_version").fetchone() == (version,)
        assert plain.execute("SELECT count(*) FROM inbox").fetchone() == (rows,)
        plain.close()
    monkeypatch.undo()
    os.unlink(path)
    os.rename(backup, path)
    store = SqliteStore(path)
    assert store.sessions_waiting() == {"s": 3}
    store.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    store = SqliteStore(path)
    fill(store)
    store.close()
    steps = ("ALTER TABLE memo ADD COLUMN mood TEXT", "ALTER TABLE nowhere ADD COLUMN x")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, steps))
    with pytest.raises(StoreBroken):
        SqliteStore(path)
    monkeypatch.undo()
    store = SqliteStore(path)
    assert store.sessions_waiting() == {"s": 3}
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(path, monkeypatch):
    SqliteStore(path).close()
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA user_version = 99")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(StoreBroken) as caught:
        SqliteStore(path)
    assert "newer version" in caught.value.text and caught.value.action
    assert path.read_bytes() == before


# --- files that cannot be trusted ---


def _garbage(path):
    path.write_bytes(b"this is no database at all" * 400)


def _empty(path):
    path.write_bytes(b"")


def _foreign(path):
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE inbox (x)")
    other.close()


def _header_gone(path):
    content = bytearray(path.read_bytes())
    content[:200] = b"\xff" * 200
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_garbage, _empty, _foreign, _header_gone])
def test_a_file_that_cannot_be_read_is_reported_and_left_as_it_is(path, damage):
    SqliteStore(path).close()
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreBroken) as caught:
        SqliteStore(path)
    assert str(path) in caught.value.action
    assert path.read_bytes() == before


def test_damage_found_later_is_broken_too(path):
    store = SqliteStore(path)
    fill(store, text="x" * 100_000)
    store.close()
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(StoreBroken):
        store = SqliteStore(path)
        try:
            store.accept("feishu", [intake(7)], NOW)
        finally:
            store.close()


@pytest.mark.parametrize("how", ["written", "read"])
def test_damage_that_any_operation_has_met_is_found_by_whoever_asks_how_the_store_is(path, how):
    store = SqliteStore(path)
    fill(store, text="x" * 100_000)
    store.close()
    with sqlite3.connect(path) as plain:
        (page,) = plain.execute("SELECT rootpage FROM sqlite_master WHERE name = 'inbox'").fetchone()
    plain.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    store = SqliteStore(path)
    store.ping()  # which does not come there
    with pytest.raises(StoreBroken):
        if how == "written":
            store.accept("feishu", [intake(7)], NOW)
        else:
            store.transcript("feishu", "oc", 10)
    for _ in range(2):
        with pytest.raises(StoreBroken) as caught:
            store.ping()
        assert str(path) in caught.value.action
    store.close()


def test_a_log_without_its_database_is_not_given_an_empty_one(path):
    SqliteStore(path).close()
    path.rename(path.with_name("store.db-wal"))
    with pytest.raises(StoreBroken):
        SqliteStore(path)
    assert not path.exists()


def test_a_file_that_is_moved_away_while_open_is_broken(path):
    store = SqliteStore(path)
    fill(store)
    path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(StoreBroken):
        store.accept("feishu", [intake(8)], NOW)
    with pytest.raises(StoreBroken):
        store.ping()
    store.close()


def test_a_birth_that_was_interrupted_is_begun_again(path):
    path.parent.mkdir()
    path.with_name("store.db.new").write_bytes(b"half")
    store = SqliteStore(path)
    fill(store)
    store.close()
    assert sorted(name.name for name in path.parent.iterdir()) == ["store.db"]


# --- a disk that does not take it now ---


def test_a_full_disk_is_away_changes_nothing_and_recovers(path):
    store = SqliteStore(path, max_page_count=80)
    fill(store)
    with pytest.raises(StoreAway) as caught:
        store.accept("feishu", [intake(n, "x" * 5_000) for n in range(100, 300)], NOW)
    assert caught.value.code == "SQLITE_FULL" and caught.value.action
    assert store.sessions_waiting() == {"s": 3}
    # What fits is taken at once, by the same store.
    assert None not in store.accept("feishu", [intake(100)], NOW)
    store.ping()
    store.close()
    store = SqliteStore(path)
    assert None not in store.accept("feishu", [intake(n, "x" * 5_000) for n in range(101, 300)], NOW)
    store.close()


def test_on_a_full_disk_the_log_goes_into_the_file_so_that_its_space_can_be_written_over(path, tmp_path):
    store = SqliteStore(path, max_page_count=80)
    fill(store)
    with pytest.raises(StoreAway):
        store.accept("feishu", [intake(n, "x" * 5_000) for n in range(100, 300)], NOW)

    def in_the_file_alone():
        alone = tmp_path / "alone.db"
        alone.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(alone)) as copy:
            return copy.execute("SELECT count(*) FROM inbox").fetchone()[0]

    assert in_the_file_alone() == 3
    # Nor may what was freed since go to the log alone.
    store.accept("feishu", [intake(100)], NOW)
    store.ping()
    assert in_the_file_alone() == 4
    store.close()


def test_a_disk_that_fails_in_the_commit_is_away_until_it_does_not(path):
    failing = [True]

    def fail():
        if failing[0]:
            raise OSError(28, "No space left on device")

    store = SqliteStore(path, before_commit=fail)
    for _ in range(2):
        with pytest.raises(StoreAway):
            fill(store)
    with pytest.raises(StoreAway):
        store.ping()
    assert store.sessions_waiting() == {}
    failing[0] = False
    store.ping()
    fill(store)
    assert store.sessions_waiting() == {"s": 3}
    store.close()


def test_a_file_locked_by_another_process_is_away_until_it_is_not(path):
    store = SqliteStore(path, busy_timeout=0.3)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAway):
        fill(store)
    other.execute("ROLLBACK")
    fill(store)
    store.close()
    other.close()


def test_the_hub_does_not_wait_for_a_file_that_another_process_has_locked(path):
    store = SqliteStore(path, busy_timeout=PATIENCE)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiter, turns = gevent.spawn(fill, store), Turns()
    wait_for(lambda: turns.ticks >= 20)
    assert not waiter.dead
    other.execute("ROLLBACK")
    waiter.get(timeout=PATIENCE)
    turns.stop()
    store.close()
    other.close()


def test_a_stuck_disk_is_away_after_the_waiters_patience(path):
    release = []

    def hang():
        while not release:
            native_sleep(0.01)

    store = SqliteStore(path, patience=0.2, before_commit=hang)
    waiters = [gevent.spawn(store.accept, "feishu", [intake(n)], NOW) for n in range(5)]
    gevent.joinall(waiters, timeout=PATIENCE)
    assert all(isinstance(waiter.exception, StoreAway) for waiter in waiters)
    release.append(True)
    wait_for(lambda: _pings(store))
    store.close()


def _pings(store):
    try:
        store.ping()
        return True
    except StoreAway:
        return False


def test_the_queue_of_waiters_is_bounded(path):
    release = []

    def hang():
        while not release:
            native_sleep(0.01)

    store = SqliteStore(path, capacity=10, batch=1, before_commit=hang)
    waiters = [gevent.spawn(store.accept, "feishu", [intake(n)], NOW) for n in range(30)]
    wait_for(lambda: sum(waiter.dead for waiter in waiters) >= 15)
    release.append(True)
    gevent.joinall(waiters, timeout=PATIENCE)
    taken = sum(waiter.successful() for waiter in waiters)
    assert 10 <= taken <= 12
    assert store.sessions_waiting() == {"s": taken}
    store.close()


# --- neighbours in one transaction ---


def _together(store, *calls):
    """Run the calls so that they share a group: the first commit holds the thread meanwhile."""
    greenlets = [gevent.spawn(call) for call in calls]
    gevent.joinall(greenlets, timeout=PATIENCE)
    return greenlets


def test_an_operation_that_fails_does_not_spoil_its_neighbours(path):
    store = SqliteStore(path, before_commit=lambda: native_sleep(0.02))
    fill(store)
    old = store.lease_session("s", "w", 1, NOW)
    store.lease_session("s", "w", 600, NOW + 2)
    lost = [lambda: store.renew(old, 9, NOW), lambda: store.enqueue("k", "d2", "feishu", _part(), NOW)]
    store.enqueue("k", "d1", "feishu", _part(), NOW)
    good = [lambda n=n: store.accept("feishu", [intake(100 + n)], NOW) for n in range(5)]
    done = _together(store, *good[:2], lost[0], *good[2:4], lost[1], good[4])
    assert [greenlet.successful() for greenlet in done] == [True, True, False, True, True, False, True]
    assert [type(done[n].exception).__name__ for n in (2, 5)] == ["LeaseLost", "KeyReused"]
    assert store.sessions_waiting() == {"s": 7}
    store.close()


def _part():
    return [NewPart(Peer("feishu", "oc", "group"), {"text": "a"})]


def test_an_operation_that_fails_after_it_wrote_is_undone_alone(path):
    store = SqliteStore(path, before_commit=lambda: native_sleep(0.02))

    def bad(connection):
        connection.execute("INSERT INTO quarantine (child, raw, error, at) VALUES ('c', 'r', 'e', 1)")
        raise ValueError("a bug")

    calls = [lambda n=n: store.accept("feishu", [intake(n)], NOW) for n in range(4)]
    done = _together(store, *calls[:2], lambda: store._writer.submit(bad), *calls[2:])
    assert [greenlet.successful() for greenlet in done] == [True, True, False, True, True]
    assert isinstance(done[2].exception, ValueError)
    assert store.sessions_waiting() == {"s": 4}
    assert store.counts(NOW).quarantine == 0
    store.close()


def test_a_lease_whose_asker_was_killed_is_taken_back(path):
    gate = Gate()
    store = SqliteStore(path, before_commit=gate)
    fill(store)
    gate.shut = True
    asker = gevent.spawn(store.lease_session, "s", "w", 600, NOW)
    wait_for(lambda: gate.reached)
    asker.kill()
    gate.shut = False
    wait_for(lambda: store.sessions_waiting() == {"s": 3})
    lease = store.lease_session("s", "w", 600, NOW)
    assert lease.attempt == 1
    store.close()


def test_a_lease_that_cannot_be_taken_back_while_the_disk_fails_is_taken_back_when_it_works_again(path):
    gate, fails = Gate(), []

    def commit():
        gate()
        if fails and fails.pop(0):
            raise OSError("the disk is gone for a moment")

    store = SqliteStore(path, patience=0.2, before_commit=commit)
    fill(store)
    gate.shut, fails[:] = True, [False, True]
    asker = gevent.spawn(store.lease_session, "s", "w", 600, NOW)
    wait_for(lambda: gate.reached)
    asker.kill()
    gate.shut = False
    wait_for(lambda: not fails)
    gevent.sleep(0.5)  # longer than anybody waits for what is asked
    store.ping()
    assert store.lease_session("s", "w", 600, NOW).attempt == 1
    store.close()


def test_rows_taken_apart_by_a_greenlet_that_is_gone_are_together_again(path):
    gate = Gate()
    store = SqliteStore(path, before_commit=gate)
    fill(store)
    whole = store.lease_session("s", "w", 600, NOW, join=float("inf"))
    assert len(whole.rows) == 3
    gate.shut = True
    asker = gevent.spawn(store.detach, whole, whole.rows[2:], NOW)
    wait_for(lambda: gate.reached)
    asker.kill()
    gate.shut = False
    assert store.renew(whole, 600, NOW)
    store.release(whole, NOW)
    again = store.lease_session("s", "w", 600, NOW)
    assert (again.rows, again.attempt, again.turn_id) == (whole.rows, 1, whole.turn_id)
    store.close()


# --- the hub ---


def test_the_hub_does_not_wait_in_a_commit(path):
    turns = Turns()
    missing = []

    def commit():
        """Lasts until the hub has had twenty turns meanwhile, or for ten seconds."""
        until = turns.ticks + 20
        for _ in range(1000):
            if turns.ticks >= until:
                return
            native_sleep(0.01)
        missing.append(until - turns.ticks)

    store = SqliteStore(path, before_commit=commit)
    waiters = [gevent.spawn(store.accept, "feishu", [intake(n)], NOW) for n in range(100)]
    gevent.joinall(waiters, timeout=PATIENCE)
    assert all(waiter.successful() for waiter in waiters)
    assert turns.ticks >= 20 and missing == []
    turns.stop()
    store.close()


def test_the_log_does_not_grow_for_ever(path, monkeypatch):
    monkeypatch.setattr("hermes_green.store.writer.LOG_BYTES", 500_000)
    store = SqliteStore(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM inbox").fetchone()
    log = path.with_name("store.db-wal")
    for n in range(30):
        store.accept("feishu", [intake(n, "x" * 100_000)], NOW)
    assert log.stat().st_size > 2_000_000
    reader.execute("COMMIT")
    reader.close()
    store.accept("feishu", [intake(99)], NOW)
    assert log.stat().st_size < 1_000_000
    store.close()


def test_a_pause_after_many_commits_brings_the_log_into_the_file(path, monkeypatch):
    monkeypatch.setattr("hermes_green.store.writer.EMPTY_AFTER", 5)
    store = SqliteStore(path)
    store.accept("feishu", [intake(0, "a needle")], NOW)
    assert b"a needle" not in path.read_bytes()
    for n in range(1, 5):
        store.accept("feishu", [intake(n)], NOW)
    wait_for(lambda: b"a needle" in path.read_bytes())
    # From here on it is written from its beginning again.
    size = path.with_name("store.db-wal").stat().st_size
    store.accept("feishu", [intake(9)], NOW)
    assert path.with_name("store.db-wal").stat().st_size == size
    store.close()


def test_close_ends_every_thread_and_greenlet(path):
    def threads():
        return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

    SqliteStore(path).close()
    before = threads()
    store = SqliteStore(path)
    fill(store)
    gevent.joinall([gevent.spawn(store.counts, NOW) for _ in range(4)])
    assert threads() >= before
    committer = store._writer._greenlet
    store.close()
    store.close()
    assert committer.dead
    wait_for(lambda: threads() <= before)
    descriptors = [os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()]
    assert not any(str(path) in name for name in descriptors)


def _descriptors():
    found = []
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            os.readlink(f"/proc/self/fd/{fd}")
            found.append(fd)
        except OSError:
            continue
    return found


def test_close_commits_what_waits(path):
    store = SqliteStore(path, before_commit=lambda: native_sleep(0.02))
    waiters = [gevent.spawn(store.accept, "feishu", [intake(n)], NOW) for n in range(50)]
    gevent.sleep(0)
    store.close()
    gevent.joinall(waiters, timeout=PATIENCE)
    assert all(waiter.successful() for waiter in waiters)
    store = SqliteStore(path)
    assert store.sessions_waiting() == {"s": 50}
    store.close()


def test_no_query_of_the_busy_paths_scans_a_table(path):
    store = SqliteStore(path)
    store.close()
    plain = sqlite3.connect(path)
    seen = []
    plain.set_trace_callback(seen.append)
    from hermes_green.core.ports import Retention
    from hermes_green.store import leasing, lines, outbox, upkeep

    leasing.sessions_waiting(plain, NOW)
    lease = Lease(1, "t", NOW, 1, "turn", "s", Inbound((), Peer("c", "x", "dm"), "m", ""), NOW)
    leasing.lease_session(plain, "s", "w", 1, NOW, 5, 10.0, Resets({"dm": NOW}))
    leasing.take_back(plain, lease)
    with pytest.raises(LeaseLost):
        leasing.renew(plain, lease, NOW)
    outbox._lease_outbox(plain, "c", "l", NOW)
    outbox._lanes_waiting(plain)
    lines._transcript(plain, "c", "x", 10)
    lines.history_of(plain, "s", 10)
    upkeep._counts(plain, NOW)
    upkeep._dead(plain, 10)
    upkeep._prune(plain, Retention(), NOW)
    upkeep._recover(plain, NOW)
    plain.set_trace_callback(None)
    scans = {
        (row[3], query)
        for query in seen
        if query.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "\nSELECT"))
        for row in plain.execute("EXPLAIN QUERY PLAN " + query)
        if row[3].startswith(("SCAN inbox", "SCAN outbox", "SCAN history", "SCAN send", "SCAN reply"))
        and "INDEX" not in row[3]
        and "LIMIT 500" not in query
    }
    plain.close()
    assert scans == set()


def test_a_lease_granted_to_a_greenlet_killed_just_before_it_wakes_is_taken_back(path):
    store = SqliteStore(path)
    fill(store)
    writer = store._writer
    thread = writer._thread
    asker = gevent.spawn(store.lease_session, "s", "w", 600, NOW)

    class KillsMeanwhile:
        """Commits at once, with the asker's kill already on its way when it is woken."""

        def do(self, execute, group):
            writer._thread = thread
            asker.kill(block=False)
            return execute(group)

    writer._thread = KillsMeanwhile()
    asker.join(10)
    assert isinstance(asker.value, gevent.GreenletExit)
    wait_for(lambda: store.sessions_waiting() == {"s": 3})
    assert store.lease_session("s", "w", 600, NOW).attempt == 1
    store.close()
