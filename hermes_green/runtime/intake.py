"""Intake: from a frame in a reader's hand to a committed row, and only then the platform's ack.

One per child. The reader puts and goes back to ``recv``; a writer greenlet commits in batches and
in order; an ack greenlet runs the continuations, so that a slow socket never delays a commit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Sequence

import gevent
from gevent.event import Event

from hermes_green.core.clock import Clock
from hermes_green.core.errors import LinkLost, StoreError
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.pacing import Backoff
from hermes_green.core.ports import Ack, Intake as Item, Store
from hermes_green.ops.shelter import Shelter
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.closing import end_all

BOUND = 1_000
BATCH = 100
# Seconds by which an ack lets the turn go ahead.
COURTESY = 0.0015
# Seconds for what it still does when it is closed: an ack is an adapter's.
ENDING = 2.0
# Seconds of work on one batch before the others have their turn, and a pause that lets timers run too.
SLICE = 0.001
TURN = 1e-9
# Seconds before a store that is away is asked again, and the bounds of the back-off on top of them.
AGAIN = 0.05
AGAIN_MORE = (0.1, 2.0)


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing a run handed in: a message and/or a memo, or a frame that could not be parsed."""

    inbound: Inbound | None
    ack: Ack | None
    memo: Mapping[str, Any]
    raw: bytes | None = None
    error: str = ""
    session_id: str = ""


class Intake:
    """The bounded, ordered way of one child's messages into the store.

    ``foresee(inbound, session_id)`` is called for a batch's first message of each session just before its
    commit; for every new row after it ``judge(row, inbound, session_id)``, before any other greenlet runs, then
    ``route`` with the same; ``unforesee(session_id)`` where none was new. ``addressed(inbound)`` answers the
    message as it counts. ``shelter``: where frames that come once are until they are committed.
    """

    def __init__(
        self,
        child: str,
        store: Store,
        clock: Clock,
        log: Any,
        session_of: Callable[[Peer], str],
        route: Callable[[int, Inbound, str], None],
        foresee: Callable[[Inbound, str], None] = lambda inbound, session_id: None,
        judge: Callable[[int, Inbound, str], None] = lambda row, inbound, session_id: None,
        unforesee: Callable[[str], None] = lambda session_id: None,
        addressed: Callable[[Inbound], Inbound] = lambda inbound: inbound,
        shelter: Shelter | None = None,
    ) -> None:
        self.child = child
        self.away = ""
        self.shelter = shelter
        self._store = store
        self._clock = clock
        self._log = log
        self._session_of = session_of
        self._route = route
        self._foresee = foresee
        self._judge = judge
        self._unforesee = unforesee
        self._addressed = addressed
        self._offers: deque[Offer] = deque()
        self._acks: deque[tuple[Ack, bool]] = deque()
        self._more = Event()
        self._more_acks = Event()
        self._empty = Event()
        self._empty.set()
        self.closed = False
        self._left = 0
        self._writer = gevent.spawn(self._write)
        self._writer.name = f"intake-{child}"
        self._acker = gevent.spawn(self._acknowledge)
        self._acker.name = f"acks-{child}"

    def offer(self, offer: Offer) -> None:
        """Queue one thing; never waits.

        Raises:
            LinkLost: the queue is full.
        """
        if len(self._offers) >= BOUND:
            raise LinkLost("intake full: the store does not keep up", code="intake_full")
        if offer.inbound is not None:
            # Named once: the rules may change before the commit, and the row and its lane must agree.
            inbound = self._addressed(offer.inbound)
            offer = replace(offer, inbound=inbound, session_id=self._session_of(inbound.peer))
        self._offers.append(offer)
        self._empty.clear()
        self._more.set()

    def leave(self) -> None:
        """The queue was full and a frame was left to the platform to send again; told once a spell."""
        if not self._left:
            self._log.warning("intake full: frames are left un-acknowledged, the platform sends them again")
        self._left += 1

    @property
    def depth(self) -> int:
        """Offers not yet committed."""
        return len(self._offers)

    def drained(self, timeout: float) -> bool:
        """Wait until everything offered is committed; False when that takes longer."""
        return bool(self._empty.wait(timeout))

    def refuse(self) -> None:
        """Take no more; what was taken is still committed."""
        self.closed = True

    def close(self, timeout: float) -> None:
        """Refuse, drain within ``timeout`` and end both greenlets; what is sheltered then is left to whoever comes
        next."""
        self.refuse()
        self._empty.wait(timeout)
        if self._acks:
            gevent.sleep(2 * COURTESY)
        end_all([self._writer, self._acker], ENDING)
        if self.shelter is not None:
            self.shelter.close()

    def _write(self) -> None:
        backoff = Backoff(*AGAIN_MORE)
        while True:
            self._more.wait()
            head = [self._offers[i] for i in range(min(BATCH, len(self._offers)))]
            try:
                batch, rows = self._commit(head)
            except StoreError as error:
                # The head stays where it is, so order is never skipped; the reader learns of it
                # only when the queue is full.
                if not self.away:
                    self._log.warning("the store is away, intake waits: {}", error)
                self.away = str(error)
                gevent.sleep(AGAIN + backoff.next())
                continue
            except Exception as error:  # border: one message that cannot be written must not stop the others
                self._log.exception("a message could not be written: this is a bug")
                batch, rows = self._set_aside(head, error)
                if not batch:
                    gevent.sleep(AGAIN + backoff.next())
                    continue
            backoff.reset()
            self.away = ""
            self._after(batch, rows)
            for _ in batch:
                self._offers.popleft()
            if not self._offers:
                self._more.clear()
                self._empty.set()
                self._tell_left()

    def _tell_left(self) -> None:
        if self._left:
            self._log.info("intake keeps up again; {} frames were left un-acknowledged", self._left)
            self._left = 0

    def _commit(self, batch: Sequence[Offer]) -> tuple[Sequence[Offer], Sequence[int | None]]:
        """Commit the longest head of one kind: messages and memos together, a bad frame by itself."""
        first = batch[0]
        now = self._clock.wall()
        if first.raw is not None:
            self._store.quarantine(self.child, first.raw, first.error, now)
            return batch[:1], [None]
        good: list[Offer] = []
        for offer in batch:
            if offer.raw is not None:
                break
            good.append(offer)
        items = [Item(offer.inbound, offer.session_id, offer.memo) for offer in good]
        begun: set[str] = set()
        for item in items:
            # Only a session's first: its lease takes the oldest row, which must be the one foreseen.
            if item.inbound is not None and item.session_id not in begun:
                begun.add(item.session_id)
                self._tell(self._foresee, item.inbound, item.session_id)
        return good, self._store.accept(self.child, items, now)

    def _set_aside(self, head: Sequence[Offer], error: Exception) -> tuple[Sequence[Offer], Sequence[int | None]]:
        """Commit the first offer alone; if it is the guilty one, keep what it says in quarantine."""
        first = head[0]
        if len(head) > 1:
            try:
                return self._commit(head[:1])
            except StoreError:
                return [], []
            except Exception as alone:  # border: as above
                error = alone
        try:
            self._store.quarantine(self.child, repr(first.inbound).encode(), repr(error), self._clock.wall())
        except StoreError:
            return [], []
        return [first], [None]

    def _after(self, batch: Sequence[Offer], rows: Sequence[int | None]) -> None:
        since = self._clock.monotonic()
        for offer, row in zip(batch, rows):
            if row is not None and offer.inbound is not None:
                self._tell(self._judge, row, offer.inbound, offer.session_id)
        new = {offer.session_id for offer, row in zip(batch, rows) if row is not None}
        for session_id in {offer.session_id for offer in batch if offer.inbound is not None} - new:
            self._tell(self._unforesee, session_id)
        for offer, row in zip(batch, rows):
            since = self._breathe(since)
            if offer.ack is not None:
                self._acks.append((offer.ack, row is not None))
                self._more_acks.set()
            if row is not None and offer.inbound is not None:
                self._tell(self._route, row, offer.inbound, offer.session_id)

    def _tell(self, step: Callable[..., None], *about: Any) -> None:
        try:
            step(*about)
        except Exception:  # border: what one message meets must not stop the intake; its row waits to be taken up
            self._log.exception("a message could not be sent on its way: this is a bug")

    def _acknowledge(self) -> None:
        while True:
            self._more_acks.wait()
            # What the commit has woken goes first, on to where it waits for a disk or an agent: the platform's
            # deadline is seconds away.
            gevent.sleep(COURTESY)
            since = self._clock.monotonic()
            while self._acks:
                since = self._breathe(since)
                ack, taken = self._acks.popleft()
                try:
                    ack(taken)
                except LinkLost as error:
                    self._log.debug("an ack was lost with its link, the platform will send again: {}", error)
                except ANYTHING:  # border: an adapter's continuation must not end the ack greenlet
                    self._log.exception("an ack failed")
            self._more_acks.clear()

    def _breathe(self, since: float) -> float:
        """Let the others run if we have worked since ``since`` for too long; since when we work now."""
        if self._clock.monotonic() - since < SLICE:
            return since
        gevent.sleep(TURN)
        return self._clock.monotonic()
