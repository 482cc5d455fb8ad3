"""Asking: one call of an agent, from its first word to its last, or to where it was cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Sequence

import gevent

from hermes_green.core.errors import AgentError, TurnTimeout
from hermes_green.core.model import Attachment, Delta, Turn
from hermes_green.core.ports import Agent
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.drafts import Progress
from hermes_green.runtime.lanes import Parked

ANSWER_BOUND = 4 * 1024 * 1024
MEDIA_BOUND = 50
STEER_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a call leaves to whoever must end its turn otherwise than with its answer: what was asked, what had
    been answered, and the draft that showed some of it (None: there is none)."""

    asked: str
    said: str
    handle: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Call:
    turn: Turn
    agent: Agent
    pieces: list[str] = field(default_factory=list)
    steered: list[str] = field(default_factory=list)

    @property
    def asked(self) -> str:
        return "\n".join([self.turn.asked, *self.steered])


class Asking:
    """The calls under way, by the id of their turn, and what those have left whose turn is not over."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._calls: dict[str, _Call] = {}
        self._left: dict[str, Left] = {}

    def ask(
        self, agent: Agent, turn: Turn, progress: Progress, timeout: float
    ) -> tuple[str, Delta, Mapping[str, Any] | None]:
        """What was asked in the end, the whole answer as one delta, and the handle of the draft that showed it.

        Raises:
            AgentError: it failed or took longer than ``timeout`` seconds.
        """
        call = self._calls[turn.id] = _Call(turn, agent)
        limit = gevent.Timeout(timeout, TurnTimeout(f"no complete answer in {timeout:.0f} s"))
        limit.start()
        parked = False
        try:
            answer = _gather(agent.run(turn), call.pieces, progress.show)
        except AgentError:
            raise
        except Parked:
            parked = True
            raise
        except ANYTHING as error:  # border: an agent is foreign code
            self._log.exception("the agent crashed in turn {}", turn.id)
            raise AgentError(f"the agent crashed: {error!r}") from error
        finally:
            limit.close()
            del self._calls[turn.id]
            try:
                progress.end(hurry=parked)
            except gevent.GreenletExit as killed:
                # The chat stops what is all said: its draft is finished as if that had come earlier.
                progress.end(hurry=isinstance(killed, Parked))
                raise
            finally:
                self._left[turn.id] = Left(call.asked, "".join(call.pieces), progress.handle)
        return call.asked, answer, progress.handle

    def left(self, turn_id: str) -> Left | None:
        """What a call has left; told once."""
        return self._left.pop(turn_id, None)

    def steer(self, turn_id: str, text: str) -> bool:
        """Give a running agent one more message. False: it is over, or its agent does not take any."""
        call = self._calls.get(turn_id)
        if call is None or not getattr(call.agent, "steers", False):
            return False
        agent: Any = call.agent
        taken = False
        try:
            with gevent.Timeout(STEER_TIMEOUT, False):
                taken = bool(agent.steer(turn_id, text))
        except ANYTHING as error:  # border: an agent is foreign code
            self._log.warning("turn {}: its agent took no message: {!r}", turn_id, error)
        if taken:
            call.steered.append(text)
        return taken


def _gather(deltas: Iterable[Delta], pieces: list[str], show: Callable[[Sequence[str]], None]) -> Delta:
    """All deltas as one; an endless answer ends as an error, not as all our memory."""
    media: list[Attachment] = []
    size = 0
    usage: Mapping[str, Any] | None = None
    for delta in deltas:
        pieces.append(delta.text)
        media.extend(delta.media)
        size += len(delta.text)
        if size > ANSWER_BOUND or len(media) > MEDIA_BOUND:
            raise AgentError(f"the answer exceeds {ANSWER_BOUND} characters or {MEDIA_BOUND} files")
        usage = delta.usage or usage
        if delta.text:
            show(pieces)
    return Delta("".join(pieces), tuple(media), usage)
