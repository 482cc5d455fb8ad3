"""Witness: hears what children tell of themselves; counts, publishes and logs it."""

from __future__ import annotations

from typing import Any, Callable, Protocol

from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, HermesError, LinkLost, Throttled
from hermes_green.core.machine import State
from hermes_green.runtime.child import MOVING, Child
from hermes_green.runtime.events import Bus
from hermes_green.runtime.outage import TOGETHER, Outage

# A hub this late may itself have cost links.
LATE_MS = 1_000.0


class Meters(Protocol):
    """The counters that children move."""

    def link_up(self, child: str, up: bool) -> None: ...

    def inbound(self, child: str, wall: float) -> None: ...

    def reconnect(self, child: str, reason: str) -> None: ...

    def heartbeat(self, child: str, outcome: str) -> None: ...

    def forget(self, child: str) -> None: ...


class Witness:
    """See ``runtime.child.Observer``.

    ``on_moved(child)`` is told of every change of state and must not wait; ``on_failing(child)``: very
    many dials in a row have failed; ``lag_ms(seconds)`` answers the hub's worst lag of so long.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        bus: Bus,
        meters: Meters,
        log: Any,
        on_moved: Callable[[Child], None],
        on_failing: Callable[[Child], None] = lambda child: None,
        lag_ms: Callable[[float], float] = lambda seconds: 0.0,
    ) -> None:
        self.meters = meters
        self._clock = clock
        self._bus = bus
        self._log = log
        self._on_moved = on_moved
        self._on_failing = on_failing
        self._outage = Outage(clock.monotonic, lag_ms, self._together)

    def moved(self, child: Child, old: State) -> None:
        """Count, publish and log a change of state."""
        up = child.state is State.READY
        if old is State.READY and child.state is State.WAITING:
            self._outage.lost(child.id)
        self.meters.link_up(child.id, up)
        why = f": {child.reason.text}" if child.reason.text else ""
        level = "INFO" if up or child.state in {*MOVING, State.STOPPED, State.STOPPING} else "WARNING"
        child.log.log(level, "{} -> {}{}", old, child.state, why)
        name = {State.READY: "adapter:ready", State.WAITING: "adapter:lost", State.HALTED: "adapter:halted"}
        self._bus.publish(
            name.get(child.state, "adapter:state"),
            child=child.id,
            platform=child.platform,
            account=child.account,
            state=str(child.state),
            reason=child.reason.text,
        )
        self._on_moved(child)

    def _together(self, children: list[str], lag_ms: float) -> None:
        self._log.warning(
            "{} lost their links within {:.0f} s; the hub was at most {:.0f} ms late meanwhile, so the cause is {}",
            ", ".join(children),
            TOGETHER,
            lag_ms,
            "probably here" if lag_ms > LATE_MS else "the network or the machine's way out",
        )
        self._bus.publish("adapters:lost-together", children=children, hub_lag_ms=lag_ms)

    def heartbeat(self, child: Child, outcome: str) -> None:
        self.meters.heartbeat(child.id, outcome)

    def inbound(self, child: Child) -> None:
        self.meters.inbound(child.id, self._clock.wall())

    def ended(self, child: Child, error: BaseException | None) -> None:
        """Count the end of a run by its kind."""
        kinds: list[tuple[type[BaseException], str]] = [
            (Throttled, "throttled"),
            (AuthRejected, "rejected"),
            (LinkLost, "lost"),
            (HermesError, "halted"),
        ]
        kind = "closed" if error is None else next((name for cls, name in kinds if isinstance(error, cls)), "crash")
        self.meters.reconnect(child.id, kind)

    def failing(self, child: Child) -> None:
        """Let somebody ask whether the fault is ours."""
        self._on_failing(child)
