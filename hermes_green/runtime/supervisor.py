"""Supervisor: one greenlet owns every child's state; everything reaches it through one mailbox."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import gevent
from gevent.event import AsyncResult, Event
from gevent.queue import Queue

from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError, IllegalMove, UnknownChild
from hermes_green.core.machine import State
from hermes_green.runtime.child import Child, Reason
from hermes_green.runtime.closing import Deadline
from hermes_green.runtime.witness import Witness

COMMAND_TIMEOUT = 10.0


class Supervisor:
    """Starts, stops and replaces children, one for one: nothing a child does touches a sibling.

    ``witness`` hears what the children tell.
    """

    def __init__(self, clock: Clock, log: Any, witness: Witness) -> None:
        self.witness = witness
        self.children: dict[str, Child] = {}
        self._clock = clock
        self._log = log
        self._mailbox: Queue[Callable[[], None]] = Queue()
        self._settled = Event()
        self._loop = gevent.spawn(self._run)
        self._loop.name = "supervisor"

    # --- any greenlet ---

    def post(self, message: Callable[[], None]) -> None:
        """Run ``message`` in the supervisor's greenlet, in order."""
        self._mailbox.put(message)

    def ask(self, work: Callable[[], Any], timeout: float = COMMAND_TIMEOUT) -> Any:
        """Run ``work`` in the supervisor's greenlet and wait for its answer or error."""
        answer: AsyncResult[Any] = AsyncResult()

        def message() -> None:
            try:
                answer.set(work())
            except Exception as error:  # border: the error belongs to whoever asked
                answer.set_exception(error)

        self.post(message)
        return answer.get(timeout=timeout)

    def child(self, id: str) -> Child:
        """The child by its id.

        Raises:
            UnknownChild: there is none.
        """
        try:
            return self.children[id]
        except KeyError:
            raise UnknownChild(id, tuple(self.children)) from None

    def add(self, child: Child, refused: HermesError | None = None) -> None:
        """Take a child in and start it, or halt it for a reason known beforehand."""

        def work() -> None:
            old = self.children.get(child.id)
            if old is not None and old.state is not State.STOPPED:
                old.stop()  # started again by somebody while it was being replaced
            self.children[child.id] = child
            self.witness.meters.link_up(child.id, False)
            if refused is None:
                child.start()
            else:
                child.reject(refused)

        self.ask(work)

    def command(self, id: str, verb: str) -> None:
        """``start``, ``stop`` or ``restart`` one child."""
        child = self.child(id)
        self.ask(getattr(child, {"start": "start", "stop": "stop", "restart": "restart"}[verb]))

    def state(self, id: str) -> str:
        """A child's state. Raises UnknownChild."""
        return str(self.child(id).state)

    def board(self) -> list[str]:
        """The children, a line each, with what keeps one from being READY."""
        lines = []
        for id, child in sorted(self.children.items()):
            why = "" if child.state is State.READY else child.reason.text
            lines.append(f"{id}: {child.state}" + (f" ({why})" if why else ""))
        return lines

    def halt(self, id: str, error: HermesError) -> None:
        """A credential or lock was refused outside a run."""
        child = self.children.get(id)
        if child is not None:
            self.post(lambda: child.reject(error))

    def retire(self, id: str, timeout: float = 8.0) -> Child:
        """Stop a child and wait until it is STOPPED; it is still found by its id."""
        child = self.child(id)
        self.ask(partial(child.stop, Reason("reconfigured", "its configuration has changed")))
        self._wait_for([child], timeout)
        return child

    def forget(self, id: str) -> None:
        """Give up a retired child."""
        del self.children[id]
        self.witness.meters.forget(id)

    def stop_all(self, timeout: float) -> None:
        """Close every link politely, all at once, in ``timeout`` seconds; who takes longer ends with the process."""
        end = Deadline(self._clock, timeout)
        children = list(self.children.values())
        for child in children:
            self.post(partial(child.stop, Reason("stopping", "the gateway stops")))
        try:
            self.ask(lambda: None, end.left())
        except gevent.Timeout:
            self._log.error("the supervisor's loop does not turn: its links end with the process")
            return
        self._wait_for(children, end.left())

    def ping(self) -> None:
        """A round trip through the mailbox; raises gevent.Timeout when the loop does not turn."""
        self.ask(lambda: None)

    def close(self) -> None:
        """End the loop; every child has been stopped."""
        self._loop.kill(timeout=2)

    def _wait_for(self, children: list[Child], timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        while any(child.state is not State.STOPPED for child in children):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                names = ", ".join(child.id for child in children if child.state is not State.STOPPED)
                self._log.error("not stopped in {:.0f} s: {}", timeout, names)
                return
            self._settled.clear()
            self._settled.wait(left)

    # --- the loop ---

    def _run(self) -> None:
        while True:
            message = self._mailbox.get()
            try:
                message()
            except IllegalMove as error:
                self._log.error("an event was dropped: {}", error)
            except Exception:  # border: a bug in one child's handling must not stop the others
                self._log.exception("the supervisor could not handle an event")
            self._settled.set()
