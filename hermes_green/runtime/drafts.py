"""Draft: the visible, unfinished reply of one turn. Its text may be lost, its existence may not.

The intention is written before the platform is asked, and the handle right after, so that a turn
that runs again finds its own bubble. The final text never comes from here: it is an outbox row
that carries the handle.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol, Sequence

import gevent
from gevent.event import Event

from hermes_green.core.errors import HermesError, SendError, SendRefused, SendRetry, SendUnknown, StoreError
from hermes_green.core.ports import Adapter, Lease, Store
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.gates import Gates

CALL_TIMEOUT = 15.0
# Seconds more for a bubble that may stand in the chat though nobody has said where.
AGAIN_TIMEOUT = 5.0
# Waiting this long for the first words spares short answers a bubble that is at once replaced.
FIRST_WAIT = 0.6
END_TIMEOUT = 2.0
HURRY = 0.5
# Update numbers of a later attempt lie above those of every earlier one.
ATTEMPT_STRIDE = 1_000_000


class Place(Protocol):
    """The child a draft is shown through."""

    id: str
    adapter: Adapter

    @property
    def link(self) -> Any: ...


class Draft:
    """One turn's draft: ``show(pieces)`` at any pace; updates leave newest first, one at a time.

    ``quiet()`` says whether an earlier reply to this chat is still under way: then no draft opens,
    because it would be read before that reply.
    """

    def __init__(
        self,
        lease: Lease,
        place: Place,
        store: Store,
        gates: Gates,
        wall: Callable[[], float],
        quiet: Callable[[], bool],
        log: Any,
    ) -> None:
        self.handle: Mapping[str, Any] | None = (lease.draft or {}).get("handle")
        self._pieces: Sequence[str] = ()
        self._lease = lease
        self._place = place
        self._store = store
        self._gates = gates
        self._wall = wall
        self._quiet = quiet
        self._log = log
        self._every = place.adapter.caps.of(lease.inbound.peer.chat_type).draft_every
        self._number = lease.attempt * ATTEMPT_STRIDE
        self._fresh = Event()
        self._over = False
        self._busy = False
        self._opening = False
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"draft-{lease.turn_id}"

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self._pieces)

    def show(self, pieces: Sequence[str]) -> None:
        """The pieces of the text so far; joined when an update leaves, so that it costs nothing before."""
        self._pieces = pieces
        self._fresh.set()

    def end(self, hurry: bool = False) -> None:
        """No more updates: one in flight is awaited shortly, so that the final text comes after it. A bubble
        that opens is awaited for as long as that may take: nobody would know of it, and it would stay empty.
        ``hurry``: the turn is parked, and opens its bubble again under the same key."""
        self._over = True
        self._fresh.set()
        if self._busy:
            patience = CALL_TIMEOUT + AGAIN_TIMEOUT if self._opening else END_TIMEOUT
            self._greenlet.join(timeout=HURRY if hurry else patience)
            self._greenlet.kill(timeout=1)
        else:
            # Whatever it waits for, it finds that all is over; to see it end would cost each answer a round of the hub.
            self._greenlet.kill(block=False)

    def _run(self) -> None:
        try:
            self._fresh.wait()
            if self.handle is None:
                gevent.sleep(FIRST_WAIT)
            while not self._over:
                self._fresh.clear()
                wait = self._step()
                if wait is None:
                    return
                gevent.sleep(wait)
                self._fresh.wait()
        except StoreError as error:
            self._log.debug("no draft: {}", error)
        except ANYTHING:  # border: an adapter's draft must not cost the answer
            self._log.exception("the draft of turn {} failed: this is a bug", self._lease.turn_id)

    def _step(self) -> float | None:
        """One update out. Seconds until the next may follow; None: drafts are over for this turn."""
        peer = self._lease.inbound.peer
        if self.handle is None and not self._quiet():
            self._fresh.set()
            return self._every
        self._gates.learn(self._place.adapter, self._place.id, peer.chat_id, peer.chat_type)
        wait = self._gates.enter(self._place.adapter, self._place.id, peer.chat_id, draft=True)
        if wait > 0:
            self._fresh.set()
            return wait
        self._busy = True
        try:
            self._update()
        except SendRefused as error:
            self._log.info("the platform takes no draft: {}", error)
            return None
        except SendRetry as error:
            # The final text must not run into the same wall.
            self._gates.close(self._place.id, peer.chat_id, error)
            self._fresh.set()
            return max(error.after, self._every)
        except (SendError, gevent.Timeout) as error:
            # A timeout that the adapter let out says as little of what the platform did as an answer that was lost.
            self._log.debug("a draft's update may be lost: {!r}", error)
        finally:
            self._busy = self._opening = False
        return self._every

    def _update(self) -> None:
        adapter: Any = self._place.adapter
        late = SendRetry(f"no answer in {CALL_TIMEOUT:.0f} s", after=self._every)
        if self.handle is None:
            with gevent.Timeout(CALL_TIMEOUT, late):
                intent = self._store.put_draft(self._lease, None, self._wall())
            self._opening = True
            self.handle, self._opening = self._opened(intent["key"], intent["reply_seq"]), False
            with gevent.Timeout(CALL_TIMEOUT, late):
                self._store.put_draft(self._lease, self.handle, self._wall())
            if self._over:
                return  # the whole text is about to follow
        self._number += 1
        with gevent.Timeout(CALL_TIMEOUT, late):
            adapter.draft_update(self.handle, self.text, self._number, self._place.link)

    def _opened(self, key: str, seq: int) -> Mapping[str, Any]:
        """The handle of a bubble that opens. Where no answer comes, it may stand in the chat all the same, empty
        for ever: the adapter is told that nobody knows (it may look, or refuse to open a second one), and is then
        asked once more under the same key. What even that leaves behind cannot be known: whoever was asked does
        not answer, and to hold the answer back for longer would be worse than an empty bubble beside it."""
        adapter: Any = self._place.adapter
        about = self._lease.inbound.peer, self._lease.inbound.reply_ref, key, seq
        unknown = SendUnknown(f"no answer in {CALL_TIMEOUT:.0f} s")
        with gevent.Timeout(CALL_TIMEOUT + AGAIN_TIMEOUT, SendUnknown("whether a draft is open is unknown")):
            try:
                with gevent.Timeout(CALL_TIMEOUT, unknown):
                    handle: Mapping[str, Any] = adapter.draft_open(*about, self._place.link)
            except (SendUnknown, gevent.Timeout) as error:
                self._log.debug("a draft's opening was not answered, it is asked for again: {!r}", error)
                handle = adapter.draft_open(*about, self._place.link)
        return handle


class Sign:
    """The working sign ("typing") of one turn; it ends with the turn, or with the process."""

    EVERY = 4.0

    def __init__(self, lease: Lease, place: Place, log: Any) -> None:
        self._lease = lease
        self._place = place
        self._log = log
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"typing-{lease.turn_id}"

    def end(self) -> None:
        """No more pulses."""
        self._greenlet.kill(block=False)

    def _run(self) -> None:
        adapter: Any = self._place.adapter
        while True:
            wait = self.EVERY
            try:
                with gevent.Timeout(CALL_TIMEOUT, False):
                    adapter.typing(self._lease.inbound.peer, self._place.link)
            except SendRetry as error:
                wait = max(wait, error.after)
            except (HermesError, gevent.Timeout) as error:
                self._log.debug("no working sign: {!r}", error)
            except ANYTHING:  # border: an adapter's sign must not cost the answer
                self._log.exception("the working sign failed: this is a bug")
                return
            gevent.sleep(wait)


class Progress:
    """What a chat sees of a turn that runs: a draft, a working sign, both or nothing."""

    def __init__(self, draft: Draft | None = None, sign: Sign | None = None) -> None:
        self._draft = draft
        self._sign = sign

    def show(self, pieces: Sequence[str]) -> None:
        """The pieces of the text so far."""
        if self._draft is not None:
            self._draft.show(pieces)

    @property
    def handle(self) -> Mapping[str, Any] | None:
        """The draft's; None: there is no draft to finish."""
        return self._draft.handle if self._draft is not None else None

    def end(self, hurry: bool = False) -> None:
        """End both; may be repeated."""
        if self._sign is not None:
            self._sign.end()
        if self._draft is not None:
            self._draft.end(hurry)
