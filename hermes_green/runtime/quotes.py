"""Quotes: what the messages of a turn answer or quote, asked of the platform where the frames did not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gevent

from hermes_green.core.errors import HermesError
from hermes_green.core.model import Inbound, Quote
from hermes_green.core.ports import Adapter, Lease
from hermes_green.runtime.borders import ANYTHING
from hermes_green.runtime.commands import spoken

# Seconds for all questions of one turn: an answer without the quotation is better than a late one.
TIMEOUT = 4.0


class Quotes:
    """Never in the way: what cannot be told is left out, and why is in the log."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def bring(self, adapter: Adapter, lease: Lease) -> Lease:
        """The lease with what its messages quote. Waits for at most ``TIMEOUT`` seconds."""
        messages = lease.messages or (lease.inbound,)
        if all(each.quote is None for each in messages):
            return lease
        begun = bool(lease.history)
        limit = gevent.Timeout.start_new(TIMEOUT)
        found: dict[int, Inbound] = {}
        try:
            for place, each in enumerate(messages):
                found[place] = replace(each, quote=self._known(adapter, each, begun))
        except ANYTHING as error:
            if error is limit:
                self._log.warning("what a message quotes was not told within {:.0f} s", TIMEOUT)
            else:  # border: as in ``_asked``
                self._log.exception("asking what a message quotes failed: this is a bug")
        finally:
            limit.close()
        known = [found.get(place, replace(each, quote=None)) for place, each in enumerate(messages)]
        answered = known[messages.index(lease.inbound)] if lease.inbound in messages else lease.inbound
        return replace(lease, inbound=answered, messages=tuple(known) if lease.messages else ())

    def _known(self, adapter: Adapter, inbound: Inbound, begun: bool) -> Quote | None:
        quote = inbound.quote
        if quote is None or (quote.opens and begun):
            return None
        if quote.ref:
            quote = self._asked(adapter, inbound, quote)
        return quote if quote is not None and (quote.text or quote.attachments) else None

    def _asked(self, adapter: Adapter, inbound: Inbound, quote: Quote) -> Quote | None:
        if not adapter.caps.of(inbound.peer.chat_type).quotes:
            return quote
        source: Any = adapter
        try:
            told: Quote = source.quoted(quote.ref)
            return replace(told, message_id=quote.message_id, opens=quote.opens)
        except HermesError as error:
            self._log.info("what a message quotes is not known: {}", error)
        except Exception:  # border: an adapter's question must not cost the answer
            self._log.exception("asking what a message quotes failed: this is a bug")
        return quote


def said(inbound: Inbound) -> str:
    """A message among others, after what it quotes."""
    text = spoken(inbound.text)
    return inbound.quote.before(text) if inbound.quote is not None else text
