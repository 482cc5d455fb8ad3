"""How the simulated DingTalk pushes: once, to a random connection, dead ones among them; EVENTs until acknowledged.

A robot message is never sent again: what goes to nobody is recorded as ``lost``, and so is what was not
acknowledged when its connection ended (the client may have it all the same).
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event as Signal
from gevent.pool import Pool

from hermes_green.sim import dingtalk_frames as frames
from hermes_green.sim.kit import Link
from hermes_green.sim.kit_turns import Turns

if TYPE_CHECKING:
    from hermes_green.sim.dingtalk import DingTalkSim

# Beyond this many pushes, those that were answered are forgotten.
REMEMBER = 20_000


@dataclass(slots=True)
class Push:
    """Something to push: a robot message, an event or a card's click."""

    kind: str
    topic: str
    data: Any
    chat: str = ""
    message_id: str = ""
    event_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    done: Signal = field(default_factory=Signal)


@dataclass(slots=True)
class Flight:
    """One push on its way to one client."""

    push: Push
    link: Link
    answered: bool = False


class Router:
    """Chooses connections, and keeps what is under way."""

    def __init__(self, sim: DingTalkSim) -> None:
        self._sim = sim
        self._turns = Turns(sim.options.hold_order)
        self._flights: dict[str, Flight] = {}
        self._recent: deque[Push] = deque(maxlen=5)
        self._events: dict[str, Push] = {}
        self._pool = Pool()
        self.lost = 0

    @property
    def held(self) -> int:
        """Messages that wait for the one before them."""
        return self._turns.held

    def unacked(self) -> list[str]:
        """Events that will be pushed again."""
        return list(self._events)

    def stop(self) -> None:
        """Push no more."""
        self._pool.kill(timeout=2)

    # -- from users

    def take(self, push: Push) -> bool:
        """Push it; whether it went, or waits for the one before it."""
        if push.kind == "EVENT":
            self._events[push.event_id] = push
            self._pool.spawn(self._insist, push)
            return True
        if push.message_id and not self._turns.may_go(push.chat, push.message_id, push):
            return False
        self._once(push)
        return True

    def again(self) -> None:
        """Push un-acknowledged events at once, and the last robot messages a second time, but for lost ones."""
        for push in [*self._events.values(), *self._recent]:
            self._fly(push)

    def _once(self, push: Push) -> None:
        if push.topic == frames.ROBOT:
            self._recent.append(push)
        times = 2 if self._sim.faults.take("duplicate") is not None else 1
        for number in range(times):
            reason = self._fly(push)
            if reason and number == 0:
                self._lose(push, reason)

    def _insist(self, push: Push) -> None:
        rules = self._sim.options
        while not push.done.is_set():
            self._fly(push)
            if push.done.wait(rules.event_ack):
                break
            gevent.sleep(rules.event_again)
        self._events.pop(push.event_id, None)

    def _fly(self, push: Push) -> str:
        """Send it to a random connection; why nobody gets it, or ""."""
        sim = self._sim
        topic = "*" if push.kind == "EVENT" else push.topic
        links = sim.routable(push.kind, topic)
        if time.monotonic() < sim.stuck_until:
            return "stuck routing"
        if not links:
            return "no connection"
        link = random.choice(links)
        id = frames.new_id("")
        self._flights[id] = Flight(push, link)
        if len(self._flights) > REMEMBER:
            self._flights = {id: flight for id, flight in self._flights.items() if not flight.answered}
        raw = frames.frame(push.kind, push.topic, id, push.data, connectionId=str(link.id), **push.headers)
        sim.log.add("push", link=link.id, message_id=push.message_id, event_id=push.event_id, chat=push.chat)
        if link.half_open or not link.send(raw):
            # An end that came in the middle of the sending has told already what was lost with it.
            return "dead connection" if self._flights.pop(id, None) is not None else ""
        return ""

    # -- from clients

    def acknowledged(self, link: Link, message_id: str, code: int, data: Any) -> None:
        """A client's answer to a push."""
        sim = self._sim
        flight = self._flights.get(message_id)
        if flight is None:
            sim.violation(f"an acknowledgement of nothing that was pushed: {message_id[:60]}", link=link)
            return
        if flight.link is not link:
            sim.violation(f"acknowledged on link {link.id}, pushed on link {flight.link.id}", link=link)
            return
        if flight.answered:
            sim.violation("the same push acknowledged twice", link=link)
            return
        flight.answered = True
        push = flight.push
        sim.log.add(
            "ack",
            link=link.id,
            message_id=push.message_id,
            event_id=push.event_id,
            chat=push.chat,
            code=code,
            data=data,
        )
        if push.kind == "EVENT":
            later = isinstance(data, dict) and data.get("status") == "LATER"
            if code == 200 and not later:
                push.done.set()
        else:
            self._next_after(push)

    def gone(self, link: Link) -> None:
        """A connection has ended with pushes on it."""
        for id, flight in list(self._flights.items()):
            if flight.link is link:
                del self._flights[id]
                if not flight.answered and flight.push.kind != "EVENT":
                    self._lose(flight.push, "not acknowledged when its connection ended")

    def _lose(self, push: Push, reason: str) -> None:
        self.lost += 1
        self._recent = deque((each for each in self._recent if each is not push), self._recent.maxlen)
        text = push.data.get("text", {}).get("content", "") if isinstance(push.data, dict) else ""
        self._sim.log.add("lost", chat=push.chat, message_id=push.message_id, reason=reason, text=text)
        self._next_after(push)

    def _next_after(self, push: Push) -> None:
        following = self._turns.over(push.chat, push.message_id)
        if isinstance(following, Push):
            following.data["createAt"] = frames.millis()
            self._once(following)
