"""Python: a callable of the user's answers: in a process of its own, in a thread, or in the turn's greenlet."""

from __future__ import annotations

import time
from typing import Any, Iterator, Literal, Protocol

import gevent

from hermes_green.agents import calling, frames
from hermes_green.agents.pool import Pool
from hermes_green.agents.threads import Threads
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentError, AgentFailed, AgentTimeout
from hermes_green.core.model import Delta, Turn

PIECES = 100_000  # of one answer; more is no answer but a flood
_END = object()


class PythonOptions(Protocol):
    """What the agent reads of its settings; ``timeout`` in seconds."""

    @property
    def target(self) -> str: ...
    @property
    def isolation(self) -> Literal["process", "thread", "greenlet"]: ...
    @property
    def workers(self) -> int: ...
    @property
    def worker_max_rss_mb(self) -> float: ...
    @property
    def max_turns_per_worker(self) -> int: ...
    @property
    def timeout(self) -> float: ...


class InProcess:
    """``isolation: process``: whatever the code does, it is one failed turn."""

    def __init__(self, options: PythonOptions, log: Any, yard: Yard) -> None:
        self._options = options
        self._pool = Pool(
            yard,
            options.target,
            [options.target],
            log,
            workers=options.workers,
            cap=options.worker_max_rss_mb,
            calls=options.max_turns_per_worker,
        )

    def run(self, turn: Turn) -> Iterator[Delta]:
        """Raises AgentTimeout, AgentFailed."""
        ask = {"kind": "turn", "target": self._options.target, "turn": frames.turn_out(turn)}
        try:
            for count, frame in enumerate(self._pool.call(ask, self._options.timeout)):
                if count >= PIECES:
                    raise AgentFailed(f"its answer came in more than {PIECES} pieces")
                yield frames.delta_in(frame)
        except frames.BadFrames as error:
            raise AgentFailed(str(error)) from None
        except AgentError as error:
            raise _named(error, self._options.target) from None

    def close(self) -> None:
        """End the workers."""
        self._pool.close()


class InThread:
    """``isolation: thread``: for code that waits in the kernel; see `Threads` for the limits."""

    def __init__(self, options: PythonOptions, log: Any) -> None:
        self._options = options
        self._log = log
        self._threads = Threads(options.workers)

    def run(self, turn: Turn) -> Iterator[Delta]:
        """Raises AgentTimeout, AgentFailed."""
        until = time.monotonic() + self._options.timeout
        thread = self._threads.borrow(self._options.timeout)
        try:
            fn = thread.load(self._options.target, until)
            answer = thread.do(lambda: calling.deltas(fn(turn)), until)
            while (delta := thread.do(lambda: next(answer, _END), until)) is not _END:
                yield delta
        except (AgentError, GeneratorExit, gevent.GreenletExit):
            raise
        except BaseException as error:  # border: foreign code, SystemExit included
            raise self._failed(error) from None
        finally:
            thread.give_back()

    def close(self) -> None:
        """End the idle threads."""
        self._threads.close()

    def _failed(self, error: BaseException) -> AgentFailed:
        self._log.opt(exception=error).warning("{} failed", self._options.target)
        return AgentFailed(f"{self._options.target}: {calling.sentence(error)}", code="raised")


class InGreenlet:
    """``isolation: greenlet``: for code that waits on sockets alone; anything else stops every link."""

    def __init__(self, options: PythonOptions, log: Any) -> None:
        self._options = options
        self._log = log

    def run(self, turn: Turn) -> Iterator[Delta]:
        """Raises AgentTimeout, AgentFailed."""
        seconds = self._options.timeout
        until = time.monotonic() + seconds
        late = AgentTimeout(f"{self._options.target}: no complete answer in {seconds:g} s")
        try:
            with gevent.Timeout(seconds, late):
                answer = calling.deltas(calling.resolve(self._options.target)(turn))
            while True:
                with gevent.Timeout(max(0.001, until - time.monotonic()), late):
                    delta = next(answer, _END)
                if not isinstance(delta, Delta):
                    return
                yield delta
        except (AgentError, GeneratorExit, gevent.GreenletExit):
            raise
        except BaseException as error:  # border: foreign code, SystemExit included
            self._log.opt(exception=error).warning("{} failed", self._options.target)
            raise AgentFailed(f"{self._options.target}: {calling.sentence(error)}", code="raised") from None

    def close(self) -> None:
        """Nothing to free."""


def _named(error: AgentError, target: str) -> AgentError:
    return type(error)(f"{target}: {error.text}", code=error.code, action=error.action)


def create(options: PythonOptions, log: Any, yard: Yard) -> InProcess | InThread | InGreenlet:
    """As ``isolation`` says."""
    if options.isolation == "process":
        return InProcess(options, log, yard)
    yard.inside()
    return InThread(options, log) if options.isolation == "thread" else InGreenlet(options, log)
