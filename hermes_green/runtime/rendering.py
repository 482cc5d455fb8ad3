"""Rendering: a reply as parts about to be born, each with the window and key lifetime of its kind of chat."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.model import Reply
from hermes_green.core.ports import Adapter, NewPart

# Rendering more than this costs the hub milliseconds, so it happens elsewhere.
RENDER_INLINE = 4_096


def render(adapter: Adapter, reply: Reply, offhub: Callable[..., Any]) -> tuple[NewPart, ...]:
    """The parts of a reply; ``offhub(fn, *args)`` runs a pure function elsewhere."""
    caps = adapter.caps.of(reply.peer.chat_type)
    large = len(reply.text) > RENDER_INLINE
    payloads = offhub(adapter.render, reply) if large else adapter.render(reply)
    return tuple(
        NewPart(
            peer=reply.peer,
            payload=payload,
            reply_ref=reply.reply_ref,
            window=caps.reply_window if reply.reply_ref else None,
            key_lifetime=caps.key_lifetime,
        )
        for payload in payloads
    )
