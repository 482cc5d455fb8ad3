"""Facts: what every hook is told of a message that something has happened to, or of the answer to it."""

from __future__ import annotations

from typing import Any, Protocol

from hermes_green.core.model import Peer


class Place(Protocol):
    """The child it came through."""

    platform: str
    account: str


def facts_of(
    peer: Peer, place: Place | None, session_id: str, message_id: str | None, turn_id: str | None = None
) -> dict[str, Any]:
    """``place``: None where the child is not configured any more."""
    return {
        "child": peer.child,
        "platform": place.platform if place is not None else None,
        "account": place.account if place is not None else None,
        "chat_id": peer.chat_id,
        "chat_type": peer.chat_type,
        "thread_id": peer.thread_id,
        "user_id": peer.user_id,
        "session_id": session_id,
        "session_key": session_id,  # as hooks that were written for Hermes Agent know it
        "message_id": message_id,
        "turn_id": turn_id,
    }
