"""Delivery: from an outbox row to a receipt, for as long as it takes; each chat in its own order.

A lane (a chat, or a thread of one) has a greenlet while it has rows that may move. The class of
the SendError decides what becomes of a row; nothing here knows a platform.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterable, Mapping, Protocol

import gevent
from gevent.event import Event

from hermes_green.core.clock import Clock
from hermes_green.core.errors import (
    LeaseLost,
    SendCollision,
    SendError,
    SendRefused,
    SendRetry,
    SendUnknown,
    StoreAway,
)
from hermes_green.core.model import Caps, Peer
from hermes_green.core.ports import Adapter, OutLease, Settled, Store
from hermes_green.ops.log import redact
from hermes_green.runtime import refused
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.closing import end_all
from hermes_green.runtime.events import Bus
from hermes_green.runtime.facts import facts_of
from hermes_green.runtime.gates import Gates
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.turnstile import Turnstile

STORE_RETRY = 0.5
SEND_TIMEOUT = 90.0
RETRY_MIN = 0.5
RETRY_MAX = 60.0
# A sleeping lane looks again this often, whatever it was told.
LOOK_AGAIN = 60.0
# And one that waits for a link, should nobody tell it of a new one; looking costs no write.
LINK_AGAIN = 5.0
# At the end of the process, what is in mid-send has so long to come to its receipt.
LAST = 0.5


class Place(Protocol):
    """The child a part is sent through."""

    id: str
    platform: str
    account: str
    adapter: Adapter

    @property
    def link(self) -> Any: ...

    @property
    def sends(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """gateway.yaml ``delivery``; seconds."""

    give_up_after: float = 14_400.0
    on_unknown: str = "resend"
    locale: str = "en"


class Meters(Protocol):
    """The figures a delivery leaves."""

    def delivery(self, child: str, outcome: str, seconds: float) -> None: ...


class Delivery:
    """``place(child)`` finds the child or None; ``rules()`` answers the rules in force; ``session(peer)``
    names the conversation that hooks are told of."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: Any,
        bus: Bus,
        hooks: Hooks,
        meters: Meters,
        place: Callable[[str], Place | None],
        rules: Callable[[], Rules],
        draw: Callable[[float, float], float] = random.uniform,
        session: Callable[[Peer], str] = lambda peer: "",
    ) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._bus = bus
        self._hooks = hooks
        self._meters = meters
        self._place = place
        self._rules = rules
        self._draw = draw
        self._session = session
        self.gates = Gates(clock)
        self._turnstile = Turnstile()
        self._lanes: dict[tuple[str, str], Event] = {}
        self._workers: dict[tuple[str, str], gevent.Greenlet] = {}
        self._sleeping: set[tuple[str, str]] = set()
        self._held: dict[str, set[str]] = {}
        self._troubles: dict[tuple[str, str], str] = {}  # why a lane's reply is sent again, as told
        self._idle = Event()
        self._idle.set()
        self._closed = False
        self._sending = 0

    # --- what others tell ---

    def wake(self, child: str, lane: str) -> None:
        """A lane has rows, or a reason to look again."""
        key = (child, lane)
        bell = self._lanes.get(key)
        if bell is not None:
            bell.set()
        elif not self._closed:
            self._lanes[key] = Event()
            worker = self._workers[key] = gevent.spawn(self._work, key)
            worker.name = f"delivery-{child}-{lane}"
            self._idle.clear()

    def wake_child(self, child: str) -> None:
        """The child's state or link has changed: held lanes look again."""
        for lane in self._held.pop(child, set()):
            self.wake(child, lane)

    def wake_all(self, waiting: Mapping[tuple[str, str], float]) -> None:
        """Take up what a boot found."""
        for child, lane in waiting:
            self.wake(child, lane)

    def give_up(self, children: Iterable[str]) -> None:
        """End what has waited too long for a child that cannot send: it is not configured any more, held, or
        without the link that it needs. Those that can send judge each part when its turn comes. Raises StoreAway."""
        for child in children:
            place = self._place(child)
            why = self._unable(child, place)
            if not why:
                continue
            seconds = self._rules().give_up_after
            reason = f"not delivered in {seconds:.0f} s: {why}"
            now = self._clock.wall()
            while gone := self._store.give_up(child, self._clock.ago(seconds), reason, now):
                for lease in gone:
                    self._tell(place, lease, Settled("dead", reason=reason))

    @staticmethod
    def _unable(child: str, place: Place | None) -> str:
        """Why a child can send nothing now, or ""."""
        if place is None:
            return f"{child} is no longer configured"
        if not place.sends:
            return f"{child} is stopped or halted"
        kinds = (place.adapter.caps.default, *place.adapter.caps.by_type.values())
        if place.link is None and any(each.send_needs_link for each in kinds):
            return f"the link of {child} is down"
        return ""

    def quiet(self, child: str, lane: str) -> bool:
        """True when no reply to this lane is under way."""
        return (child, lane) not in self._lanes and lane not in self._held.get(child, ())

    @property
    def sending(self) -> int:
        """Sends in flight."""
        return self._sending

    def drain(self, timeout: float) -> None:
        """Give rows that are due a last ``timeout`` seconds, then end all workers between two sends, or after
        a second in mid-send."""
        deadline = self._clock.monotonic() + timeout
        while self._clock.monotonic() < deadline and (self._sending or self._due()):
            gevent.sleep(0.05)
        self._closed = True
        for bell in self._lanes.values():
            bell.set()
        self._idle.wait(max(LAST, min(2.0, deadline - self._clock.monotonic())))
        end_all(list(self._workers.values()), LAST)

    def _due(self) -> bool:
        """True while a lane may send at once."""
        return any(not worker.dead and key not in self._sleeping for key, worker in self._workers.items())

    # --- a lane's greenlet ---

    def _work(self, key: tuple[str, str]) -> None:
        child, lane = key
        bell = self._lanes[key]
        try:
            while not self._closed:
                bell.clear()
                wait = self._try(child, lane)
                if wait is None:
                    if not bell.is_set():
                        return
                elif wait > 0:
                    self._sleeping.add(key)
                    bell.wait(min(wait, LOOK_AGAIN))
                    self._sleeping.discard(key)
        finally:
            self._sleeping.discard(key)
            self._troubles.pop(key, None)
            del self._lanes[key]
            del self._workers[key]
            if not self._workers:
                self._idle.set()

    def _try(self, child: str, lane: str) -> float | None:
        """A step; a bug in it costs the lane a wait, not its replies."""
        try:
            return self._step(child, lane)
        except ANYTHING:  # border: a lane's greenlet must not end while it has rows
            self._log.exception("delivery to {} of {} failed: this is a bug", lane, child)
            return RETRY_MAX

    def _step(self, child: str, lane: str) -> float | None:
        """One row forward. Seconds to wait (0: go on at once); None: nothing to do here for now."""
        place = self._place(child)
        if place is None or not place.sends:
            self._held.setdefault(child, set()).add(lane)
            return None
        if place.link is None and self.gates.needs_link(place.adapter, child, lane):
            self._held.setdefault(child, set()).add(lane)
            return LINK_AGAIN
        # Booked before the lease is asked for, because asking lets other lanes through the same gate.
        wait = self.gates.enter(place.adapter, child, lane)
        if wait > 0:
            return wait
        lease: OutLease | float | None = None
        try:
            lease = self._store.lease_outbox(child, lane, self._clock.wall())
        except StoreAway as error:
            self._log.debug("the store is away, delivery waits: {}", error)
            return STORE_RETRY
        finally:
            if not isinstance(lease, OutLease):
                self.gates.leave(child, lane)
        if lease is None:
            return None
        if not isinstance(lease, OutLease):
            return max(0.001, lease - self._clock.wall())
        self.gates.learn(place.adapter, child, lane, lease.part.peer.chat_type)
        self._sending += 1
        try:
            self._turnstile.enter()
            # A lease that came too late is given back: the end of the process would cut the send.
            settled = self._send(place, lease) if not self._closed else Settled("unsent")
        finally:
            self._sending -= 1
        if settled.state == "unsent":
            self.gates.leave(child, lane)
        self._settle(place, lease, settled)
        return 0.0

    def _send(self, place: Place, lease: OutLease) -> Settled:
        part = lease.part
        caps = place.adapter.caps.of(part.peer.chat_type)
        verdict = self._before(place, lease, caps)
        if verdict is not None:
            return verdict
        if caps.send_needs_link and place.link is None:
            # From now on the lane's kind is known: it is not asked for again before there is a link.
            return Settled("unsent")
        # An attempt that certainly did not arrive is none, as far as the platform's memory of keys goes.
        part = part if lease.uncertain else replace(part, attempt=1)
        try:
            with gevent.Timeout(SEND_TIMEOUT, SendUnknown(f"no answer in {SEND_TIMEOUT:.0f} s")):
                receipt = place.adapter.send(part, place.link)
            return Settled("delivered", receipt=receipt)
        except SendRefused as error:
            return refused.settled(place.adapter, part, error, self._rules().locale, self._log)
        except SendError as error:
            return self._after(lease, error)
        except ANYTHING as error:  # border: child exit; a bug in send must not stop the lane
            self._log.exception("sending through {} crashed: this is a bug", place.id)
            return self._after(lease, SendUnknown(f"the adapter crashed: {error!r}"))

    def _before(self, place: Place, lease: OutLease, caps: Caps) -> Settled | None:
        """Reasons not to send (again), each known before a byte leaves."""
        now = self._clock.wall()
        part = lease.part
        window = caps.reply_window or 0.0
        closed = part.not_after is not None and part.not_after - window < self._clock.ago(window)
        if closed and not lease.uncertain:
            return Settled("dead", reason="window closed")
        if lease.born_at < self._clock.ago(self._rules().give_up_after):
            return Settled("dead", reason=f"not delivered in {self._rules().give_up_after:.0f} s")
        if not lease.uncertain:
            return None
        if part.key_expires is not None and now < part.key_expires:
            return None
        if caps.lookup:
            try:
                with gevent.Timeout(SEND_TIMEOUT, SendUnknown(f"no answer in {SEND_TIMEOUT:.0f} s")):
                    found = place.adapter.find(part)  # type: ignore[attr-defined]
            except ANYTHING as error:  # border: as in a send
                if not isinstance(error, SendError):
                    self._log.exception("looking a reply up through {} crashed: this is a bug", place.id)
                return Settled("retry", at=now + self._backoff(part.attempt), reason=str(error), uncertain=True)
            return Settled("delivered", receipt=found) if found is not None else None
        if closed:
            return Settled("dead", reason="window closed; whether it arrived is unknown")
        if self._rules().on_unknown == "hold":
            return Settled("held", reason="perhaps delivered; held by on_unknown")
        return None

    def _after(self, lease: OutLease, error: SendError) -> Settled:
        """The class of the error is the policy."""
        now = self._clock.wall()
        part = lease.part
        reason = str(error)
        if isinstance(error, SendCollision):
            return Settled("renumber", at=now, reason=reason)
        if isinstance(error, SendRetry):
            self.gates.close(lease.child, lease.lane, error)
            at = now + max(error.after, self._backoff(part.attempt))
            return Settled("retry", at=at, reason=reason, uncertain=lease.uncertain)
        return Settled("retry", at=now + self._backoff(part.attempt), reason=reason, uncertain=True)

    def _backoff(self, attempt: int) -> float:
        ceiling = min(RETRY_MAX, RETRY_MIN * 2 ** min(attempt, 20))
        return self._draw(ceiling / 2, ceiling)

    def _settle(self, place: Place, lease: OutLease, settled: Settled) -> None:
        settled, away = replace(settled, reason=redact(settled.reason)), False
        while True:
            try:
                self._store.settle(lease, settled, self._clock.wall())
                break
            except StoreAway as error:
                if not away:
                    self._log.warning("a receipt waits for the store: {}", error)
                away = True
                gevent.sleep(STORE_RETRY)
            except LeaseLost:
                self._log.error("outbox row {} was settled by somebody else", lease.row)
                return
        if settled.state != "unsent":
            self._tell(place, lease, settled)

    def _tell(self, place: Place | None, lease: OutLease, settled: Settled) -> None:
        """Everybody who listens, of what became of a part."""
        peer = lease.part.peer
        about = facts_of(peer, place, self._session(peer), lease.message_id or None, lease.turn)
        facts = {**about, "row": lease.row}
        log = self._log.bind(child=lease.child)
        if settled.state == "delivered":
            self._troubles.pop((lease.child, lease.lane), None)
            self._meters.delivery(lease.child, "delivered", self._clock.wall() - lease.born_at)
            self._bus.publish("delivery:done", **facts)
        elif settled.state in {"dead", "held", "replaced"}:
            log.warning("a reply is now a dead letter ({}): {}", settled.state, settled.reason)
            outcome = "held" if settled.state == "held" else "dead"
            self._meters.delivery(lease.child, outcome, self._clock.wall() - lease.born_at)
            self._hooks.fire("delivery:dead", {**facts, "reason": settled.reason})
            self._bus.publish("delivery:dead", **facts, reason=settled.reason)
        else:
            self._tell_again(lease, settled.reason)
            self._bus.publish("delivery:retry", **facts, reason=settled.reason)

    def _tell_again(self, lease: OutLease, reason: str) -> None:
        """Once, as long as a lane's trouble stays the same."""
        key = (lease.child, lease.lane)
        new = self._troubles.get(key) != reason
        if new:
            self._troubles[key] = reason
        say = self._log.bind(child=lease.child)
        (say.info if new else say.debug)("a reply is sent again later: {}", reason)
