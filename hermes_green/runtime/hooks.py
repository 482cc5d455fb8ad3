"""Hooks: what a user's code is told of, and what it may decide; with a deadline, named in every failure, never in
the way."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Literal, Mapping, Sequence

import gevent
from gevent.pool import Pool

# So many chats are told of at once, and so many notices wait for one of them; what is more is dropped and said so.
PARALLEL = 64
WAITING = 64
# A hook that failed to decide so often in a row is not asked for a while: each failure may have cost
# its message the whole deadline.
PATIENCE = 3
REST = 60.0
DECISIONS = ("allow", "deny", "rewrite", "answer")


@dataclass(frozen=True, slots=True)
class Hook:
    """One configured hook: ``event`` may end in ``:*``; ``run`` is ``pkg.mod:fn`` or an argument vector;
    ``timeout`` in seconds. ``call(event, context)`` runs it, blocking, gives what it answers and raises
    when it fails; killing it ends it. ``name``: what it is called in log and status."""

    event: str
    run: str | Sequence[str]
    call: Callable[[str, Mapping[str, Any]], Any]
    timeout: float = 5.0
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, or what it runs."""
        return self.name or str(self.run)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message. ``text``: what a denied sender is told ("": nothing), what the agent is
    asked instead, or the answer. ``by``: the hook that decided last, "" for none."""

    kind: Literal["allow", "deny", "rewrite", "answer"] = "allow"
    text: str = ""
    by: str = ""


@dataclass(slots=True)
class Tally:
    """How a hook has done since it was configured; ``late`` calls were cut off, ``row`` counts failures in
    a row, ``until`` is when a resting one is asked again (monotonic)."""

    calls: int = 0
    failed: int = 0
    late: int = 0
    row: int = 0
    until: float = field(default=0.0, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A notice on its way to a hook."""

    hook: Hook
    tally: Tally
    event: str
    context: Mapping[str, Any]


class Hooks:
    """Fires the hooks of an event, each until its deadline. What one hook is told of one chat it is told in
    the order in which it happened; chats do not wait for each other. Those of a decision are asked one
    after the other, by whoever waits for it."""

    def __init__(self, hooks: Sequence[Hook], log: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._pool = Pool(PARALLEL)
        # What waits, by hook and chat; a key is there while a greenlet tells of it.
        self._waiting: dict[tuple[str, ...], deque[Call]] = {}
        # Those of them that tell of the process itself, and of no chat or child.
        self._of_us: list[gevent.Greenlet] = []
        self._hooks: list[tuple[Hook, Tally]] = []
        self.replace(hooks)

    def replace(self, hooks: Sequence[Hook]) -> None:
        """Take other hooks from now on."""
        self._hooks = [(hook, Tally()) for hook in hooks]

    def listens(self, event: str) -> bool:
        """Whether any hook wants ``event``."""
        return bool(self._of(event))

    def fire(self, event: str, context: Mapping[str, Any]) -> None:
        """Tell the hooks of ``event``; returns at once."""
        about = str(context.get("child", "")), str(context.get("chat_id", ""))
        for hook, tally in self._of(event):
            call = Call(hook, tally, event, dict(context))
            waiting = self._waiting.get((hook.title, *about))
            if waiting is None and not self._pool.full():
                self._waiting[(hook.title, *about)] = deque((call,))
                greenlet = self._pool.spawn(self._tell, (hook.title, *about))
                greenlet.name = f"hook-{hook.title}"
                if not any(about):
                    self._of_us = [*(each for each in self._of_us if not each.dead), greenlet]
            elif waiting is not None and len(waiting) < WAITING:
                waiting.append(call)
            else:
                tally.failed += 1
                self._log.error("hook {} for {} dropped: too much is told already", hook.title, event)

    def decide(self, event: str, context: Mapping[str, Any]) -> Decision:
        """What the hooks of ``event`` make of the message whose ``text`` stands in ``context``: each is told
        what those before it made of it, and the first that denies or answers is the last. One that fails or
        is late has decided nothing. Waits, at most the sum of their deadlines."""
        decision = Decision()
        told = dict(context)
        for hook, tally in self._of(event):
            if tally.until > self._monotonic():
                continue
            found = self._ask(hook, tally, event, told)
            if found.kind in ("deny", "answer"):
                return found
            if found.kind == "rewrite":
                decision, told["text"] = found, found.text
        return decision

    def tallies(self) -> list[dict[str, Any]]:
        """Every hook with its counts, for the status."""
        return [
            {"event": hook.event, "hook": hook.title, "calls": tally.calls, "failed": tally.failed, "late": tally.late}
            for hook, tally in self._hooks
        ]

    def part(self, timeout: float) -> None:
        """Wait until hooks have been told of the process's own end, at most ``timeout`` seconds."""
        gevent.joinall(self._of_us, timeout=timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Let running hooks end within ``timeout``, then kill them."""
        self._pool.join(timeout=timeout)
        self._pool.kill(timeout=1)

    def _of(self, event: str) -> list[tuple[Hook, Tally]]:
        """Those of the very event first, then those of all of its kind."""
        whole = event.partition(":")[0] + ":*"
        exact = [pair for pair in self._hooks if pair[0].event == event]
        return exact + [pair for pair in self._hooks if pair[0].event == whole]

    def _tell(self, key: tuple[str, ...]) -> None:
        waiting = self._waiting[key]
        try:
            while waiting:
                call = waiting.popleft()
                self._one(call.hook, call.tally, call.event, call.context)
        finally:
            del self._waiting[key]

    def _one(self, hook: Hook, tally: Tally, event: str, context: Mapping[str, Any]) -> Any:
        """What it answers; None when it fails, which is said."""
        limit = gevent.Timeout(hook.timeout)
        tally.calls += 1
        try:
            with limit:
                answer = hook.call(event, context)
            tally.row = 0
            return answer
        except gevent.GreenletExit:
            raise
        except BaseException as error:  # border: a hook is foreign code, and may run in this process
            if error is not limit:
                said = str(error) if isinstance(error, Exception) else ""
                self._failed(hook, tally, event, said or repr(error))
                return None
            tally.late += 1
            tally.row += 1
            self._log.error("hook {} for {} was cut off after {} s", hook.title, event, hook.timeout)
        return None

    def _ask(self, hook: Hook, tally: Tally, event: str, context: Mapping[str, Any]) -> Decision:
        answer = self._one(hook, tally, event, dict(context))
        try:
            return decision_of(answer, hook.title)
        except ValueError as error:
            self._failed(hook, tally, event, error)
            return Decision()
        finally:
            if tally.row >= PATIENCE:
                tally.row, tally.until = 0, self._monotonic() + REST
                said = "hook {} for {} has failed {} times in a row: it is not asked for {:.0f} s"
                self._log.error(said, hook.title, event, PATIENCE, REST)

    def _failed(self, hook: Hook, tally: Tally, event: str, why: object) -> None:
        tally.failed += 1
        tally.row += 1
        self._log.error("hook {} for {} failed: {}", hook.title, event, why)


def decision_of(answer: Any, by: str) -> Decision:
    """The decision that a hook's answer means: nothing, or a mapping without ``decision``, allows.

    Raises:
        ValueError: it means none.
    """
    if answer is None:
        return Decision()
    if not isinstance(answer, Mapping):
        raise ValueError(f"it answered {type(answer).__name__}: nothing or a mapping with decision is wanted")
    kind, text = answer.get("decision", "allow"), answer.get("text", answer.get("message", ""))
    if kind not in DECISIONS:
        raise ValueError(f"the decision {str(kind)[:40]!r} is none of {', '.join(DECISIONS)}")
    if not isinstance(text, str):
        raise ValueError(f"the text of its decision is {type(text).__name__}: a string is wanted")
    if kind in ("rewrite", "answer") and not text.strip():
        raise ValueError(f"its decision {kind} has no text")
    return Decision(kind, text, by)
