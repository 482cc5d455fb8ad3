"""Run: one numbered life of a link, and the port through which its adapter is served."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Literal, Mapping, Protocol

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import LinkLost, StoreAway
from hermes_green.core.model import EMPTY, Inbound
from hermes_green.core.ports import Ack, Adapter, Kept
from hermes_green.ops.shelter import Held
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.intake import Intake, Offer

END_GRACE = 5.0


class Owner(Protocol):
    """What a run needs of the child it belongs to; all of it returns at once, but ``gate`` and ``spend``."""

    id: str
    adapter: Adapter
    intake: Intake
    clock: Clock
    log: Any

    def gate(self, run: Run) -> None:
        """Before the first network call: budgets, spacing, the store. Raises Throttled."""

    def spend(self, kind: str) -> None:
        """Book a budget in mid-run. Raises Throttled."""

    def on_ready(self, run: Run) -> None:
        """The platform answered."""

    def on_retire(self, run: Run, grace: float) -> None:
        """The platform will end this link."""

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """The run is over."""

    def on_heartbeat(self, outcome: str) -> None:
        """A heartbeat was sent, answered or missed."""

    def on_inbound(self) -> None:
        """A message came in."""


class Run:
    """One greenlet around ``adapter.run``; the Port of ``core.ports``.

    Void once it was told to end (a retired one: has ended): then the port takes nothing any more, and what a
    stray greenlet of the adapter still does has no effect.
    """

    def __init__(self, owner: Owner, number: int, *, handover: bool = False) -> None:
        self.number = number
        self.handover = handover
        self.who = ""
        self.link: Any = None
        self.ready_at: float | None = None
        self.proof_at: float | None = None
        self.proof_within: float | None = None
        self.error: BaseException | None = None
        self.grace = 0.0
        self._owner = owner
        self._void = False
        self._over = False
        self._close: Callable[[], None] | None = None
        self._again: Held | None = None
        self._greenlet = gevent.Greenlet(self._live)
        self._greenlet.name = f"run-{owner.id}-{number}"

    # --- its life ---

    def start(self) -> None:
        """Begin to dial."""
        self._greenlet.start()

    @property
    def alive(self) -> bool:
        """True until the adapter's ``run`` has come back."""
        return not self._greenlet.dead

    def end(self) -> None:
        """Ask the adapter to close the link politely; kill the run when it does not within 5 s."""
        self._void = True
        ender = gevent.spawn(self._end)
        ender.name = f"end-{self._owner.id}-{self.number}"

    def _end(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            try:
                with gevent.Timeout(2, False):
                    close()
            except ANYTHING:  # border: an adapter's close must not keep the run alive
                self._owner.log.exception("closing the link failed")
            self._greenlet.join(timeout=END_GRACE - 2)
        self._greenlet.kill(block=True, timeout=2)
        # Killed before its first step, or deaf even to the kill: its end is reported all the same.
        self._report(None)

    def _live(self) -> None:
        owner = self._owner
        error: BaseException | None = None
        try:
            self._replay()
            owner.gate(self)
            owner.adapter.run(self)
        except gevent.GreenletExit as killed:
            error = killed
        except StoreAway as away:  # an adapter asked for a memo: that is no crash
            error = LinkLost(f"the store is away: {away}", code="store_away")
        except ANYTHING as caught:  # border: child exit; the class of the error is the policy
            error = caught
        finally:
            self._report(error)

    def _replay(self) -> None:
        """Take in what came just before the last run or process ended; no dial is needed for it."""
        owner = self._owner
        left = owner.intake.shelter.left() if owner.intake.shelter is not None else []
        waiting = deque(left)
        try:
            while waiting:
                self._take_up(waiting[0])
                waiting.popleft()
        finally:
            self._again = None
            for held in waiting:
                held.leave()
        if left:
            owner.log.info("{} frames that came just before the last end were taken up", len(left))

    def _take_up(self, held: Held) -> None:
        """Hand in one frame that was kept. Raises LinkLost: it could not be, now."""
        owner = self._owner
        if held.fatal:
            owner.log.error("a kept frame is not read any more: processes have ended over it, this is a bug")
            self._set_aside(held, RuntimeError("processes have ended while they read it"))
            return
        self._again = held
        try:
            with held.reading():
                owner.adapter.replay(self, held.raw)  # type: ignore[attr-defined]
        except LinkLost:
            raise
        except ANYTHING as error:  # border: a frame that an adapter stumbles over must not keep it from dialling
            owner.log.exception("a kept frame could not be handed in: this is a bug")
            self._set_aside(held, error)
            return
        if self._again is not None:
            held.done()  # there was nothing to hand in

    def _set_aside(self, held: Held, error: BaseException) -> None:
        self.quarantine(held.raw, error, lambda taken: held.done())
        held.take()

    def _report(self, error: BaseException | None) -> None:
        self._void = True
        self.link = None
        if not self._over:
            self._over = True
            self.error = error
            self._owner.on_end(self, error)

    # --- the port ---

    def accept(self, inbound: Inbound | None, ack: Ack | None = None, memo: Mapping[str, Any] | None = None) -> None:
        self._still_heard()
        if self._offer(Offer(inbound, ack, memo if memo is not None else EMPTY)):
            self.proof_at = self._owner.clock.monotonic()
            if inbound is not None:
                self._owner.on_inbound()

    def _still_heard(self) -> None:
        """What comes while a retired link says goodbye is taken in: no run begins soon that would take it up instead.
        Raises LinkLost."""
        if self._over or (self._void and not self.grace):
            raise LinkLost("this run has ended", code="run_over")

    def _offer(self, offer: Offer) -> bool:
        """Hand something in. False: it is left un-acknowledged, because we stop or because the platform then
        sends this one frame again. Raises LinkLost where it would not, and the queue is full."""
        owner = self._owner
        if owner.intake.closed:
            return False  # for the next process
        try:
            owner.intake.offer(offer)
        except LinkLost:
            if owner.adapter.caps.default.refuse == "link":
                raise
            owner.intake.leave()
            return False
        return True

    def keep(self, raw: bytes | str) -> Kept | None:
        again, self._again = self._again, None
        if again is not None:
            return again
        shelter = self._owner.intake.shelter
        return shelter.keep(raw) if shelter is not None else None

    def quarantine(self, raw: bytes | str, error: BaseException, ack: Ack | None = None) -> None:
        self._still_heard()
        data = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw)
        if self._offer(Offer(None, ack, EMPTY, data, f"{type(error).__name__}: {error}")):
            self._owner.log.warning("a frame was not understood and is kept in quarantine: {}", error)

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        if self._void:
            raise LinkLost("this run has ended", code="run_over")
        self.who = who
        self.link = link
        self.proof_within = proof_within
        self.ready_at = self.proof_at = self._owner.clock.monotonic()
        self._owner.on_ready(self)

    def beat(self) -> None:
        self.proof_at = self._owner.clock.monotonic()

    def heartbeat(self, outcome: Literal["sent", "answered", "missed"]) -> None:
        self._owner.on_heartbeat(outcome)

    def retire(self, grace: float) -> None:
        if self.ready_at is None:
            raise LinkLost("the platform ended the link before it was ready", code="retired")
        if not self._void:
            self._owner.on_retire(self, grace)

    def spend(self, kind: str) -> None:
        if self._void:
            raise LinkLost("this run has ended", code="run_over")
        self._owner.spend(kind)

    def on_close(self, fn: Callable[[], None]) -> None:
        if self._void:
            # Told to end while it was still dialling: nobody else would close what it just opened.
            fn()
            return
        self._close = fn
