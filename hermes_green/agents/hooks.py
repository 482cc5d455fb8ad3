"""Hooks' code, run where it cannot be in the way: in a worker, in a thread, as a program, or in a greenlet."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Literal, Mapping, Protocol, Sequence

from hermes_green.agents import calling
from hermes_green.agents.command import converse
from hermes_green.agents.pool import Pool
from hermes_green.agents.threads import Threads
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentFailed

WORKERS = 4
CALLS = 1000  # of one worker
_MORE = 1.0  # whoever fires a hook keeps its deadline; ours is only the last resort
_ANSWER = 1024 * 1024  # characters that are kept of what a program prints

Call = Callable[[str, Mapping[str, Any]], Any]


class HookOptions(Protocol):
    """What is read of a hook's settings; ``timeout`` in seconds."""

    @property
    def run(self) -> str | Sequence[str]: ...
    @property
    def timeout(self) -> float: ...
    @property
    def isolation(self) -> Literal["process", "thread", "greenlet"]: ...


class HookCalls:
    """All hooks of a configuration. Callables that run in processes share one pool of workers."""

    def __init__(self, hooks: Sequence[HookOptions], yard: Yard, log: Any) -> None:
        self._yard = yard
        outside = {hook.run for hook in hooks if isinstance(hook.run, str) and hook.isolation == "process"}
        threaded = any(isinstance(hook.run, str) and hook.isolation == "thread" for hook in hooks)
        self._pool = Pool(yard, "hooks", sorted(outside), log, workers=WORKERS, cap=0, calls=CALLS) if outside else None
        self._threads = Threads(WORKERS) if threaded else None

    def call(self, hook: HookOptions) -> Call:
        """A blocking call that gives what the hook answers, as JSON values or None, raises what the hook
        raises, and AgentError when it cannot run."""
        limit = hook.timeout + _MORE
        if not isinstance(hook.run, str):
            return lambda event, context: self._program(tuple(hook.run), event, context, limit)
        target = hook.run
        if hook.isolation == "process":
            return lambda event, context: self._outside(target, event, context, limit)
        self._yard.inside()
        if hook.isolation == "thread":
            return lambda event, context: self._thread(target, event, context, limit)
        return lambda event, context: calling.given(calling.resolve(target)(event, context))

    def close(self) -> None:
        """End what is idle; what runs ends by itself."""
        if self._pool is not None:
            self._pool.close()
        if self._threads is not None:
            self._threads.close()

    def _outside(self, target: str, event: str, context: Mapping[str, Any], limit: float) -> Any:
        assert self._pool is not None
        answer = None
        for frame in self._pool.call({"kind": "hook", "target": target, "event": event, "context": context}, limit):
            answer = frame.get("answer", answer)
        return answer

    def _thread(self, target: str, event: str, context: Mapping[str, Any], limit: float) -> Any:
        assert self._threads is not None
        until = time.monotonic() + limit
        thread = self._threads.borrow(limit)
        try:
            return thread.do(lambda: calling.given(calling.resolve(target)(event, context)), until)
        finally:
            thread.give_back()

    def _program(self, argv: Sequence[str], event: str, context: Mapping[str, Any], limit: float) -> Any:
        """A program answers with one JSON object; whatever else it prints is no answer."""
        said = json.dumps({"event": event, "context": dict(context)}, ensure_ascii=False, default=str)
        pieces, size = [], 0
        for piece in converse(self._yard, argv, said, limit):
            size += len(piece)
            if size <= _ANSWER:
                pieces.append(piece)
        printed = "".join(pieces).strip()
        if not printed.startswith("{"):
            return None
        try:
            return json.loads(printed)
        except (ValueError, RecursionError):
            raise AgentFailed(f"it printed what begins like JSON and is none: {printed[:100]}") from None
