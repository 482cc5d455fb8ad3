"""Child: one supervised adapter, its state, its runs and everything the status says of it.

Its state has one writer, the supervisor's greenlet; what happens in a run's greenlet is posted to
the supervisor's mailbox and comes back here as ``handle_*``.
"""

from __future__ import annotations

from typing import Any, Callable, Literal, Protocol

import gevent

from hermes_green.core.clock import Clock, clock_time
from hermes_green.core.errors import AuthRejected, ConfError, Displaced, HermesError, IllegalMove, LinkLost, Throttled
from hermes_green.core.machine import Event, State, step
from hermes_green.core.pacing import Window
from hermes_green.core.ports import Adapter
from hermes_green.runtime.intake import Intake
from hermes_green.runtime.redial import FAILED_RETRY, Pace, Redial
from hermes_green.runtime.run import Run
from hermes_green.runtime.words import Reason, Words

MOVING = frozenset({State.STARTING, State.READY})
# In these states nothing is sent: a human or the end of the stop is awaited.
HOLDING = frozenset({State.STOPPED, State.STOPPING, State.HALTED})


class Dials(Protocol):
    """The durable budget of one credential; the first three may wait for the disk, off the hub."""

    def before_dial(self, *, handover: bool) -> None:
        """Book a dial. Raises Throttled."""

    def spend(self, kind: str) -> None:
        """Book another budget. Raises Throttled."""

    def accepted(self) -> None:
        """Remember that the platform accepted this very secret."""

    def was_accepted(self) -> bool:
        """True when this very secret was READY before, as far as the last dial could tell; returns at once."""

    def heard(self) -> None:
        """A message came in; returns at once."""

    @property
    def suspect(self) -> bool:
        """True after a burst of dials without a message since."""


class Observer(Protocol):
    """Who is told what happens to a child; returns at once."""

    def moved(self, child: Child, old: State) -> None:
        """The state has changed."""

    def heartbeat(self, child: Child, outcome: str) -> None: ...

    def inbound(self, child: Child) -> None: ...

    def ended(self, child: Child, error: BaseException | None) -> None: ...

    def failing(self, child: Child) -> None:
        """Very many dials in a row have failed."""


class Child:
    """See the module. ``wanted`` is what the operator asked for."""

    def __init__(
        self,
        *,
        id: str,
        platform: str,
        account: str,
        adapter: Adapter,
        intake: Intake,
        dials: Dials,
        pace: Pace,
        clock: Clock,
        log: Any,
        post: Callable[[Callable[[], None]], None],
        observer: Observer,
        words: Words | None = None,
    ) -> None:
        self.id = id
        self.platform = platform
        self.account = account
        self.adapter = adapter
        self.intake = intake
        self.clock = clock
        self.log = log
        self.state = State.IDLE
        self.since = clock.wall()
        self._why = Reason()  # as it was raised
        self.wanted: Literal["up", "down", "restart"] = "up"
        self.restarts = 0
        self.losses = 0
        self.last_inbound: float | None = None
        self.cooldown_until: float | None = None
        self.run: Run | None = None
        self._dials = dials
        self._post = post
        self._observer = observer
        self._words = words or Words({}, lambda: "en")
        self._pace = pace
        self._redial = Redial(pace)
        self._window = Window(pace.crashes, pace.crash_window)
        self._successor: Run | None = None
        self._retired: list[Run] = []
        self._number = 0
        self._timer: gevent.Greenlet | None = None
        self._timer_stamp = 0

    # --- what the operator asks; supervisor's greenlet ---

    def start(self) -> None:
        """Bring it up; a child that runs already keeps running."""
        if self.state in MOVING:
            self.wanted = "up"
        elif self.state is State.STOPPING:
            self.wanted = "restart"
        else:
            self.wanted = "up"
            self._redial.reset()
            self._window.clear()
            self._go(Event.START)
            self._dial()

    def stop(self, reason: Reason | None = None) -> None:
        """Take it down and keep it down; without a ``reason`` it was the operator's wish."""
        self.wanted = "down"
        action = f"hermes-green adapters start {self.id}"
        self._stop(reason or Reason("stopped", "stopped by the operator", action))

    def restart(self) -> None:
        """Take the link down and dial anew; also the way out of HALTED and FAILED."""
        if self.state in MOVING:
            self.wanted = "restart"
            self.restarts += 1
            self._stop(Reason("restart", "restarting as asked"))
        else:
            self.start()

    def reject(self, error: HermesError) -> None:
        """A credential was refused outside the run: halt."""
        if self.state in MOVING or self.state in {State.IDLE, State.WAITING}:
            self._reject(error)

    def repace(self, pace: Pace) -> None:
        """Obey other numbers from now on; the link stays as it is."""
        self._pace = pace
        self._redial.repace(pace)
        self._window.limit, self._window.seconds = pace.crashes, pace.crash_window

    def _stop(self, reason: Reason) -> None:
        self._cancel_timer()
        self._go(Event.STOP, reason)
        self._end_links()

    def _end_links(self) -> None:
        """All there are, those that were retired included."""
        for run in filter(None, (self.run, self._successor, *self._retired)):
            run.end()
        self._successor = None

    # --- what a run reports; any greenlet, so it is posted ---

    def gate(self, run: Run) -> None:
        """Before a dial: what the last run accepted is committed, and the budget allows it."""
        if not self.intake.drained(5.0):
            raise Throttled(
                f"the store is away: {self.intake.away or 'it does not answer'}", after=2.0, code="store_away"
            )
        self._dials.before_dial(handover=run.handover)

    def spend(self, kind: str) -> None:
        self._dials.spend(kind)

    def on_ready(self, run: Run) -> None:
        self._post(lambda: self._handle_ready(run))
        # The run reads on: a disk that hangs must not keep it from what the platform says next.
        gevent.spawn(self._dials.accepted).name = f"accepted-{self.id}"

    def on_retire(self, run: Run, grace: float) -> None:
        self._post(lambda: self._handle_retire(run, grace))

    def on_end(self, run: Run, error: BaseException | None) -> None:
        self._post(lambda: self._handle_end(run, error))

    def on_heartbeat(self, outcome: str) -> None:
        self.log.debug("heartbeat {}", outcome)
        self._observer.heartbeat(self, outcome)

    def on_inbound(self) -> None:
        self.last_inbound = self.clock.wall()
        self._dials.heard()
        self._observer.inbound(self)

    # --- the supervisor's greenlet ---

    def _handle_ready(self, run: Run) -> None:
        if run is self._successor:
            old, self.run, self._successor = self.run, run, None
            self.log.info("the new link is up as {}, traffic goes over it", run.who)
            if old is not None:
                self._retired.append(old)
                gevent.spawn_later(old.grace, old.end).name = f"retire-{self.id}-{old.number}"
            return
        if run is not self.run or self.state is not State.STARTING:
            return
        self._redial.accepted()
        self.cooldown_until = None
        self._go(Event.READY, Reason("ready", f"connected as {run.who}" if run.who else "connected"))

    def _handle_retire(self, run: Run, grace: float) -> None:
        if run is not self.run or self.state is not State.READY or self._successor is not None:
            return
        run.grace = grace
        self._go(Event.REFRESH)
        self._succeed()

    def _succeed(self) -> None:
        self._number += 1
        self._successor = Run(self, self._number, handover=True)
        self._successor.start()

    def _handle_end(self, run: Run, error: BaseException | None) -> None:
        if run in self._retired:
            self._retired.remove(run)
            self.log.debug("the retired link has ended")
            return
        if run is self._successor:
            self._successor = None
            if self.state is State.READY and self.run is not None and self.run.alive:
                self.log.warning("the second link failed, the first still lives: {}", error)
                self._arm(self._redial.after_failure(), self._retry_succession)
            return
        if run is not self.run:
            return
        self.run = None
        self._observer.ended(self, error)
        if self.state is State.STOPPING:
            self._gone()
        elif self.state in MOVING:
            self._lost(run, error)

    def _retry_succession(self) -> None:
        if self.state is State.READY and self._successor is None and self.run is not None and self.run.alive:
            self._succeed()

    def _gone(self) -> None:
        self._go(Event.GONE)
        if self.wanted == "restart":
            self.start()

    def _lost(self, run: Run, error: BaseException | None) -> None:
        """The current run's end, as exactly one event."""
        if isinstance(error, (AuthRejected, Displaced, ConfError)):
            self._reject(error)
            return
        if run.ready_at is not None:
            self.losses += 1
        if error is None or isinstance(error, (LinkLost, Throttled)):
            self._go(Event.LOST, self._reason_of(error))
            if self._successor is not None:
                # Its replacement is being dialled already: that dial is the reconnect.
                self.run, self._successor = self._successor, None
                self._go(Event.START)
                return
            lived = self.clock.monotonic() - run.ready_at if run.ready_at is not None else None
            before = self._redial.failures
            self._arm(self._redial.after_run(lived, error), self._on_timer)
            if self._redial.failures > before and self._redial.failures % self._pace.escalate_after == 0:
                self._observer.failing(self)
            return
        if self._successor is not None:
            # The next dial comes after a wait: until then nobody would look after this one.
            self._successor.end()
            self._successor = None
        if not isinstance(error, gevent.GreenletExit):
            self.log.opt(exception=error).error("the adapter crashed: this is a bug")
        if self._window.add(self.clock.monotonic()):
            text = f"crashed {self._pace.crashes} times in {self._pace.crash_window:.0f} s; last: {error!r}"
            action = f"read the log, then: hermes-green adapters restart {self.id}"
            self._go(Event.TRIP, Reason("crash_limit", text, action))
            self._arm(FAILED_RETRY, self._on_timer)
            return
        self.restarts += 1
        self._go(Event.CRASH, Reason("crash", f"crashed: {error!r}", "this is a bug; the log has its traceback"))
        self._arm(self._redial.after_failure(), self._on_timer)

    def _reject(self, error: HermesError) -> None:
        self._cancel_timer()
        self._go(Event.REJECT, self._reason_of(error))
        self.log.error("halted: {}", "; ".join(filter(None, (error.text, error.action))))
        self._end_links()
        self.run = None
        wait = self._redial.after_rejection(error, self._dials.was_accepted())
        if wait is not None:
            again = clock_time(self.clock.wall() + wait)
            action = "; ".join(filter(None, (error.action.rstrip("."), f"next try at {again}")))
            self._why = Reason(error.code, error.text, action)
            self._arm(wait, self._on_timer)

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._cancel_timer()
        stamp = self._timer_stamp

        def fire() -> None:
            # Stale timers are dropped before the table is asked.
            if stamp == self._timer_stamp:
                then()

        self._timer = gevent.spawn_later(max(0.0, seconds), self._post, fire)
        self._timer.name = f"timer-{self.id}"

    def _cancel_timer(self) -> None:
        self._timer_stamp += 1
        if self._timer is not None:
            self._timer.kill(block=False)
            self._timer = None

    def _on_timer(self) -> None:
        if self.state in {State.WAITING, State.HALTED, State.FAILED}:
            self._go(Event.TIMER)
            self._dial()

    def _dial(self) -> None:
        self._cancel_timer()
        self._number += 1
        self.run = Run(self, self._number)
        self.run.start()

    def _go(self, event: Event, reason: Reason | None = None) -> None:
        """One step through the table; an illegal one is a bug that changes nothing."""
        old = self.state
        try:
            self.state = step(old, event)
        except IllegalMove:
            self.log.error("illegal move: {} on {}", old, event)
            raise
        if reason is not None:
            self._why = reason
        if self.state is not old:
            self.since = self.clock.wall()
            self._observer.moved(self, old)

    def _reason_of(self, error: BaseException | None) -> Reason:
        if error is None:
            return Reason("closed", "the platform closed the link")
        if isinstance(error, Throttled):
            self.cooldown_until = self.clock.wall() + error.after
        if isinstance(error, HermesError):
            return Reason(error.code, error.text, error.action)
        return Reason("crash", repr(error))

    # --- what others may ask at any time ---

    @property
    def reason(self) -> Reason:
        """Why it is in its state, in the operator's language."""
        return self._words(self._why)

    def reason_for(self, locale: str) -> Reason:
        """The same for a reader of another language."""
        return self._words.spoken(self._why, locale)

    @property
    def link(self) -> Any:
        """The current link, or None."""
        return self.run.link if self.run is not None else None

    @property
    def suspect(self) -> bool:
        """True when its platform may accept links and route nothing to them."""
        return self._dials.suspect

    @property
    def sends(self) -> bool:
        """False while its outbox rows are held."""
        return self.state not in HOLDING

    def carry_over(self, old: Child) -> None:
        """Take over the counters of the child this one replaces after a change of settings."""
        self.restarts, self.losses, self.last_inbound = old.restarts + 1, old.losses, old.last_inbound
        self._number = old._number

    def free(self) -> None:
        """End what it owns, once it is STOPPED or replaced."""
        self._cancel_timer()
        self.intake.close(2.0)
        self.adapter.close()
