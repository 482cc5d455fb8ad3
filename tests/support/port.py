"""FakePort, FakeContext and Run: the runtime's side of the seam, for tests of one adapter alone."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Callable, Mapping

import gevent
from gevent.event import Event
from gevent.queue import Queue
from loguru import logger

from hermes_green.core.errors import LinkLost, Throttled
from hermes_green.core.model import Inbound
from tests.support.stage import PATIENCE


def wait_for(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """The first truthy value of ``condition``; AssertionError where it has none after ``timeout`` seconds either."""
    deadline = time.monotonic() + timeout
    while True:
        over = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if over:
            raise AssertionError(f"waited {timeout} s for {what or condition}")
        gevent.sleep(0.005)


class FakeContext:
    """What an adapter is given for its life. It also holds what a store would keep between runs:
    ``keys`` already seen and committed ``memos``."""

    def __init__(self, child: str = "test", account: str = "", log: Any = None) -> None:
        self.child = child
        self.account = account
        self.log = log or logger.bind(child=child)
        self.keys: set[str] = set()
        self.memos: dict[str, Any] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.rejected: list[Exception] = []
        self.rekeyed: list[tuple[str, str]] = []
        self.hidden: list[str] = []

    def memo(self, name: str) -> Any:
        return self.memos.get(name)

    def count(self, name: str, outcome: str = "") -> None:
        self.counts[name, outcome] += 1

    def reject(self, error: Exception) -> None:
        self.rejected.append(error)

    def rekey(self, old: str, new: str) -> None:
        self.rekeyed.append((old, new))

    def hide(self, secret: str) -> None:
        self.hidden.append(secret)

    def beside(self, compute: Callable[..., Any], *values: Any) -> Any:
        return compute(*values)


class Kept:
    """A frame that was kept, and what became of it."""

    def __init__(self, raw: bytes | str) -> None:
        self.raw = raw
        self.state = "kept"

    def done(self) -> None:
        self.state = "done"

    def leave(self) -> None:
        self.state = "left"


class FakePort:
    """Records what a run says and commits at once, as a store would.

    ``accept`` only queues; the commit and the acks happen in order in a greenlet of their own,
    after ``commit_delay`` seconds. ``hold()`` stops committing, ``release()`` goes on. With ``full``
    set, ``accept`` raises LinkLost. ``budget`` maps a kind to the spends left (kinds not listed are
    free); a spent one raises Throttled.
    """

    def __init__(self, ctx: FakeContext | None = None, number: int = 1, commit_delay: float = 0.0) -> None:
        self.ctx = ctx or FakeContext()
        self.number = number
        self.commit_delay = commit_delay
        self.full = False
        self.budget: dict[str, int] = {}
        self.ended = False
        self.accepted: list[Inbound] = []
        self.duplicates: list[Inbound] = []
        self.offered: list[Inbound] = []
        self.memo_writes: list[Mapping[str, Any]] = []
        self.quarantined: list[tuple[bytes | str, Exception]] = []
        self.readies: list[tuple[str, Any]] = []
        self.proof_within: float | None = None
        self.kept: list[Kept] = []
        self.beats = 0
        self.heartbeats: Counter[str] = Counter()
        self.retired: list[float] = []
        self.spent: list[str] = []
        self.acks: list[bool] = []
        self._close: Callable[[], None] | None = None
        self._open = Event()
        self._open.set()
        self._queue: Queue = Queue()
        self._committer = gevent.spawn(self._commit)

    # --- what adapters call --------------------------------------------------------------------

    def accept(
        self,
        inbound: Inbound | None,
        ack: Callable[[bool], None] | None = None,
        memo: Mapping[str, Any] | None = None,
    ) -> None:
        if self.full:
            raise LinkLost("intake full")
        if inbound is not None:
            self.offered.append(inbound)
        self._queue.put((inbound, ack, memo))

    def keep(self, raw: bytes | str) -> Kept:
        self.kept.append(Kept(raw))
        return self.kept[-1]

    def quarantine(self, raw: bytes | str, error: Exception, ack: Callable[[bool], None] | None = None) -> None:
        self.quarantined.append((raw, error))
        self._queue.put((None, ack, None))

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        if self.ended:
            raise LinkLost("run ended")
        self.proof_within = proof_within
        self.readies.append((who, link))

    def beat(self) -> None:
        self.beats += 1

    def heartbeat(self, outcome: str) -> None:
        self.heartbeats[outcome] += 1

    def retire(self, grace: float) -> None:
        if not self.readies:
            raise LinkLost("retired before ready")
        self.retired.append(grace)

    def spend(self, kind: str) -> None:
        if kind in self.budget:
            if self.budget[kind] <= 0:
                raise Throttled(f"{kind} budget spent", after=1.0)
            self.budget[kind] -= 1
        self.spent.append(kind)

    def on_close(self, fn: Callable[[], None]) -> None:
        self._close = fn

    # --- what tests call -----------------------------------------------------------------------

    @property
    def link(self) -> Any:
        """The link handed over last, or None."""
        return self.readies[-1][1] if self.readies else None

    @property
    def who(self) -> str:
        return self.readies[-1][0] if self.readies else ""

    def close(self) -> None:
        """End the run as the runtime would; once."""
        self.ended = True
        fn, self._close = self._close, None
        if fn is not None:
            fn()

    def hold(self) -> None:
        """Commit nothing until ``release``."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def stop(self) -> None:
        """End the committer greenlet."""
        self._committer.kill()

    def _commit(self) -> None:
        while True:
            inbound, ack, memo = self._queue.get()
            self._open.wait()
            if self.commit_delay:
                gevent.sleep(self.commit_delay)
            taken = self._keep(inbound, memo)
            if ack is not None:
                try:
                    ack(taken)
                    self.acks.append(taken)
                except LinkLost:
                    pass  # the platform will send the frame again on its next link

    def _keep(self, inbound: Inbound | None, memo: Mapping[str, Any] | None) -> bool:
        if memo:
            self.memo_writes.append(dict(memo))
            for name, value in memo.items():
                if value is None:
                    self.ctx.memos.pop(name, None)
                else:
                    self.ctx.memos[name] = value
        if inbound is None:
            return True
        if self.ctx.keys.intersection(inbound.keys):
            self.duplicates.append(inbound)
            return False
        self.ctx.keys.update(inbound.keys)
        self.accepted.append(inbound)
        return True


class Run:
    """One run of an adapter in its own greenlet, with its port."""

    def __init__(self, adapter: Any, ctx: FakeContext | None = None, port: FakePort | None = None, number: int = 1):
        self.port = port or FakePort(ctx, number)
        self.adapter = adapter
        self.error: BaseException | None = None
        self.ended_at: float | None = None
        self._greenlet = gevent.spawn(self._live)

    def _live(self) -> None:
        try:
            self.adapter.run(self.port)
        except Exception as error:  # the child's exit: whatever ended the run is what tests look at
            self.error = error
        finally:
            self.ended_at = time.monotonic()

    @property
    def ended(self) -> bool:
        return self._greenlet.dead

    def until_ready(self, timeout: float = PATIENCE) -> "Run":
        """Wait for ``ready``; the run's own error, if it ends first."""
        wait_for(lambda: self.port.readies or self._greenlet.dead, timeout, "ready")
        if not self.port.readies:
            raise self.error or AssertionError("the run ended without becoming ready")
        return self

    def until_end(self, timeout: float = PATIENCE) -> BaseException | None:
        """Wait for the end; the error, or None for a planned end."""
        self._greenlet.join(timeout)
        assert self._greenlet.dead, f"the run has not ended within {timeout} s"
        return self.error

    def close(self, timeout: float = PATIENCE) -> BaseException | None:
        """End the run as the runtime would and wait for it; always leaves no greenlet."""
        if not self._greenlet.dead:
            self.port.close()
            self._greenlet.join(timeout)
        died = self._greenlet.dead
        self._greenlet.kill()
        self.port.stop()
        assert died, f"the run has not ended {timeout} s after close"
        return self.error
