"""House: the children under one roof, with the rules, lanes and deliveries they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError
from hermes_green.core.machine import State
from hermes_green.core.model import Inbound, Peer, lane_of
from hermes_green.core.ports import Lease, SessionInfo, Store
from hermes_green.runtime import saved
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.child import Child
from hermes_green.runtime.closing import Deadline, side_by_side
from hermes_green.runtime.commands import Command
from hermes_green.runtime.delivery import LAST, Delivery
from hermes_green.runtime.desk import Desk
from hermes_green.runtime.dials import DialBook
from hermes_green.runtime.door import Door
from hermes_green.runtime.drafts import Draft, Progress, Sign
from hermes_green.runtime.events import Bus
from hermes_green.runtime.express import Express
from hermes_green.runtime.facts import facts_of
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.lanes import Lanes
from hermes_green.runtime.limits import Limits
from hermes_green.runtime.loops import Loops
from hermes_green.runtime.media import Media
from hermes_green.runtime.policy import Policy
from hermes_green.runtime.reactions import Reactions
from hermes_green.runtime.redial import Pace
from hermes_green.runtime.rekeyed import Rekeyed
from hermes_green.runtime.supervisor import Supervisor
from hermes_green.runtime.turn import Turns

# The drain leaves this much of its budget for deliveries and for closing links.
DRAIN_TAIL = 3.0
# And what is closed after the links, this much: the store above all.
CLOSE_TAIL = 1.5
# Seconds for the rows of a dismissed child that never entered a lane.
EXPRESS_GRACE = 2.0
# A row that nobody works on (a commit whose greenlet was gone, a lease that ran out) is found after so long.
LOOK_EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Member:
    """A child with what belongs to it and must end with it."""

    child: Child
    express: Express
    dials: DialBook


class House:
    """Two-step construction: ``connect`` brings the parts that themselves ask the house. It reads who was
    let in, and the counts of the day, from the store."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: Any,
        bus: Bus,
        hooks: Hooks,
        supervisor: Supervisor,
        policy: Policy,
        media: Media | None = None,
    ) -> None:
        self.policy = policy
        self.supervisor = supervisor
        self.members: dict[str, Member] = {}
        self._store = store
        self._clock = clock
        self._log = log
        self._bus = bus
        self._hooks = hooks
        self._media = media
        self._counts = saved.Later(store, clock, log, saved.LIMITS, lambda: self.door.limits.state())
        counts = saved.read(store, saved.LIMITS)
        self.door = Door(
            lambda: self.policy,
            saved.pairing(store, clock),
            Limits(clock, lambda: self.policy.limits, counts, self._counts.touch),
            Loops(clock),
        )
        self._reactions = Reactions(hooks, bus, log, self.place, lambda peer: self.policy.session_of(peer))
        self._looking: gevent.Greenlet | None = None
        self._bell = Event()
        self.rekeyed = Rekeyed(self._rekey, self.look)
        self.lanes: Lanes
        self.turns: Turns
        self.delivery: Delivery
        self.desk: Desk

    def connect(self, lanes: Lanes, turns: Turns, delivery: Delivery) -> None:
        """Bring in what works for the children."""
        self.lanes, self.turns, self.delivery = lanes, turns, delivery
        self.desk = Desk(self, lanes, turns, self._log, self._obeyed, self._reactions.tell, self._expect)

    def _expect(self, inbound: Inbound) -> None:
        place = self.place(inbound.peer.child)
        if self._media is not None and place is not None:
            self._media.expect(place.adapter, inbound)

    # --- what its parts ask ---

    def express(self, child: str) -> Express:
        return self.members[child].express

    def summary(self) -> str:
        """The children and their states, in one line."""
        children = self.supervisor.children.values()
        return ", ".join(f"{child.id} {child.state}" for child in children) or "no children"

    def place(self, child: str) -> Child | None:
        """The child, for a turn or a delivery; None when it is not configured any more."""
        return self.supervisor.children.get(child)

    def route(self, row: int, inbound: Inbound, session_id: str) -> None:
        """A row was committed."""
        if inbound.reaction is None:
            # Hooks decide about it when its turn comes.
            facts = facts_of(inbound.peer, self.place(inbound.peer.child), session_id, inbound.message_id)
            self._bus.publish("message:received", **facts)
        self.desk.route(row, inbound, session_id)

    def was_reset(self, session: SessionInfo) -> None:
        """The operator has begun a conversation anew."""
        place = self.place(session.child)
        facts = {
            "child": session.child,
            "platform": place.platform if place is not None else None,
            "account": place.account if place is not None else None,
            "chat_id": session.chat_id,
            "user_id": None,  # nobody's message
            "session_id": session.session_id,
            "session_key": session.session_id,
            "why": "operator",
        }
        self._hooks.fire("session:reset", facts)
        self._bus.publish("session:reset", **facts)

    def _obeyed(self, command: Command, inbound: Inbound, session_id: str) -> None:
        """A command is going to be obeyed: hooks hear what was typed, the page only which it was."""
        event = f"command:{command.name}"
        facts = facts_of(inbound.peer, self.place(inbound.peer.child), session_id, inbound.message_id)
        told = {"user_name": inbound.peer.user_name, "command": command.name, "args": command.rest}
        self._hooks.fire(event, {**facts, **told})
        self._bus.publish(event, **facts)

    def wake(self, child: str, peer: Peer) -> None:
        """A peer has new parts."""
        self.delivery.wake(child, lane_of(self.rekeyed.peer(peer)))

    def _rekey(self, child: str, old: str, new: str) -> None:
        self.lanes.rekey(child, old, new)
        self.turns.questions.rekey(child, old, new)

    def progress(self, lease: Lease, place: Child) -> Progress:
        """What the chat sees of a turn, as its platform can and its operator wants."""
        peer = lease.inbound.peer
        caps = place.adapter.caps.of(peer.chat_type)
        draft = None
        if caps.streaming and place.id not in self.policy.drafts_off:
            delivery, lane = self.delivery, lane_of(peer)
            draft = Draft(
                lease,
                place,
                self._store,
                delivery.gates,
                self._clock.wall,
                lambda: delivery.quiet(place.id, lane),
                self._log,
            )
        return Progress(draft, Sign(lease, place, self._log) if caps.typing else None)

    def moved(self, child: Child) -> None:
        """A child changed its state."""
        name = {State.READY: "adapter:ready", State.WAITING: "adapter:lost", State.HALTED: "adapter:halted"}
        event = name.get(child.state)
        if event is not None:
            facts = {"child": child.id, "platform": child.platform, "account": child.account}
            self._hooks.fire(event, {**facts, "reason": child.reason.text})
        self.delivery.wake_child(child.id)

    # --- its life ---

    def enlist(self, member: Member, refused: HermesError | None = None) -> None:
        """Take a child in and dial; ``refused``: a reason to halt it instead."""
        self.members[member.child.id] = member
        self.supervisor.add(member.child, refused)
        self.delivery.wake_child(member.child.id)
        self.look()  # for what the one before it did not get to

    def repace(self, policy: Policy, pace: Pace) -> None:
        """Obey other rules and numbers from now on; no link is touched."""
        self.policy = policy
        for member in self.members.values():
            member.child.repace(pace)

    def dismiss(self, id: str, *, replaced: bool = False) -> Child:
        """Stop a child for good and free what it owns. ``replaced``: another follows under its id; until
        then turns and replies still find this one, so that no message is given up for want of a child."""
        child = self.supervisor.retire(id)
        self._free(child)
        self.members[id].express.close(EXPRESS_GRACE)
        if not replaced:
            self.supervisor.forget(id)
            del self.members[id]
        return child

    def resume(self) -> None:
        """Take up what an earlier process left: cut and parked turns, undelivered parts. From then on look
        now and then whether something waits for nobody."""
        waiting, lanes = self._take_up()
        if waiting or lanes:
            self._log.info("taking up {} waiting messages and {} chats with replies", waiting, lanes)
        if self._looking is None:
            self._bell.clear()
            self._looking = gevent.spawn(self._look)
            self._looking.name = "look-for-rows"

    def _take_up(self) -> tuple[int, int]:
        """Messages, and chats with replies, that wait in the store; those who work on them are told."""
        waiting = self._store.sessions_waiting()
        lanes = self._store.lanes_waiting()
        self.lanes.offer_all(waiting, self._store.sessions_cut())
        self.delivery.give_up({child for child, _ in lanes})
        self.delivery.wake_all(lanes)
        return sum(waiting.values()), len(lanes)

    def look(self) -> None:
        """Look soon whether something waits for nobody. The store was away, and may have taken what those who
        waited for it had given up; or a chat or a child has taken another's place. Returns at once."""
        self._bell.set()

    def _look(self) -> None:
        while True:
            # What has waited too long for a child that is gone is found about as soon as its time is over.
            self._bell.wait(min(LOOK_EVERY, max(1.0, self.policy.delivery.give_up_after / 10)))
            self._bell.clear()
            try:
                self._take_up()
            except HermesError as error:
                self._log.debug("what waits could not be looked at now: {}", error)
            except Exception:  # border: rows that wait for nobody would never be found again
                self._log.exception("what waits could not be looked at: this is a bug")

    def drain(self, seconds: float, end: Deadline) -> None:
        """Finish or park turns and send what is due, in about ``seconds``; then close every link. All of it
        leaves of ``end`` what the rest of the process needs."""
        usual = Deadline(self._clock, seconds)
        if self._looking is not None:
            self._looking.kill(block=False)
        for member in self.members.values():
            member.child.intake.refuse()
        tail = min(DRAIN_TAIL, seconds / 4)  # of a short drain turns have most, too
        parked = self.lanes.drain(seconds - tail, min(DRAIN_TAIL, max(1.0, seconds)))
        if parked:
            self._log.info("{} turns are parked and go on at the next start", parked)
        self.delivery.drain(usual.left() or end.left(LAST))
        # What still asks platforms of its own accord ends before the adapters do.
        self._reactions.close()
        if self._media is not None:
            self._media.close()
        self.supervisor.stop_all(end.left(3.0, leaving=CLOSE_TAIL + 0.5))
        releases = {id: partial(self._release, member) for id, member in self.members.items()}
        side_by_side(end.left(1.5, leaving=CLOSE_TAIL), counts=self._counts.close, **releases)
        self.supervisor.close()

    def _release(self, member: Member) -> None:
        member.express.close()
        self._free(member.child)

    def _free(self, child: Child) -> None:
        try:
            child.free()
        except ANYTHING:  # border: an adapter that cannot be closed is let go all the same
            self._log.exception("{} could not be closed: this is a bug", child.id)
