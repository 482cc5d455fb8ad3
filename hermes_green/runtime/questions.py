"""Questions: what a turn asks the agent: a message, several that are one turn, or the last one again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from hermes_green.core.model import Message, renamed
from hermes_green.core.ports import Lease, Store
from hermes_green.core.remembered import Remembered
from hermes_green.runtime.commands import recognise, spoken
from hermes_green.runtime.quotes import said

# Questions without an answer that /retry still knows, in as many conversations.
FAILED_BOUND = 1_000
# Chats whose old id a turn may still know that began under it.
MOVES_BOUND = 100


@dataclass(frozen=True, slots=True)
class Question:
    """The text, and the history it follows; ``again``: the last exchange gives way to this one."""

    text: str
    history: Sequence[Message]
    again: bool = False


class Questions:
    """Knows the history, and of each conversation the question that failed or was stopped since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failed: Remembered[str, str] = Remembered(FAILED_BOUND)
        self._moves: Remembered[tuple[str, str], str] = Remembered(MOVES_BOUND)

    def of(self, lease: Lease, turns: int) -> Question | None:
        """What to ask after ``turns`` exchanges of history; None: /retry, and nothing was asked before."""
        command = recognise(lease.inbound.text)
        history = lease.history
        if history is None:
            history = self._store.history(lease.session_id, turns)
        if command is None or command.name != "retry":
            return Question(text_of(lease), history)
        # What joined the turn while it ran is not part of the question that is asked again.
        later = [spoken(each.text) for each in lease.messages if each != lease.inbound]
        failed = self._failed.get(self._now(lease.session_id))
        if failed is not None:
            return Question("\n".join([failed, *later]), history)
        lines = self._store.history(lease.session_id, turns + 1)
        last = next((place for place in reversed(range(len(lines))) if lines[place].role == "user"), None)
        if last is None:
            return None
        return Question("\n".join([lines[last].text, *later]), lines[:last], again=True)

    def failed(self, session_id: str, question: Question | str) -> None:
        """It has no answer: /retry asks it again."""
        if isinstance(question, Question):
            if question.again:
                return  # the exchange it was to replace is still there
            question = question.text
        self.settled(session_id)  # what comes anew is forgotten last
        self._failed[self._now(session_id)] = question

    def settled(self, session_id: str) -> None:
        """The conversation has gone on, or begun anew."""
        self._failed.pop(self._now(session_id), None)

    def rekey(self, child: str, old: str, new: str) -> None:
        """A chat has another id: /retry is said under that one, whichever its question failed under."""
        self._moves.pop((child, new), None)
        self._moves[child, old] = new
        for before in list(self._failed):
            if (after := renamed(before, child, old, new)) != before:
                self._failed[after] = self._failed.pop(before)

    def _now(self, session_id: str) -> str:
        for (child, old), new in self._moves.items():
            session_id = renamed(session_id, child, old, new)
        return session_id


def text_of(lease: Lease) -> str:
    """What the messages of a turn say, in order, a line break between them. Where they are several, each
    comes after what it quotes; what a single one quotes, its turn tells."""
    if len(lease.messages) < 2:
        return spoken(lease.inbound.text)
    return "\n".join(filter(None, map(said, lease.messages)))
