"""The queue of updates of the simulated Telegram, and the connections it is polled over.

Source: tdlib/telegram-bot-api Client.cpp (process_get_updates_query, do_get_updates,
abort_long_poll) and td/db/TQueue (which offsets are believed).
"""

from __future__ import annotations

import socket as plain_socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, cast

import gevent
from gevent.event import Event as Signal

from hermes_green.sim.kit_http import Answer, Cut, HttpConnection, Request, reset, shut
from hermes_green.sim.kit_ws import Link
from hermes_green.sim.telegram_replies import fail, ok

if TYPE_CHECKING:
    from hermes_green.sim.telegram import TelegramSim

LONGEST = 50
AHEAD = 10  # an offset further ahead of the queue's end than this is not believed
ABORT_EVERY = 3.0
_TICK = 0.05
# What is sent unless a client asks for other kinds.
BY_DEFAULT = frozenset(
    "message edited_message channel_post edited_channel_post inline_query chosen_inline_result callback_query"
    " shipping_query pre_checkout_query poll poll_answer my_chat_member chat_join_request".split()
)
OTHERS = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"


@dataclass(frozen=True, slots=True)
class Pending:
    """An update that nobody has confirmed."""

    id: int
    update: Mapping[str, Any]
    chat: str
    message_id: str
    at: float


class Poller:
    """A connection that is polled over: in ``sim.links`` where other platforms have sockets."""

    def __init__(self, number: int, connection: HttpConnection) -> None:
        self.id = number
        self.connection = connection
        self.opened = time.monotonic()
        self.wake = Signal()
        self.gone = False
        self.ending = ""
        self.status = 0
        self.conflict_at: float | None = None

    def rst(self) -> None:
        """Cut with RST."""
        self._end("rst")
        reset(self.connection.sock)

    def fin(self) -> None:
        """End the stream; the client's own end is awaited for 2 s."""
        self._end("fin")
        try:
            self.connection.sock.shutdown(plain_socket.SHUT_WR)
        except OSError:
            pass
        gevent.spawn_later(2.0, shut, self.connection.sock)

    def close(self, code: int = 500, reason: str = "") -> None:
        """Answer its poll (or its next) with this HTTP status."""
        self.status = code
        self.wake.set()

    def _end(self, how: str) -> None:
        self.ending = self.ending or how
        self.gone = True
        self.wake.set()


class Feed:
    """Everything about getUpdates."""

    def __init__(self, sim: TelegramSim) -> None:
        self._sim = sim
        self._queue: list[Pending] = []
        self._again: list[Pending] = []
        self._seen: list[Pending] = []
        self._pollers: dict[HttpConnection, Poller] = {}
        self._waiting: Poller | None = None
        self._numbers = 0
        self._next = sim.options.first_update
        self._confirmed = 0
        self._served: set[int] = set()
        self._replayed: set[int] = set()
        self._last_offset: int | None = None
        self._last_start = 0.0
        self._last_abort = -ABORT_EVERY
        self.allowed: frozenset[str] = BY_DEFAULT
        self.webhook = ""

    # -- what happens

    def put(self, kind: str, body: Any, chat: str, message_id: str) -> int:
        """Queue one update for whoever polls; its id, 0 when its kind was not asked for."""
        if kind not in self.allowed:
            self._sim.log.add("unwanted", update=kind, chat=chat, message_id=message_id)
            return 0
        pending = Pending(self._next, {"update_id": self._next, kind: body}, chat, message_id, time.monotonic())
        self._next += 1
        self._queue.append(pending)
        if self._sim.faults.take("duplicate") is not None:
            self._again.append(pending)
        self._wake()
        return pending.id

    def again(self) -> None:
        """Deliver what is unconfirmed, or the last that was, once more."""
        self._again += self._queue[:] or self._seen[-1:]
        self._wake()

    def drop(self) -> None:
        """Forget all that is pending, as a client asked."""
        if self._queue:
            self._sim.violation(f"{len(self._queue)} pending updates were thrown away")
        self._queue.clear()

    @property
    def pending(self) -> int:
        """Updates that nobody has confirmed."""
        return len(self._queue)

    def _wake(self) -> None:
        for poller in self._pollers.values():
            poller.wake.set()

    # -- connections

    def known(self, connection: HttpConnection | None) -> bool:
        """It has been polled over before."""
        return connection in self._pollers

    def disconnected(self, connection: HttpConnection) -> None:
        """A TCP connection is over."""
        poller = self._pollers.pop(connection, None)
        if poller is None:
            return
        poller.gone = True
        poller.wake.set()
        self._sim.links.remove(cast(Link, poller))
        self._sim.log.add("close", link=poller.id, how=poller.ending or "client", code=None, reason="")

    def _poller(self, connection: HttpConnection) -> Poller:
        poller = self._pollers.get(connection)
        if poller is None:
            self._numbers += 1
            poller = self._pollers[connection] = Poller(self._numbers, connection)
            # Polls stand where other platforms have sockets.
            self._sim.links.append(cast(Link, poller))
            self._sim.log.add("open", link=poller.id)
        return poller

    # -- getUpdates

    def poll(self, request: Request, params: Mapping[str, Any]) -> Answer:
        """Answer one getUpdates, when there is something to answer."""
        assert request.connection is not None
        if self.webhook:
            return fail(409, WEBHOOK)
        self._allow(params.get("allowed_updates"))
        offset, limit, timeout = (self._number(params, name) for name in ("offset", "limit", "timeout"))
        limit = limit if 0 < limit <= 100 else 100
        limit, timeout = self._guarded(offset, limit, max(0, min(LONGEST, timeout)))
        poller = self._poller(request.connection)
        self._confirm(offset)
        self._sim.log.add("beat", link=poller.id, offset=offset, limit=limit, timeout=timeout)
        if not (self._queue or self._again) and timeout:
            self._displace(poller)
            self._waiting = poller
        watcher = gevent.spawn(self._watch, poller)
        try:
            return self._hold(poller, limit, time.monotonic() + timeout)
        finally:
            watcher.kill()
            if self._waiting is poller:
                self._waiting = None

    def _watch(self, poller: Poller) -> None:
        poller.connection.until_gone()
        poller.gone = True
        poller.wake.set()

    def _hold(self, poller: Poller, limit: int, until: float) -> Answer:
        while True:
            if poller.gone:
                raise Cut(reset=False)
            left = until - time.monotonic()
            if not self._deaf(poller):
                refused = self._refused(poller)
                if refused is not None:
                    return refused
                batch = self._take(limit)
                if batch or left <= 0:
                    return ok([pending.update for pending in batch])
            poller.wake.clear()
            poller.wake.wait(min(_TICK, left) if left > 0 else _TICK)

    def _deaf(self, poller: Poller) -> bool:
        """A fault keeps this poll from being answered."""
        faults = self._sim.faults
        half_open = faults.on("half_open")
        dead = half_open is not None and poller.opened < half_open.since
        return dead or faults.on("mute_acks") is not None or faults.on("stop_reading") is not None

    def _refused(self, poller: Poller) -> Answer | None:
        if poller.status:
            status, poller.status = poller.status, 0
            return self._sim.error_of(status)
        if poller.conflict_at is not None and time.monotonic() >= poller.conflict_at:
            poller.conflict_at = None
            return fail(409, OTHERS)
        if self._waiting is poller and self._sim.rival():
            self._sim.log.add("conflict", link=poller.id)
            return fail(409, OTHERS)
        return None

    def _displace(self, newcomer: Poller) -> None:
        """The poll that waits is aborted by a new one that must wait; at most one at once per 3 s."""
        older = self._waiting
        if older is None or older is newcomer or older.gone:
            return
        now = time.monotonic()
        older.conflict_at = now if now - self._last_abort >= ABORT_EVERY else now + ABORT_EVERY
        self._last_abort = now
        self._sim.log.add("conflict", link=older.id)
        older.wake.set()

    def _guarded(self, offset: int, limit: int, timeout: int) -> tuple[int, int]:
        """Limit and timeout for a client that asks for the same again."""
        now, options = time.monotonic(), self._sim.options
        if offset == self._last_offset:
            since = now - self._last_start
            if timeout < 3 and since < options.guard_timeout:
                timeout = 3
            if since < options.guard_limit:
                limit = 1
        self._last_offset, self._last_start = offset, now
        return limit, timeout

    def _confirm(self, offset: int) -> None:
        """Forget what the offset says the client has."""
        if offset < 0:
            kept = self._queue[offset:]
            dropped = len(self._queue) - len(kept)
            if dropped:
                self._sim.violation(f"{dropped} pending updates were thrown away by a negative offset")
            self._queue = kept
        if offset <= 0 or offset > self._next + AHEAD:
            return
        if offset < self._confirmed and offset - 1 not in self._replayed:
            self._sim.violation("the offset went back", offset=offset, confirmed=self._confirmed)
        self._confirmed = max(self._confirmed, offset)
        done = [pending for pending in self._queue if pending.id < offset]
        self._queue = [pending for pending in self._queue if pending.id >= offset]
        for pending in done:
            if pending not in self._seen and pending.id not in self._served:
                self._sim.violation("an update was confirmed that was never delivered", update_id=pending.id)
            self._sim.log.add("ack", update_id=pending.id, message_id=pending.message_id, chat=pending.chat)
            self._sim.users.arrived(pending.chat, pending.message_id)

    def _take(self, limit: int) -> list[Pending]:
        oldest = time.monotonic() - self._sim.options.keep
        while self._queue and self._queue[0].at < oldest:
            lost = self._queue.pop(0)
            self._sim.log.add("lost", update_id=lost.id, message_id=lost.message_id, chat=lost.chat)
        extra, self._again = self._again, []
        fresh = self._queue[:limit]
        batch = sorted(fresh + extra, key=lambda pending: pending.id)
        if batch:
            self._served = {pending.id for pending in batch}
            self._replayed |= {pending.id for pending in extra}
            self._seen = [*self._seen, *fresh][-500:]
        for pending in batch:
            self._sim.log.add("push", update_id=pending.id, message_id=pending.message_id, chat=pending.chat)
        return batch

    def _allow(self, wanted: Any) -> None:
        """Remembered until it is said anew."""
        if isinstance(wanted, list):
            self.allowed = frozenset(map(str, wanted)) or BY_DEFAULT

    def _number(self, params: Mapping[str, Any], name: str) -> int:
        value = params.get(name, 0)
        try:
            if isinstance(value, float) or isinstance(value, bool):
                raise ValueError("not whole")
            return int(value)
        except (TypeError, ValueError):
            self._sim.violation(f"getUpdates with {name}={value!r}")
            return 0
