"""Desk: where a committed message is told which way to go: refused, answered at once, or its lane."""

from __future__ import annotations

from typing import Any, Callable, Protocol

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Lease, TurnEnd
from hermes_green.runtime import texts
from hermes_green.runtime.access import Verdict, judge
from hermes_green.runtime.commands import Command, recognise
from hermes_green.runtime.express import Express
from hermes_green.runtime.lanes import Lanes
from hermes_green.runtime.policy import Policy
from hermes_green.runtime.turn import Turns


class House(Protocol):
    """What the desk asks about a child, and the rules in force."""

    policy: Policy

    def express(self, child: str) -> Express: ...

    def state(self, child: str) -> str: ...


class Desk:
    """Routes rows right after their commit; pure decisions, no waiting."""

    def __init__(self, house: House, lanes: Lanes, turns: Turns, log: Any) -> None:
        self._house = house
        self._lanes = lanes
        self._turns = turns
        self._log = log

    def foresee(self, inbound: Inbound, session_id: str) -> None:
        """A message is being committed: what will certainly be a turn may be leased along with it."""
        if judge(inbound, self._house.policy.access_of(inbound.peer.child)) is Verdict.ALLOW:
            command = recognise(inbound.text)
            if command is None or not command.immediate:
                self._lanes.foresee(session_id)

    def route(self, row: int, inbound: Inbound, session_id: str) -> None:
        """Send one new row on its way."""
        child = inbound.peer.child
        verdict = judge(inbound, self._house.policy.access_of(child))
        if verdict is not Verdict.ALLOW:
            self._express(child, row, self._refusal(verdict, inbound.peer))
            return
        command = recognise(inbound.text)
        if command is not None and command.immediate:
            self._express(child, row, self._command(command, session_id, inbound.peer))
            return
        if self._lanes.waiting(session_id) >= self._house.policy.queue_per_session:
            self._express(child, row, self._crowded)
            return
        self._lanes.offer(session_id)

    def _express(self, child: str, row: int, work: Callable[[Lease], None]) -> None:
        self._house.express(child).do(row, work)

    def _refusal(self, verdict: Verdict, peer: Peer) -> Callable[[Lease], None]:
        if verdict is Verdict.PAIR:
            text = texts.say("unpaired", self._house.policy.locale, user=peer.user_id or "?")
            return lambda lease: self._turns.reply(lease, text, refused=True)
        return lambda lease: self._turns.end(lease, TurnEnd("refused", reason="not allowed"))

    def _crowded(self, lease: Lease) -> None:
        text = texts.say("crowded", self._house.policy.locale)
        self._turns.reply(lease, text, dead="too many waiting in this session")

    def _command(self, command: Command, session_id: str, peer: Peer) -> Callable[[Lease], None]:
        def work(lease: Lease) -> None:
            self._turns.reply(lease, self._answer(command, session_id, peer))

        return work

    def _answer(self, command: Command, session_id: str, peer: Peer) -> str:
        locale = self._house.policy.locale
        if command.name == "stop":
            return texts.say("stopped" if self._lanes.cancel(session_id) else "nothing", locale)
        if command.name == "status":
            waiting = self._lanes.waiting(session_id)
            busy = self._lanes.busy(session_id) is not None
            return texts.say(
                "status",
                locale,
                child=peer.child,
                state=self._house.state(peer.child),
                busy=texts.say("yes" if busy else "no", locale),
                waiting=str(max(0, waiting - int(busy))),
            )
        if command.name == "whoami":
            return texts.say("whoami", locale, child=peer.child, chat=peer.chat_id, user=peer.user_id or "?")
        return texts.say("help", locale)
