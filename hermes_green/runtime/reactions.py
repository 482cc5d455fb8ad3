"""Reactions: what hooks are told of them; no agent is asked, and nothing is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Mapping

import gevent
from gevent.pool import Pool

from hermes_green.core.errors import HermesError
from hermes_green.core.model import Inbound, Peer, Quote
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.events import Bus
from hermes_green.runtime.facts import facts_of
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.turn import Place

EVENT = "message:reaction"
# Questions at a time to platforms that do not say in which chat somebody has reacted; beyond them hooks are
# told without.
ASKING = 8
TIMEOUT = 4.0


class Reactions:
    """``place(child)`` finds the child, ``session(peer)`` names the conversation."""

    def __init__(
        self, hooks: Hooks, bus: Bus, log: Any, place: Callable[[str], Place | None], session: Callable[[Peer], str]
    ) -> None:
        self._hooks = hooks
        self._bus = bus
        self._log = log
        self._place = place
        self._session = session
        self._pool = Pool(ASKING)

    def tell(self, inbound: Inbound) -> None:
        """Tell who listens; returns at once."""
        place = self._place(inbound.peer.child)
        caps = place.adapter.caps.of(inbound.peer.chat_type) if place is not None else None
        ask = inbound.quote is not None and bool(inbound.quote.ref) and self._hooks.listens(EVENT)
        if ask and caps is not None and caps.quotes and not self._pool.full():
            self._pool.spawn(self._ask, place, inbound).name = f"reaction-{inbound.peer.child}"
        else:
            self._fire(place, inbound)

    def close(self) -> None:
        """Ask no more."""
        self._pool.kill(block=False)

    def _ask(self, place: Any, inbound: Inbound) -> None:
        assert inbound.quote is not None
        try:
            with gevent.Timeout(TIMEOUT, HermesError(f"not told within {TIMEOUT:.0f} s")):
                told: Quote = place.adapter.quoted(inbound.quote.ref)
            inbound = replace(inbound, quote=told)
        except HermesError as error:
            self._log.info("what somebody has reacted to is not known: {}", error)
        except ANYTHING:  # border: an adapter's question must not cost the notice
            self._log.exception("asking what somebody has reacted to failed: this is a bug")
        self._fire(place, inbound)

    def _fire(self, place: Place | None, inbound: Inbound) -> None:
        facts: dict[str, Any] = facts_of(inbound.peer, place, self._session(inbound.peer), inbound.message_id)
        if not inbound.peer.chat_id:
            # The platform does not say where; the kind of chat was for the rules of access.
            facts |= dict.fromkeys(("chat_type", "session_id", "session_key"))
            facts["chat_id"] = inbound.quote.chat_id or None if inbound.quote is not None else None
        self._bus.publish(EVENT, **facts)
        self._hooks.fire(EVENT, {**facts, **_told(inbound)})


def _told(inbound: Inbound) -> Mapping[str, Any]:
    assert inbound.reaction is not None
    quote = inbound.quote.text if inbound.quote is not None and inbound.quote.text else None
    emoji, added = inbound.reaction.emoji, inbound.reaction.added
    return {"user_name": inbound.peer.user_name, "emoji": emoji, "added": added, "quote": quote}
