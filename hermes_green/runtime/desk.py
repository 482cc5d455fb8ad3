"""Desk: where a committed message is told which way to go: refused, answered at once, or its lane."""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence

from hermes_green.core.errors import HermesError, LeaseLost, StoreError, UnknownChild
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Lease, TurnEnd
from hermes_green.runtime import texts
from hermes_green.runtime.access import Verdict
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.commands import Command, recognise
from hermes_green.runtime.door import Door
from hermes_green.runtime.express import Express
from hermes_green.runtime.lanes import Lanes
from hermes_green.runtime.limits import Over
from hermes_green.runtime.media import media_of
from hermes_green.runtime.pairing import PairingRefused, spoken as in_halves
from hermes_green.runtime.policy import Policy
from hermes_green.runtime.quotes import said
from hermes_green.runtime.turn import Turns

ADMINS = frozenset({"adapters", "approve"})
# What ends a row without the agent.
Work = Callable[[Lease], None]


class Crew(Protocol):
    """Who keeps the children. All raise UnknownChild."""

    def state(self, id: str) -> str: ...

    def board(self) -> Sequence[str]:
        """A line for each child."""

    def command(self, id: str, verb: str) -> None: ...


class House(Protocol):
    """What the desk asks, and the rules in force."""

    policy: Policy
    door: Door

    @property
    def supervisor(self) -> Crew: ...

    def express(self, child: str) -> Express: ...


class Desk:
    """Routes rows right after their commit; pure decisions, no waiting. ``obeyed(command, inbound,
    session_id)`` is told of each command that is going to be obeyed, ``reacted(inbound)`` of each reaction,
    ``expected(inbound)`` of each message that will have a turn."""

    def __init__(
        self,
        house: House,
        lanes: Lanes,
        turns: Turns,
        log: Any,
        obeyed: Callable[[Command, Inbound, str], None],
        reacted: Callable[[Inbound], None],
        expected: Callable[[Inbound], None] = lambda inbound: None,
    ) -> None:
        self._house = house
        self._obeyed = obeyed
        self._reacted = reacted
        self._expected = expected
        self._lanes = lanes
        self._turns = turns
        self._log = log
        self._judged: dict[int, Work | None] = {}
        self._aside: dict[int, Work] = {}

    def foresee(self, inbound: Inbound, session_id: str) -> None:
        """A message is being committed: what will certainly be a turn may be leased along with it."""
        if inbound.reaction is None and self._house.door.passes(inbound):
            command = recognise(inbound.text)
            if command is None or not command.immediate:
                self._lanes.foresee(session_id)

    def judge(self, row: int, inbound: Inbound, session_id: str) -> None:
        """Decide about a new row right after its commit, before any other greenlet runs: its lane may have
        leased it in the very transaction, and limits are for the messages of one batch, too."""
        work = self._judged[row] = self._verdict(inbound, session_id)
        if work is not None:
            self._aside[row] = work

    def take(self, lease: Lease) -> Lease | None:
        """What is for the agent of the rows that a lane has leased before express did; None: nothing is. What
        was decided about the others has been done, about each as if it had come alone. A command that an
        earlier process did not get to is answered here, too.

        Raises:
            StoreError: the lease is as it was, and so is what was decided.
        """
        rows = _rows(lease)
        works = {row: self._aside.pop(row) for row in rows if row in self._aside}
        apart = list(works) if len(works) < len(rows) else list(rows[:-1])
        if apart:
            try:
                lease, *others = self._turns.apart(lease, apart)
            except StoreError:
                self._aside.update(works)
                raise
            for each in others:
                self._do(works[each.row], each)
        work = works.get(lease.row) if len(works) == len(rows) else self._left_over(lease)
        if work is None:
            return lease
        self._do(work, lease)
        return None

    def _do(self, work: Work, lease: Lease) -> None:
        """End a row that its lane has leased; it must not stay leased to nobody, nor keep its lane from others."""
        try:
            work(lease)
        except LeaseLost as error:
            self._log.error("row {} was taken by somebody else: {}", lease.row, error)
        except StoreError:
            raise
        except ANYTHING as error:  # border: as in a turn
            self._log.exception("row {} could not be closed: this is a bug", lease.row)
            self._turns.end(lease, TurnEnd("dead", reason=f"the gateway failed: {error!r}"))

    def _left_over(self, lease: Lease) -> Work | None:
        """What an earlier process would have done without the agent."""
        if not self._house.door.admits(lease.inbound):
            return None
        if lease.inbound.reaction is not None:
            return self._reaction
        command = recognise(lease.inbound.text)
        if command is None or not command.immediate:
            return None
        return self._obey(command, lease.inbound, lease.session_id)

    def _verdict(self, inbound: Inbound, session_id: str) -> Work | None:
        """What ends a message without the agent; None: nothing does."""
        peer, door = inbound.peer, self._house.door
        verdict = door.verdict(inbound)
        if verdict is not Verdict.ALLOW:
            return self._refusal(Verdict.SILENT if inbound.reaction is not None else verdict, peer)
        if inbound.reaction is not None:
            return self._reaction
        if not door.loops.admit(inbound):
            return lambda lease: self._turns.end(lease, TurnEnd("refused", reason="bots answer each other"))
        command = recognise(inbound.text)
        immediate = command is not None and command.immediate
        # Whoever has written too much may still stop what that has begun.
        over = None if command is not None and command.name == "stop" else door.limits.admit(peer, not immediate)
        if over is not None:
            return self._enough(over)
        return self._obey(command, inbound, session_id) if command is not None and immediate else None

    def _obey(self, command: Command, inbound: Inbound, session_id: str) -> Work:
        if command.name not in ADMINS or self._house.door.is_admin(inbound.peer):
            self._obeyed(command, inbound, session_id)
        return self._command(command, inbound.peer, session_id)

    def route(self, row: int, inbound: Inbound, session_id: str) -> None:
        """Send one new row on its way."""
        if row not in self._judged:
            self.judge(row, inbound, session_id)
        work = self._judged.pop(row)
        if work is not None:
            self._express(inbound.peer.child, row, session_id, work)
        elif self._lanes.crowd(session_id) >= self._house.policy.queue_per_session:
            self._express(inbound.peer.child, row, session_id, self._crowded)
        else:
            command = recognise(inbound.text)
            if command is not None:
                self._obeyed(command, inbound, session_id)
            self._enter(row, inbound, command, session_id)

    def _enter(self, row: int, inbound: Inbound, command: Command | None, session_id: str) -> None:
        """To the session's lane, in the mode in force; commands wait for their turn in every mode."""
        mode = self._house.policy.busy_input_mode if command is None else command.name
        busy = self._lanes.busy(session_id)
        self._expected(inbound)
        # A running agent is given words: what came with a file has a turn, which is given both.
        if mode == "steer" and busy is not None and not media_of(inbound):
            text = said(inbound)
            self._house.express(inbound.peer.child).later(lambda: self._steer(busy, row, text, session_id))
            return
        self._lanes.offer(session_id)
        if mode == "interrupt" and busy is not None:
            self._lanes.cancel(session_id, interrupt=True)

    def _steer(self, busy: Lease, row: int, text: str, session_id: str) -> None:
        if not self._turns.steer(busy, row, text):
            self._lanes.offer(session_id)

    def _express(self, child: str, row: int, session_id: str, work: Work) -> None:
        def done(lease: Lease) -> None:
            self._aside.pop(row, None)
            work(lease)

        def gone() -> None:
            # The lane takes its session's oldest row. Where that was this one, it has ended a row that it had
            # not counted, and one that it has counted still waits.
            busy = self._lanes.busy(session_id)
            if busy is None or row not in _rows(busy):
                self._aside.pop(row, None)  # else its turn may be about to ask for it
            self._lanes.offer(session_id)

        self._house.express(child).do(row, done, gone)

    # --- what ends a row without the agent ---

    def _reaction(self, lease: Lease) -> None:
        self._turns.end(lease, TurnEnd("done", reason="a reaction"))
        self._reacted(lease.inbound)

    def _refusal(self, verdict: Verdict, peer: Peer) -> Work:
        def work(lease: Lease) -> None:
            asked = None
            if verdict is Verdict.PAIR and peer.user_id is not None:
                asked = self._house.door.pairing.ask(peer.child, peer.user_id, peer.user_name or "")
            if asked is None:
                self._turns.end(lease, TurnEnd("refused", reason="not allowed"))
                return
            text = texts.say("unpaired", self._locale, code=in_halves(asked.code), user=asked.user)
            self._turns.reply(lease, text, refused=True)

        return work

    def _enough(self, over: Over) -> Work:
        if over.first:
            text = texts.say(f"over_{over.span}", self._locale)
            return lambda lease: self._turns.reply(lease, text, refused=True)
        return lambda lease: self._turns.end(lease, TurnEnd("refused", reason=f"over the limit of the {over.span}"))

    def _crowded(self, lease: Lease) -> None:
        text = texts.say("crowded", self._locale)
        self._turns.reply(lease, text, dead="too many waiting in this session")

    def _command(self, command: Command, peer: Peer, session_id: str) -> Work:
        def work(lease: Lease) -> None:
            busy = self._lanes.busy(session_id)
            # Where its own lane has it, no turn of the agent's runs.
            working = busy is not None and busy.row != lease.row
            self._turns.reply(lease, self._answer(command, session_id, peer, working))

        return work

    # --- commands answered at once ---

    @property
    def _locale(self) -> str:
        return self._house.policy.locale

    def _answer(self, command: Command, session_id: str, peer: Peer, working: bool) -> str:
        locale = self._locale
        if command.name in ADMINS:
            if not self._house.door.is_admin(peer):
                return texts.say("admins_only", locale)
            return self._adapters(command.rest) if command.name == "adapters" else self._approve(command.rest, peer)
        if command.name == "stop":
            return texts.say("stopped" if working and self._lanes.cancel(session_id) else "nothing", locale)
        if command.name == "status":
            waiting = self._lanes.waiting(session_id)
            return texts.say(
                "status",
                locale,
                child=peer.child,
                state=self._house.supervisor.state(peer.child),
                busy=texts.say("yes" if working else "no", locale),
                waiting=str(max(0, waiting - int(working))),
            )
        if command.name == "whoami":
            return texts.say("whoami", locale, child=peer.child, chat=peer.chat_id, user=peer.user_id or "?")
        return texts.say("help", locale)

    def _adapters(self, rest: str) -> str:
        """``/adapters``, ``/adapters restart NAME``."""
        verb, _, name = rest.partition(" ")
        if not verb:
            return "\n".join(self._house.supervisor.board())
        if verb not in {"restart", "重启"} or not name.strip():
            return texts.say("help", self._locale)
        try:
            self._house.supervisor.command(name.strip(), "restart")
        except UnknownChild as error:
            return texts.say("unknown_child", self._locale, child=error.id, known=", ".join(error.known))
        return texts.say("restarting", self._locale, child=name.strip())

    def _approve(self, code: str, peer: Peer) -> str:
        """``/approve CODE``, for those who wait at the bot that the admin writes to."""
        try:
            paired = self._house.door.pairing.approve(code, peer.child)
        except PairingRefused as error:
            return texts.say("pairing_locked" if error.code == "pairing_locked" else "pairing_code", self._locale)
        except HermesError as error:
            self._log.warning("nobody can be let in now: {}", error)
            return texts.say("later", self._locale)
        return texts.say("approved", self._locale, user=paired.name or paired.user)


def _rows(lease: Lease) -> tuple[int, ...]:
    """Those that were leased together."""
    return lease.rows or (lease.row,)
