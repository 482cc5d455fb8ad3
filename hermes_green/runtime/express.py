"""Express: rows that never enter a lane, because they cost no agent call: refusals, crowding, and
commands that must be answered even while an agent is stuck. One bounded queue per child.

Rows that wait together are worked on together: their leases share one transaction of the store's, and so do
their ends. They begin in the order of the queue, and the store keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import gevent
from gevent.queue import JoinableQueue

from hermes_green.core.clock import Clock
from hermes_green.core.errors import LeaseLost, StoreAway, StoreError
from hermes_green.core.ports import Lease, Store, TurnEnd
from hermes_green.runtime.borders import ANYTHING

BOUND = 2_000
# Rows that are worked on together at most: few enough for the hub to look at its timers in between.
BATCH = 40
TTL = 120.0
STORE_RETRY = 0.5


@dataclass(frozen=True, slots=True)
class _Job:
    what: str
    work: Callable[[], None]
    alone: bool = False


class Express:
    """``do(row, work)``: lease the row past its lane and run ``work(lease)``, which ends it."""

    def __init__(self, child: str, store: Store, clock: Clock, log: Any, worker: str) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._worker = worker
        self._queue: JoinableQueue[_Job] = JoinableQueue(BOUND)
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"express-{child}"

    def do(self, row: int, work: Callable[[Lease], None], gone: Callable[[], None] = lambda: None) -> None:
        """Queue one row; waits for room. Who waits is the intake, whose queue fills up meanwhile, so that
        the platform keeps what we cannot take. ``gone``: called instead when somebody else has the row."""
        self._queue.put(_Job(f"row {row}", lambda: self._one(row, work, gone)))

    def later(self, job: Callable[[], None]) -> None:
        """Queue something else that may wait for the store or an agent; what is queued after it waits for it."""
        self._queue.put(_Job("a message for a running turn", job, alone=True))

    def close(self, grace: float = 0.0) -> None:
        """End the greenlet after at most ``grace`` seconds; rows not yet closed stay waiting."""
        self._queue.join(timeout=grace)
        self._greenlet.kill(timeout=2)

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while not batch[0].alone and len(batch) < BATCH and self._queue.qsize() and not self._queue.peek().alone:
                batch.append(self._queue.get())
            if len(batch) == 1:
                self._do(batch[0])
                continue
            greenlets = [gevent.spawn(self._do, job) for job in batch]
            for greenlet, job in zip(greenlets, batch):
                greenlet.name = f"express-{job.what}"
            try:
                gevent.joinall(greenlets)
            finally:
                gevent.killall(greenlets, block=False)

    def _do(self, job: _Job) -> None:
        try:
            job.work()
        except LeaseLost as error:
            self._log.error("{} was taken by somebody else: {}", job.what, error)
        except ANYTHING:  # border: one row's failure must not end the express greenlet
            self._log.exception("{} could not be closed", job.what)
        finally:
            self._queue.task_done()

    def _one(self, row: int, work: Callable[[Lease], None], gone: Callable[[], None]) -> None:
        while True:
            try:
                lease = self._store.lease_row(row, self._worker, TTL, self._clock.wall())
                break
            except StoreAway:
                gevent.sleep(STORE_RETRY)
        if lease is None:
            gone()
            return
        try:
            work(lease)
        except StoreError:
            raise
        except ANYTHING as error:  # border: the row must not stay leased to nobody
            self._log.exception("row {} could not be closed: this is a bug", row)
            end = TurnEnd("dead", reason=f"the gateway failed: {error!r}")
            self._store.commit_turn(lease, end, self._clock.wall())
