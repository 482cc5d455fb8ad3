"""The one writer: operations of many greenlets become one transaction on a thread of its own.

A greenlet puts its operation into a bounded queue and parks. The committer greenlet takes what has
gathered, has it executed and committed by one thread, and then wakes the waiters: an fsync is shared
by all who waited for it, and the hub never waits in one.

An operation that raises (LeaseLost, KeyReused) must not spoil its neighbours in the transaction.
One that raised before it wrote anything (``total_changes`` is the proof) has left nothing to undo;
where one wrote first, the transaction is rolled back and done again with a savepoint around each.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Iterable

import gevent
from gevent.event import Event
from gevent.hub import Waiter

from hermes_green.core.errors import HermesError, StoreAway, StoreBroken, StoreError
from hermes_green.store.connection import LOG_BYTES, broken, connect, log_of, translate
from hermes_green.store.thread import Thread

Run = Callable[..., Any]
# After these the connection goes on as it is; after any other failure it is opened anew.
_KEPT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})
# After so many commits, the first pause of so many seconds is used to empty the log.
EMPTY_AFTER = 200
PAUSE = 0.01
# Seconds in which a disk that was full has the log emptied after each commit, so that the log does not fill it again.
TIGHT = 60.0


class Operation:
    """One greenlet's wish: ``run(connection, *args)``, its end, and how to take it back.

    ``together(connection, [args, ...])``, where given, does what ``run`` does for many at once.
    ``undo(connection, result)`` runs when the result came but its greenlet was gone. ``owed``: it is such an undoing,
    for which nobody waits, and which has to be done all the same.
    """

    __slots__ = (
        "run", "args", "together", "undo", "weight", "waiter", "born", "result", "error", "abandoned", "over", "owed",
    )  # fmt: skip

    def __init__(self, run: Run, args: tuple[Any, ...], together: Run | None, undo: Run | None, weight: int) -> None:
        self.run = run
        self.args = args
        self.together = together
        self.undo = undo
        self.weight = weight
        # Much cheaper than an AsyncResult with a timer each: the committer minds the deadlines of all.
        self.waiter = Waiter()
        self.born = time.monotonic()
        self.result: Any = None
        self.error: Exception | None = None
        self.abandoned = False
        self.over = False
        self.owed = False


class Writer:
    """Group commit.

    patience: seconds until a waiter is told StoreAway (a quarter more at most). capacity: waiting
    operations. batch: rows that share one transaction. before_commit: runs on the thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: float,
        patience: float,
        capacity: int,
        batch: int,
        max_page_count: int | None,
        before_commit: Callable[[], None] | None,
    ) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._patience = patience
        self._capacity = capacity
        self._batch = batch
        self._max_page_count = max_page_count
        self._before_commit = before_commit
        self._connection: sqlite3.Connection | None = None
        self._identity = _identity(path)
        self._away = False
        self._broken: StoreBroken | None = None
        self._closed = False
        self._queue: deque[Operation] = deque()
        self._flying: list[Operation] = []
        self._owed: list[Operation] = []
        self._wake = Event()
        self._commits = 0
        self._tight = 0.0
        self._thread = Thread()
        self._greenlet = gevent.spawn(self._commit_groups)
        self._greenlet.name = "store-committer"
        self._clock = gevent.spawn(self._lose_patience)
        self._clock.name = "store-patience"

    # --- the hub's side ---

    def submit(
        self, run: Run, *args: Any, together: Run | None = None, undo: Run | None = None, weight: int = 1
    ) -> Any:
        """Wait until ``run(connection, *args)`` is committed, and return what it returned.

        Raises:
            StoreAway: not committed; after ``patience`` seconds without an answer it is not known
                whether an operation already under way still gets there.
            StoreBroken: the file cannot be trusted.
            HermesError: what the operation itself raised; it changed nothing.
        """
        if self._closed:
            raise StoreAway("the store is closed")
        if len(self._queue) >= self._capacity:
            raise StoreAway(f"{self._capacity} operations wait for the disk already")
        operation = Operation(run, args, together, undo, weight)
        self._queue.append(operation)
        self._wake.set()
        try:
            error = operation.waiter.get()
        except BaseException:
            operation.abandoned = True
            if operation.over:
                self._take_back(operation)
            raise
        if error is not None:
            raise error
        return operation.result

    def ping(self) -> None:
        """A round trip; while the store is away it writes, so that success means it is back. A file in which
        damage was met once stays broken, though a ping itself does not come there."""
        if self._broken is not None:
            raise _copy(self._broken)
        self.submit(_touch if self._away else _nothing)

    def learn(self, error: Exception) -> None:
        """Somebody who reads has met this; from any thread."""
        if isinstance(error, StoreBroken) and self._broken is None:
            self._broken = error

    def close(self) -> None:
        """Commit what waits, then end greenlet, connection and thread; bounded by ``patience``."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        self._greenlet.join(self._patience)
        if self._greenlet.dead:
            self._thread.do(self._disconnect)
            self._thread.end()
        else:
            # The thread hangs in the disk: it cannot be ended, and nobody waits for it any more.
            self._greenlet.kill(block=False)
        self._clock.kill(block=False)
        self._fail(chain(self._flying, self._queue), StoreAway("the store is closed"))
        self._queue.clear()

    def _commit_groups(self) -> None:
        while True:
            if not self._wake.wait(PAUSE if self._commits >= EMPTY_AFTER else None):
                self._commits = 0
                self._thread.do(self._empty_log)
            self._wake.clear()
            while self._queue:
                self._commit(self._take())
            if self._closed:
                return

    def _take(self) -> list[Operation]:
        group: list[Operation] = []
        weight = 0
        queue = self._queue
        queue.extendleft(reversed(self._owed))
        self._owed.clear()
        while queue and weight < self._batch:
            operation = queue.popleft()
            if not operation.abandoned:
                weight += operation.weight
                group.append(operation)
        return group

    def _commit(self, group: list[Operation]) -> None:
        self._commits += 1
        self._flying = group
        error = self._thread.do(self._execute, group)
        self._flying = []
        if error is not None:
            # Tried again with what is asked next: else a lease that nobody has would keep its session waiting.
            self._owed += [operation for operation in group if operation.owed]
            self._fail(group, error)
            return
        wake = gevent.get_hub().loop.run_callback
        for operation in group:
            operation.over = True
            if operation.abandoned:
                self._take_back(operation)
            else:
                wake(operation.waiter.switch, operation.error)

    def _take_back(self, operation: Operation) -> None:
        """Undo what nobody waits for any more; ahead of the queue, so that who waits there finds it undone."""
        if operation.undo is not None and operation.result is not None:
            undo = Operation(operation.undo, (operation.result,), None, None, 1)
            undo.owed = True
            self._queue.appendleft(undo)
            self._wake.set()

    def _lose_patience(self) -> None:
        """Tell those who have waited for too long. A greenlet of its own: a deadline for each commit would
        cost each commit a timer."""
        while True:
            gevent.sleep(self._patience / 4)
            oldest = time.monotonic() - self._patience
            late = [one for one in chain(self._flying, self._queue) if one.born < oldest and not one.abandoned]
            self._fail(late, StoreAway(f"no answer from the disk within {self._patience:g} s"))

    @staticmethod
    def _fail(operations: Iterable[Operation], error: Exception) -> None:
        """Each waiter gets an exception of its own: one object raised in many greenlets mixes their tracebacks."""
        for operation in operations:
            if not operation.abandoned and not operation.owed:
                operation.abandoned = True
                gevent.get_hub().loop.run_callback(operation.waiter.switch, _copy(error))

    # --- the thread's side ---

    def _execute(self, group: list[Operation]) -> Exception | None:
        """Commit the group, or say why nothing of it is; gevent would print an error that left this thread."""
        try:
            connection = self._open()
            try:
                self._transaction(connection, group, self._plainly)
            except _Spoilt:
                self._transaction(connection, group, self._guarded)
            self._away = False
            if time.monotonic() < self._tight:
                self._empty_log()
            else:
                self._bound_log(connection)
            return None
        except Exception as error:  # border: whatever went wrong belongs to all who waited
            first, self._away = not self._away, True
            self._after_failure(error, first)
            known = translate(error, self._path) or error
            if known is not error:
                known.__cause__ = error
            self.learn(known)
            return known

    def _open(self) -> sqlite3.Connection:
        if _identity(self._path) != self._identity:
            raise broken(self._path, "the file was moved, replaced or deleted while it was open")
        if self._connection is None:
            self._connection = connect(
                self._path, busy_timeout=self._busy_timeout, max_page_count=self._max_page_count
            )
        return self._connection

    def _transaction(self, connection: sqlite3.Connection, group: list[Operation], how: Run) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            how(connection, group)
            if self._before_commit is not None:
                self._before_commit()
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (disk full, IO).
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _plainly(self, connection: sqlite3.Connection, group: list[Operation]) -> None:
        """Without savepoints; neighbours that can be done together are."""
        index = 0
        while index < len(group):
            operation = group[index]
            end = index + 1
            before = connection.total_changes
            try:
                if operation.together is not None:
                    while end < len(group) and group[end].together is operation.together:
                        end += 1
                    results = operation.together(connection, [member.args for member in group[index:end]])
                    for member, result in zip(group[index:end], results):
                        member.result = result
                else:
                    operation.result = operation.run(connection, *operation.args)
            except Exception as error:
                if end > index + 1 or connection.total_changes != before:
                    if translate(error, self._path) is not None and not isinstance(error, HermesError):
                        raise
                    raise _Spoilt from error
                self._keep(operation, error)
            index = end

    def _guarded(self, connection: sqlite3.Connection, group: list[Operation]) -> None:
        """A savepoint around each; the way for a group of which one spoilt the plain one."""
        for operation in group:
            operation.result, operation.error = None, None
            connection.execute("SAVEPOINT one")
            try:
                operation.result = operation.run(connection, *operation.args)
            except Exception as error:
                self._keep(operation, error)
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")

    def _keep(self, operation: Operation, error: Exception) -> None:
        """The error is this operation's own, unless it is the disk's: that one is everybody's."""
        if isinstance(error, StoreAway | StoreBroken):
            raise error
        if not isinstance(error, StoreError) and translate(error, self._path) is not None:
            raise error
        operation.error = error

    def _after_failure(self, error: Exception, first: bool) -> None:
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, sqlite3.Error) and (code is None or code & 0xFF not in _KEPT):
            self._disconnect()
        elif code == sqlite3.SQLITE_FULL:
            self._tight = time.monotonic() + TIGHT
            if first:
                # What the log holds may be all that fills the disk: once it is in the file, it is written over.
                self._empty_log()

    def _bound_log(self, connection: sqlite3.Connection) -> None:
        """Checkpoints follow commits by themselves; a log that readers kept from shrinking is cut here."""
        try:
            if os.stat(log_of(self._path)).st_size > 2 * LOG_BYTES:
                # Without waiting: a reader that holds the log must not hold those who write, too.
                connection.execute("PRAGMA busy_timeout = 0").fetchall()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}").fetchall()
        except (OSError, sqlite3.Error):
            # What was asked of us is committed; the next commit tries again, on a new connection.
            self._disconnect()

    def _empty_log(self) -> None:
        """Bring the log into the file while nobody waits, and not in somebody's commit. It is then written
        from its beginning again, over blocks that it has: an fsync that need not grow a file is a third cheaper."""
        try:
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error:
            # Nothing was lost, and whoever writes next learns what is wrong.
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


class _Spoilt(Exception):
    """An operation failed after it had written: the group must be done with savepoints."""


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _copy(error: Exception) -> Exception:
    if isinstance(error, HermesError):
        twin = type(error)(error.text, code=error.code, action=error.action)
        twin.__cause__ = error.__cause__
        return twin
    return error


def _nothing(connection: sqlite3.Connection) -> None:
    """An operation that asks only for the way there and back."""


def _touch(connection: sqlite3.Connection) -> None:
    """A write that changes nothing of meaning."""
    connection.execute("INSERT OR REPLACE INTO counter VALUES ('touch', 1)")
