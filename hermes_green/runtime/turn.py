"""Turn: from a leased row to a committed reply. One transaction ends the row, births the parts and
writes the history; whatever fails before it leaves the row to be run again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Callable, Collection, Literal, Mapping, Protocol, Sequence

import gevent

from hermes_green.core.clock import Clock
from hermes_green.core.errors import AgentError, AgentTimeout, LeaseLost, StoreAway, StoreError
from hermes_green.core.model import EMPTY, Attachment, Inbound, Message, Peer, Reply, Turn
from hermes_green.core.ports import Adapter, Agent, Lease, NewPart, Store, TurnEnd
from hermes_green.core.tokens import within
from hermes_green.ops.log import redact
from hermes_green.runtime import sessions, texts
from hermes_green.runtime.access import awaited
from hermes_green.runtime.asking import Asking, Left
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.commands import Command, recognise
from hermes_green.runtime.drafts import Progress
from hermes_green.runtime.events import Bus
from hermes_green.runtime.facts import facts_of
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.media import Media, media_of
from hermes_green.runtime.questions import Question, Questions, text_of
from hermes_green.runtime.quotes import Quotes
from hermes_green.runtime.remarks import remarked
from hermes_green.runtime.rendering import render

STORE_RETRY = 0.5
# Characters of a message or an answer that hooks are told with an event.
TOLD = 500


class Place(Protocol):
    """The child a turn belongs to, as far as a turn needs to know it."""

    id: str
    platform: str
    account: str
    adapter: Adapter


@dataclass(frozen=True, slots=True)
class Rules:
    """gateway.yaml ``turns`` and what else a turn obeys; ``timeout`` in seconds."""

    timeout: float = 600.0
    on_crash: str = "rerun"
    poison_limit: int = 3
    history_turns: int = 20
    locale: str = "en"
    history_tokens: int = 0
    max_age: float = 86_400.0

    def too_old(self, lease: Lease, clock: Clock) -> bool:
        """Whether a message is older than ``max_age``, by its platform's clock where that is not ahead of ours."""
        sent = [each.sent_at for each in lease.messages or (lease.inbound,) if each.sent_at is not None]
        return min([lease.accepted_at, *sent]) < clock.ago(self.max_age)


class Meters(Protocol):
    """The figures a turn leaves."""

    def turn(self, child: str, outcome: str, seconds: float) -> None: ...


class Turns:
    """Runs leased rows. ``place(child)`` finds the child, ``agent(turn)`` the agent that answers it;
    ``wake(child, lane)`` tells delivery of new parts; ``offhub(fn)`` runs a pure function elsewhere;
    ``admit`` says whether a sender may still have a turn; ``spent(peer, usage)`` is told what an answer cost."""

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
        agent: Callable[[Turn], Agent],
        wake: Callable[[str, Peer], None],
        offhub: Callable[..., Any],
        rules: Callable[[], Rules],
        progress: Callable[[Lease, Any], Progress] = lambda lease, place: Progress(),
        media: Media | None = None,
        admit: Callable[[Inbound], bool] = lambda inbound: True,
        spent: Callable[[Peer, Mapping[str, Any] | None], None] = lambda peer, usage: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._bus = bus
        self._hooks = hooks
        self._meters = meters
        self._place = place
        self._agent = agent
        self._wake = wake
        self._offhub = offhub
        self._rules = rules
        self._progress = progress
        self._media = media
        self._admit = admit
        self._spent = spent
        self._asking = Asking(log)
        self.questions = Questions(store)
        self._quotes = Quotes(log)
        self.stale = 0  # turns whose messages were too old when they began

    # --- a turn ---

    def run(self, lease: Lease) -> None:
        """The whole of one turn. Raises StoreError (the row is ours no more, or the store is away: the
        turn is to be given back), and lets a kill through."""
        try:
            self._run(lease)
        except StoreError:
            self._asking.left(lease.turn_id)
            raise
        except ANYTHING as error:  # border: a turn; its session must not wait for a lease
            self._log.exception("turn {} failed outside the agent: this is a bug", lease.turn_id)
            left = self._asking.left(lease.turn_id) or Left("", "")
            parts = self._line(lease, texts.say("failed", self._rules().locale), left.handle)
            self.end(lease, TurnEnd("dead", reason=f"the gateway failed: {error!r}", parts=parts))
        self._asking.left(lease.turn_id)

    def _run(self, lease: Lease) -> None:
        rules, started = self._rules(), self._clock.monotonic()
        place = self._place(lease.inbound.peer.child)
        if place is None:
            state: Literal["dead", "refused"] = "dead" if awaited(lease.inbound) else "refused"
            self.end(lease, TurnEnd(state, reason=f"child {lease.inbound.peer.child} is no longer configured"))
            return
        if not self._admit(lease.inbound):
            # It waited (or was left by an earlier process) and is not welcome any more.
            self.end(lease, TurnEnd("refused", reason="not allowed"))
            return
        if lease.attempt > rules.poison_limit:
            reason = f"given up: {lease.attempt - 1} attempts ended with the gateway's death"
            self.end(lease, TurnEnd("dead", reason=reason, parts=self._closing(lease, place, rules)))
            return
        if lease.attempt > 1 and rules.on_crash != "rerun":
            self._after_crash(lease, place, rules)
            return
        if lease.reset:
            self._publish("session:reset", self._facts(lease), why="policy")
        if rules.too_old(lease, self._clock):
            self.stale += 1
            self._log.warning("turn {} answers a message older than {:.0f} s", lease.turn_id, rules.max_age)
            lease = replace(lease, stale=True)
        outcome, end = self._answer(lease, place, rules)
        self.end(lease, replace(end, stale=lease.stale))
        self._meters.turn(place.id, outcome, self._clock.monotonic() - started)

    def reply(self, lease: Lease, text: str, *, dead: str = "", refused: bool = False) -> None:
        """End a row with one line of the gateway's own; ``dead``: as a dead letter with this reason."""
        place = self._place(lease.inbound.peer.child)
        parts = self._parts(place, lease, text) if place is not None else ()
        state: Literal["done", "dead", "refused"] = "dead" if dead else "refused" if refused else "done"
        self.end(lease, TurnEnd(state, reason=dead, parts=parts))

    def cancelled(self, lease: Lease, interrupted: bool = False) -> None:
        """A turn was killed, because the chat asked to stop or (``interrupted``) has said something else:
        the row ends; a draft is finished as far as it got. An interrupted exchange is remembered."""
        locale = self._rules().locale
        outcome = "interrupted" if interrupted else "cancelled"
        left = self._asking.left(lease.turn_id) or Left(text_of(lease), "")
        told = {"user_name": lease.inbound.peer.user_name, "message": left.asked[:TOLD], "response": left.said[:TOLD]}
        self._publish("agent:end", self._facts(lease), told, outcome=outcome)
        text = f"{left.said}\n\n{texts.say('cut' if interrupted else 'stopped', locale)}".strip()
        parts = self._line(lease, text, left.handle) if left.handle is not None else ()
        history = (Message("user", left.asked), Message("assistant", text)) if interrupted else ()
        if not interrupted:
            self.questions.failed(lease.session_id, left.asked)
        reason = "interrupted by the next message" if interrupted else "stopped by the chat"
        try:
            self.end(lease, TurnEnd("done", reason=reason, parts=parts, history=history))
        except LeaseLost:
            # The kill came while the whole answer was being committed: it stands, and is sent.
            self._wake(lease.inbound.peer.child, lease.inbound.peer)

    def steer(self, lease: Lease, row: int, text: str) -> bool:
        """Give a message that waits to the turn that runs: its row ends with that turn. False: the agent
        cannot, the turn is over, or a hook must decide about each message; the row waits on."""
        if self._hooks.listens("message:received") or not self._asking.steer(lease.turn_id, text):
            return False
        while True:
            try:
                return self._store.join(lease, row, self._clock.wall())
            except StoreAway:
                gevent.sleep(STORE_RETRY)  # what the agent has taken must not be asked a second time
            except StoreError as error:
                self._log.debug("row {} did not join turn {}: {}", row, lease.turn_id, error)
                return False

    def apart(self, lease: Lease, rows: Collection[int]) -> Sequence[Lease]:
        """What is left of a lease without these rows, and a lease for each of them. Raises StoreError: nothing
        has changed."""
        return self._store.detach(lease, rows, self._clock.wall())

    def end(self, lease: Lease, end: TurnEnd) -> None:
        """Commit, waiting for a store that is away, and wake the delivery.

        It is woken before as well: its question for the next part then stands right behind the commit
        in the store's queue and shares its transaction, so that the part goes out one fsync earlier.
        """
        peer, end = lease.inbound.peer, replace(end, reason=redact(end.reason))
        for attempt in count():
            try:
                if end.parts:
                    self._wake(peer.child, peer)
                rows = self._store.commit_turn(lease, end, self._clock.wall())
                break
            except StoreAway as error:
                self._log.log("DEBUG" if attempt else "WARNING", "turn {} waits for the disk: {}", lease.turn_id, error)
                gevent.sleep(STORE_RETRY)
        if end.state == "dead":
            self._log.warning("a message is now a dead letter: {}", end.reason)
            self._publish("delivery:dead", self._facts(lease), reason=end.reason)
        if rows:
            self._wake(peer.child, peer)

    # --- its pieces ---

    def _after_crash(self, lease: Lease, place: Place, rules: Rules) -> None:
        if rules.on_crash == "notify":
            self.reply(lease, texts.say("interrupted", rules.locale))
        else:
            reason = "cut by the end of the process (on_crash: drop)"
            self.end(lease, TurnEnd("dead", reason=reason, parts=self._closing(lease, place, rules)))

    def _closing(self, lease: Lease, place: Place, rules: Rules) -> tuple[NewPart, ...]:
        """The end of a draft whose turn has no answer; nothing where there is no draft."""
        if _handle_of(lease) is None:
            return ()
        return self._parts(place, lease, texts.say("interrupted", rules.locale))

    def _answer(self, lease: Lease, place: Place, rules: Rules) -> tuple[str, TurnEnd]:
        """Outcome for the metric, and how the row ends."""
        command = recognise(lease.inbound.text)
        if command is not None and command.name in {"new", "undo"}:
            return "command", self._edit(command, lease, place, rules)
        lease = self._quotes.bring(place.adapter, lease)
        question = self.questions.of(lease, rules.history_turns)
        if question is None:
            parts = self._parts(place, lease, texts.say("nothing_said", rules.locale))
            return "command", TurnEnd("done", parts=parts)
        decided = self._decide(lease, place, question)
        if isinstance(decided, TurnEnd):
            return "decided", decided
        question = decided
        turn = self._turn_of(lease, place, rules, question)
        facts = self._facts(lease)
        if turn.attempt == 1 and not lease.history and lease.history is not None:
            self._publish("session:start", facts)
        told = {"user_name": turn.user_name, "message": turn.text[:TOLD]}
        self._publish("agent:start", facts, told, attempt=turn.attempt)
        try:
            asked, answer, handle = self._asking.ask(
                self._agent(turn), turn, self._progress(lease, place), rules.timeout
            )
        except AgentError as error:
            return self._apology(lease, place, rules, replace(question, text=turn.asked), error)
        told["response"] = answer.text[:TOLD]
        self._publish("agent:end", facts, told, outcome="answered", usage=answer.usage)
        self._spent(lease.inbound.peer, answer.usage)
        self.questions.settled(lease.session_id)
        history = (Message("user", asked), Message("assistant", answer.text))
        text = remarked(answer.text, answer.media, turn.attachments if self._media else (), rules.locale)
        end = TurnEnd("done", history=history, usage=answer.usage, undo=question.again)
        try:
            return "answered", replace(end, parts=self._parts(place, lease, text, handle, answer.media))
        except ANYTHING as error:  # border: a renderer that fails must not leave the row leased
            self._log.exception("the answer of turn {} could not be rendered: this is a bug", turn.id)
            parts = self._line(lease, texts.say("failed", rules.locale), handle)
            reason = f"the answer could not be rendered: {error!r}"
            return "unrendered", replace(end, state="dead", reason=reason, parts=parts)

    def _decide(self, lease: Lease, place: Place, question: Question) -> Question | TurnEnd:
        """What the hooks of message:received make of a message: what to ask, or how its row ends."""
        if not self._hooks.listens("message:received"):
            return question
        inbound = lease.inbound
        told = {"user_name": inbound.peer.user_name, "text": question.text, "attachments": len(inbound.attachments)}
        told["quote"] = inbound.quote.text if inbound.quote is not None else None
        decision = self._hooks.decide("message:received", {**self._facts(lease), **told})
        if decision.kind == "allow":
            return question
        self._log.info("message {}: {} by the hook {}", inbound.message_id, decision.kind, decision.by)
        if decision.kind == "rewrite":
            return replace(question, text=decision.text)
        parts = self._parts(place, lease, decision.text) if decision.text else ()
        if decision.kind == "deny":
            parts = parts or self._closing(lease, place, self._rules())
            return TurnEnd("refused", reason=f"denied by the hook {decision.by}", parts=parts)
        self.questions.settled(lease.session_id)
        history = (Message("user", question.text), Message("assistant", decision.text))
        reason = f"answered by the hook {decision.by}"
        return TurnEnd("done", reason=reason, parts=parts, history=history, undo=question.again)

    def _edit(self, command: Command, lease: Lease, place: Place, rules: Rules) -> TurnEnd:
        """/new and /undo: what they do to the conversation, and say."""
        self.questions.settled(lease.session_id)
        if command.name == "new":
            self._publish("session:reset", self._facts(lease), why="asked")
            parts = self._parts(place, lease, texts.say("fresh", rules.locale))
            return TurnEnd("done", parts=parts, reset_session=True)
        known = bool(self._store.history(lease.session_id, 1))
        said = texts.say("undone" if known else "nothing_said", rules.locale)
        return TurnEnd("done", parts=self._parts(place, lease, said), undo=known)

    def _apology(
        self, lease: Lease, place: Place, rules: Rules, question: Question, error: AgentError
    ) -> tuple[str, TurnEnd]:
        """The agent failed: one line, and the question stays known to /retry."""
        told = "; ".join(filter(None, (error.text, error.action)))
        self._log.warning("turn {}: {}: {}", lease.turn_id, type(error).__name__, told)
        self._publish("agent:error", self._facts(lease), error=redact(str(error)))
        kind = "timeout" if isinstance(error, AgentTimeout) else "failed"
        left = self._asking.left(lease.turn_id)
        self.questions.failed(lease.session_id, question)
        handle = left.handle if left is not None else None
        parts = self._parts(place, lease, texts.say(kind, rules.locale), handle)
        return kind, TurnEnd("done", reason=f"agent: {error}", parts=parts)

    def _turn_of(self, lease: Lease, place: Place, rules: Rules, question: Question) -> Turn:
        inbound = lease.inbound
        peer = inbound.peer
        messages = lease.messages or (inbound,)
        media = self._media
        attachments = media_of(*messages) if media is None else media.of(place.adapter, *messages)
        return Turn(
            id=lease.turn_id,
            attempt=lease.attempt,
            session_id=sessions.name_of(lease),
            child=place.id,
            platform=place.platform,
            account=place.account,
            chat_id=peer.chat_id,
            chat_type=peer.chat_type,
            thread_id=peer.thread_id,
            user_id=peer.user_id,
            user_name=peer.user_name,
            text=question.text,
            attachments=attachments,
            history=tuple(within(question.history, rules.history_tokens)),
            locale=rules.locale,
            quote=inbound.quote if len(messages) == 1 else None,
            stale=lease.stale,
        )

    def _parts(
        self,
        place: Place,
        lease: Lease,
        text: str,
        handle: Mapping[str, Any] | None = None,
        media: tuple[Attachment, ...] = (),
    ) -> tuple[NewPart, ...]:
        inbound = lease.inbound
        handle = handle if handle is not None else _handle_of(lease)
        # A draft that this attempt opened has taken a reply number of its own.
        used = lease.seq_used + (1 if handle is not None and _handle_of(lease) is None else 0)
        reply = Reply(text, inbound.peer, inbound.reply_ref, media, used)
        first, *rest = render(place.adapter, reply, self._offhub)
        return (replace(first, handle=handle), *rest)

    def _line(self, lease: Lease, text: str, handle: Mapping[str, Any] | None) -> tuple[NewPart, ...]:
        """What is said in place of an answer, in its draft where there is one; nothing where that cannot be."""
        place = self._place(lease.inbound.peer.child)
        try:
            return self._parts(place, lease, text, handle) if place is not None else ()
        except ANYTHING:  # border: a renderer that fails must not leave the row leased
            self._log.exception("the end of turn {} could not be rendered: this is a bug", lease.turn_id)
            return ()

    def _facts(self, lease: Lease) -> dict[str, Any]:
        """The context of every message-bound hook."""
        inbound = lease.inbound
        place = self._place(inbound.peer.child)
        facts = facts_of(inbound.peer, place, lease.session_id, inbound.message_id, lease.turn_id)
        return {**facts, "stale": lease.stale}

    def _publish(
        self, event: str, facts: Mapping[str, Any], told: Mapping[str, Any] = EMPTY, **more: Any
    ) -> None:
        """``told``: what only hooks are told, because it quotes people."""
        context = {**facts, **more}
        self._hooks.fire(event, {**context, **told})
        self._bus.publish(event, **context)


def _handle_of(lease: Lease) -> Mapping[str, Any] | None:
    """The draft that an earlier attempt opened, if any."""
    return (lease.draft or {}).get("handle")
