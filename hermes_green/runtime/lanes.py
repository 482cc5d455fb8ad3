"""Lanes: each session's messages one after the other, all sessions side by side."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Callable, Collection, Mapping

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from hermes_green.core.clock import Clock
from hermes_green.core.errors import LeaseLost, StoreAway, StoreError
from hermes_green.core.model import renamed
from hermes_green.core.ports import Lease, Resets, Store
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.closing import end_all

STORE_RETRY = 0.5
# A lease outlives its turn by this much, so that ending the turn is always still ours.
LEASE_SLACK = 120.0
# A burst that does not end is cut into turns after so many merge windows.
BURST = 10


@dataclass(frozen=True, slots=True)
class Manner:
    """How rows become turns now. ``history``: turns of it handed out with a lease (None: none). ``join``:
    rows that came within so many seconds of one another are one turn (None: never). ``window``: seconds
    without another row before a turn begins. ``resets``: which sessions begin anew first."""

    history: int | None = None
    join: float | None = None
    window: float = 0.0
    resets: Resets | None = None


@dataclass(slots=True)
class Lane:
    """One session's greenlet while it has work; forgotten when it has none. ``session_id``: under which it is kept
    now. ``foreseen``: of its pending rows, those not yet known to be committed; ``excused``: those of which nobody is
    told that too many wait; ``last``: when the newest was offered; ``cut``: the next one was in a turn when a process
    died; ``ending``: its turn was cancelled and ends what it has begun."""

    session_id: str
    pending: int = 0
    foreseen: int = 0
    excused: int = 0
    cut: bool = False
    last: float = 0.0
    busy: Lease | None = None
    greenlet: gevent.Greenlet | None = None
    turn: gevent.Greenlet | None = None
    ending: bool = False


class Lanes:
    """Leases rows and runs ``turn(lease)`` for each; at most one turn a session, ``max_parallel`` in all.
    ``aside(lease)`` ends first what is not the agent's, and answers what is left for the turn (None: nothing);
    ``cancelled(lease, interrupted)`` ends the row of a turn that was killed. ``look()`` has all that waits
    offered again soon (``offer_all``).

    Turns that were cut by a crash before (attempt 2 and more) run one at a time, so that the one
    that kills the process takes nobody with it again.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        log: Any,
        turn: Callable[[Lease], None],
        cancelled: Callable[[Lease, bool], None],
        worker: str,
        *,
        max_parallel: int,
        timeout: float,
        manner: Callable[[], Manner] = Manner,
        aside: Callable[[Lease], Lease | None] = lambda lease: lease,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.timeout = timeout
        self._store = store
        self._clock = clock
        self._log = log
        self._turn = turn
        self._cancelled = cancelled
        self._worker = worker
        self._manner = manner
        self._aside = aside
        self._look = look
        self._denied = False
        self._room = BoundedSemaphore(max_parallel)
        self._alone = BoundedSemaphore(1)
        self._lanes: dict[str, Lane] = {}
        self._idle = Event()
        self._idle.set()
        self._stopping = Event()
        self._draining = False
        self._parking = False
        self._active = 0

    # --- what others may ask ---

    @property
    def active(self) -> int:
        """Turns running now."""
        return self._active

    def waiting(self, session_id: str) -> int:
        """Rows of a session that wait or run."""
        lane = self._lanes.get(session_id)
        return lane.pending - lane.foreseen if lane is not None else 0

    def crowd(self, session_id: str) -> int:
        """Those of them that count where too many wait: not what runs, or is about to. Nor those that an
        earlier process had accepted, nor what comes while the lane only waits for the turns that a crash cut:
        it is we who are slow then."""
        lane = self._lanes.get(session_id)
        if lane is None or lane.cut:
            return 0
        runs = _count(lane.busy) if lane.busy is not None else 1
        return max(0, lane.pending - lane.foreseen - max(lane.excused, runs))  # both are the oldest ones

    def busy(self, session_id: str) -> Lease | None:
        """The lease being worked on, or None."""
        lane = self._lanes.get(session_id)
        return lane.busy if lane is not None else None

    def foresee(self, session_id: str) -> None:
        """A row of an idle session is being committed: its lease is asked for right behind it, and shares
        its transaction. ``offer`` follows if the row was new, else ``unforesee``."""
        if session_id not in self._lanes and not self._draining:
            self._lanes[session_id] = Lane(session_id, foreseen=1)
            self._add(session_id, 1)

    def offer(self, session_id: str, rows: int = 1) -> None:
        """A session has ``rows`` more waiting rows."""
        lane = self._lanes.setdefault(session_id, Lane(session_id))
        known, lane.foreseen = lane.foreseen, 0
        lane.excused += rows if lane.cut else 0
        self._add(session_id, rows - known)

    def unforesee(self, session_id: str) -> None:
        """What was foreseen of a session had come before. What its lane has leased in its stead, if anything, was
        left by an earlier process, and has taken its place among the pending."""
        lane = self._lanes.get(session_id)
        if lane is not None:
            lane.foreseen = 0

    def _add(self, session_id: str, rows: int) -> None:
        lane = self._lanes[session_id]
        lane.pending += rows
        lane.last = self._clock.monotonic()
        if lane.greenlet is None and not self._draining:
            self._idle.clear()
            lane.greenlet = gevent.spawn(self._work, lane)
            lane.greenlet.name = f"lane-{session_id}"

    def offer_all(self, waiting: Mapping[str, int], cut: Collection[str] = ()) -> None:
        """Take up what the store knows to wait, as far as the lanes do not; the next turn of the sessions in
        ``cut`` has died with a process before."""
        for session_id, rows in waiting.items():
            lane = self._lanes.setdefault(session_id, Lane(session_id))
            lane.cut = session_id in cut
            busy = _count(lane.busy) if lane.busy is not None else 0
            more = max(0, rows - max(0, lane.pending - lane.foreseen - busy))
            lane.excused += more
            self._add(session_id, more)

    def rekey(self, child: str, old: str, new: str) -> None:
        """A chat has another id, and the store knows: whoever works on its sessions goes on under their new ids,
        where what is said now finds it. Where somebody works there already both go on as they are: what one of
        them is denied is looked for when the other's turn ends."""
        for before in list(self._lanes):
            after = renamed(before, child, old, new)
            if after not in self._lanes:
                lane = self._lanes[after] = self._lanes.pop(before)
                lane.session_id = after

    def resize(self, max_parallel: int, timeout: float) -> None:
        """Other limits for turns that begin from now on; those that run keep their place."""
        self._room = BoundedSemaphore(max_parallel)
        self.timeout = timeout

    def cancel(self, session_id: str, *, interrupt: bool = False) -> bool:
        """Kill the turn in progress; ``cancelled`` then ends its row. False: there was none."""
        lane = self._lanes.get(session_id)
        if lane is None or lane.turn is None:
            return False
        if not lane.ending:
            # Once: a second one would fall upon what the first is finishing, and the draft's handle would be lost.
            lane.ending = True
            lane.turn.kill(Interrupted if interrupt else Cancelled, block=False)
        return True

    def drain(self, timeout: float, grace: float = 3.0) -> int:
        """Lease no more, let turns finish within ``timeout``, park the rest within ``grace`` more seconds (a
        store that hangs takes none back: those are rerun as cut); how many were to be parked."""
        self._draining = True
        self._stopping.set()
        self._idle.wait(max(0.0, timeout))
        self._parking = True
        # What the chat has stopped ends by itself, and must not go on at the next start.
        turns = [lane.turn for lane in self._lanes.values() if lane.turn is not None and not lane.ending]
        gevent.killall(turns, Parked, block=False)
        greenlets = [lane.greenlet for lane in self._lanes.values() if lane.greenlet is not None]
        gevent.joinall(greenlets, timeout=grace * 2 / 3)
        end_all(greenlets, grace / 3)
        return len(turns)

    # --- a lane's greenlet ---

    def _work(self, lane: Lane) -> None:
        try:
            while lane.pending > 0 and not self._draining:
                manner = self._manner()
                self._await_burst(lane, manner.window)
                # Alone before the lease: an attempt must not be counted for a turn that waits for its turn.
                # Asked once: what is learned of the lane while it waits here does not change what it holds.
                alone = lane.cut
                with self._alone if alone else nullcontext(), self._room:
                    self._one(lane, manner, alone)
        finally:
            lane.greenlet = None
            if lane.pending <= 0 or self._draining:
                self._lanes.pop(lane.session_id, None)
            if not any(other.greenlet is not None for other in self._lanes.values()):
                self._idle.set()

    def _await_burst(self, lane: Lane, window: float) -> None:
        """Wait until no row has come for ``window`` seconds; not for ever."""
        began = self._clock.monotonic()
        while window > 0 and not self._draining:
            now = self._clock.monotonic()
            wait = min(lane.last + window, began + BURST * window) - now
            if wait <= 0:
                return
            self._stopping.wait(wait)

    def _one(self, lane: Lane, manner: Manner, alone: bool) -> None:
        """Work on the session's next row."""
        session_id, known, foreseen = lane.session_id, lane.pending, lane.foreseen
        if self._draining:
            return
        try:
            ttl = self.timeout + LEASE_SLACK
            lease = self._store.lease_session(
                session_id, self._worker, ttl, self._clock.wall(), manner.history, manner.join, manner.resets
            )
        except StoreAway as error:
            self._log.debug("the store is away, session {} waits: {}", session_id, error)
            gevent.sleep(STORE_RETRY)
            return
        if lease is None:
            if lane.session_id == session_id:  # else they wait under its new id, and are asked for again
                # Rows offered while we asked are not among those the store has denied.
                self._ended(lane, known)
                # What was committed and is nobody's to begin: somebody else may be at work on the session.
                self._denied = self._denied or known > foreseen
            return
        surprise = lease.attempt > 1 and not alone
        lane.cut = False
        lane.busy = lease
        self._active += 1
        try:
            if surprise:
                # Whoever runs alone next may wait for the room that this one has: it comes again, in that order.
                self._park(lease, lane)
            elif self._left(lease, lane):
                self._guard(lane.busy, lane)
        finally:
            self._active -= 1
            self._ended(lane, _count(lane.busy))
            lane.busy, lane.cut = None, surprise
            if self._denied:
                self._denied = False
                self._look()

    @staticmethod
    def _ended(lane: Lane, rows: int) -> None:
        """So many of the lane's oldest rows wait no more."""
        lane.pending -= rows
        lane.excused = max(0, lane.excused - rows)

    def _left(self, lease: Lease, lane: Lane) -> bool:
        """Have ended what is not the agent's; whether something is left, for which the lane is busy then. Here,
        and not in the turn's greenlet: what stops a turn must not stop this half-way."""
        try:
            left = self._aside(lease)
        except LeaseLost as error:
            self._log.error("turn {} lost its lease before it began: {}", lease.turn_id, error)
            return False
        except StoreAway:
            self._park(lease, lane)
            return False
        except StoreError:
            raise
        except ANYTHING:  # border: as a turn's; the row must not stay leased to nobody
            self._log.exception("what is not the agent's of turn {} could not be told: this is a bug", lease.turn_id)
            return True
        if left is None:
            return False
        self._ended(lane, _count(lease) - _count(left))
        lane.busy = left
        return True

    def _guard(self, lease: Lease, lane: Lane) -> None:
        """The turn in a greenlet of its own, so that it can be killed without the lane."""
        if self._parking:  # leased too late to be parked with the others
            self._park(lease, lane)
            return
        lane.ending = False
        turn = lane.turn = gevent.spawn(self._run, lease)
        turn.name = f"turn-{lease.turn_id}"
        try:
            turn.join()
        finally:
            lane.turn = None
        # A greenlet killed before its first step runs no handler of its own: its end is read here.
        if isinstance(turn.value, (Parked, StoreAway)):
            self._park(lease, lane)
        elif isinstance(turn.value, Cancelled):
            self._cancelled(lease, isinstance(turn.value, Interrupted))

    def _run(self, lease: Lease) -> StoreAway | None:
        try:
            self._turn(lease)
        except LeaseLost:
            self._log.error("turn {} lost its lease; whoever has it now answers", lease.turn_id)
        except StoreAway as error:
            return error
        return None

    def _park(self, lease: Lease, lane: Lane) -> None:
        """Give the turn back; it goes on when the store is there again, or at the next start."""
        while True:
            try:
                self._store.release(lease, self._clock.wall())
                break
            except LeaseLost as error:
                self._log.warning("turn {} could not be given back: {}", lease.turn_id, error)
                return
            except StoreAway as error:
                if self._draining:
                    self._log.warning("turn {} could not be parked, it is rerun as cut: {}", lease.turn_id, error)
                    return
                gevent.sleep(STORE_RETRY)
        rows = _count(lease)
        lane.pending += rows
        lane.excused += rows
        self._log.info("turn {} is parked and goes on later", lease.turn_id)


def _count(lease: Lease) -> int:
    """How many rows it is for."""
    return max(1, len(lease.messages))


class Cancelled(gevent.GreenletExit):
    """The chat asked to stop this turn."""


class Interrupted(Cancelled):
    """The chat has said something else, which is answered instead."""


class Parked(gevent.GreenletExit):
    """The gateway stops; the turn is given back."""
