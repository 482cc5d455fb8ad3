"""Gateway: the running whole as the web server, the signals and the command line see it."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterable, Mapping

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError, UnknownChat
from hermes_green.core.machine import State
from hermes_green.core.model import Reply
from hermes_green.core.ports import Counts, Sent, Store
from hermes_green.runtime import snapshot
from hermes_green.runtime.events import Bus, Subscription
from hermes_green.runtime.house import House
from hermes_green.runtime.records import Records
from hermes_green.runtime.rendering import render
from hermes_green.runtime.upkeep import Upkeep

COMMAND_SETTLES = 1.0
# A status waits so long for what has to be read, all of it side by side; then it shows what was read last.
STATUS_WAITS = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What the process says of itself; ``started_at`` wall seconds."""

    version: str
    pid: int
    started_at: float


class Gateway:
    """The composition root hands in how to reload and how to stop, and what is ``told`` of the configuration:
    ``{config, hooks}`` for the status. ``records``: what was written down; ``pairing``: who was let in."""

    def __init__(
        self,
        *,
        identity: Identity,
        house: House,
        upkeep: Upkeep,
        store: Store,
        clock: Clock,
        log: Any,
        bus: Bus,
        offhub: Callable[..., Any],
        lag_ms: Callable[[], float],
        reload: Callable[[], dict[str, Any]],
        told: Callable[[], dict[str, Any]],
        stop: Callable[[], None],
    ) -> None:
        self.records = Records(store, clock, house.resume, house.was_reset, lambda: house.policy.audit_contents)
        self.pairing = house.door.pairing
        self._identity = identity
        self._house = house
        self._upkeep = upkeep
        self._supervisor = house.supervisor
        self._store = store
        self._clock = clock
        self._log = log
        self._bus = bus
        self._offhub = offhub
        self._lag_ms = lag_ms
        self._reload = reload
        self._told = told
        self._stop = stop

    def status(self) -> dict[str, Any]:
        """The status JSON; a disk that hangs does not keep it waiting."""
        counts = gevent.spawn(self._counts)
        counts.name = "counts"
        self._look(list(self._house.members), counts)
        return snapshot.status(
            version=self._identity.version,
            pid=self._identity.pid,
            started_at=self._identity.started_at,
            hub_lag_ms=self._lag_ms(),
            counts=counts.value or self._upkeep.counts,
            turns=self._house.lanes.active,
            stale=self._house.turns.stale,
            locale=self._house.policy.locale,
            **self._told(),
            children=self._supervisor.children,
            clock=self._clock,
            dials=self._dials_of,
        )

    def _counts(self) -> Counts | None:
        """Fresh where the store answers."""
        try:
            return self._store.counts(self._clock.wall())
        except HermesError as error:
            self._log.debug("the store cannot count now: {}", error)
            return None

    def _look(self, children: Iterable[str], *others: gevent.Greenlet) -> None:
        """Read the dials of children anew, with one deadline for all of it."""
        members = [self._house.members[id] for id in children if id in self._house.members]
        looks = [look for look in (member.dials.look() for member in members) if look is not None]
        gevent.joinall([*looks, *others], timeout=STATUS_WAITS)
        gevent.killall(others, block=False)

    def _dials_of(self, id: str) -> list[Mapping[str, Any]]:
        member = self._house.members.get(id)
        return member.dials.usage() if member is not None else []

    def health(self) -> dict[str, Any]:
        """While this answers, the hub turns; it waits for nothing."""
        return {"hub_lag_ms": self._lag_ms(), "pid": self._identity.pid, "store": self._upkeep.store_state}

    def readiness(self, id: str | None = None) -> tuple[bool, dict[str, Any]]:
        """Whether every child (or one) is READY, and which are not and why; raises UnknownChild."""
        children = [self._supervisor.child(id)] if id else list(self._supervisor.children.values())
        late = [child for child in children if child.state is not State.READY]
        faults = [
            {"child": c.id, "state": str(c.state), "reason": c.reason.text, "action": c.reason.action} for c in late
        ]
        return not late, {"ready": not late, "not_ready": faults}

    def send(
        self, child: str, chat: str, text: str, thread: str | None = None, reply_to: str | None = None, key: str = ""
    ) -> Sent:
        """Commit a message of the operator's own.

        Raises:
            UnknownChild, UnknownChat, KeyReused, StoreAway.
        """
        place = self._supervisor.child(child)
        peer = place.adapter.peer_of(chat)
        if peer is None:
            raise UnknownChat(
                f"the kind of chat {chat!r} cannot be told from its id",
                code="unknown_chat",
                action="write user:, group:, channel: or dm: before it",
            )
        peer = replace(peer, child=child, thread_id=thread or peer.thread_id)
        ref = {"message_id": reply_to} if reply_to else {}
        parts = render(place.adapter, Reply(text, peer, ref), self._offhub)
        body = json.dumps([child, chat, text, thread, reply_to], ensure_ascii=False)
        digest = hashlib.sha256(body.encode()).hexdigest()
        sent = self._store.enqueue(key or secrets.token_hex(16), digest, child, parts, self._clock.wall())
        self._house.wake(child, peer)
        return sent

    def sent(self, id: str) -> Sent | None:
        """The state of an earlier send."""
        return self._store.sent(id)

    def command(self, child: str, verb: str) -> dict[str, Any]:
        """``start``, ``stop`` or ``restart`` one child; its status, a moment later. Raises UnknownChild."""
        self._supervisor.command(child, verb)
        found = self._supervisor.child(child)
        # Who asks wants to know what came of it: a spent budget or a refused secret shows at once.
        with gevent.Timeout(COMMAND_SETTLES, False):
            while found.state in {State.STARTING, State.STOPPING}:
                gevent.sleep(0.02)
        self._look([child])
        return snapshot.child_status(found, self._clock, self._dials_of(child))

    def reload(self) -> dict[str, Any]:
        """Apply what changed in the configuration; ``{ok, changed, restart_required, errors}``."""
        return self._reload()

    def stop(self) -> None:
        """Begin to stop; returns at once."""
        self._stop()

    def subscribe(self) -> Subscription:
        return self._bus.subscribe()
