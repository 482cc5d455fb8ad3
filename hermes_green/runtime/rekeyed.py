"""Rekeyed: chats that go on under another id, so that whoever still knows the old one comes to the same conversation.

The store moves what is on disk; here is what this process does meanwhile. Nothing of it need outlive the process:
what comes after it finds all of it under the new id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.remembered import Remembered

# Chats whose old id is known; a platform tells of a change again where it matters.
CHATS = 1_000


class Rekeyed:
    """``moved(child, old, new)`` is told first, then ``look()`` has taken up what waits under the new id."""

    def __init__(self, moved: Callable[[str, str, str], None], look: Callable[[], None]) -> None:
        self._moved = moved
        self._look = look
        self._now: Remembered[tuple[str, str], str] = Remembered(CHATS)

    def tell(self, child: str, old: str, new: str) -> None:
        """A chat has another id now, and the store has committed it. Returns at once."""
        self._now[child, old] = new
        self._now.pop((child, new), None)
        self._moved(child, old, new)
        self._look()

    def peer(self, peer: Peer) -> Peer:
        """Where that is now."""
        new = self._now.get((peer.child, peer.chat_id))
        return peer if new is None else replace(peer, chat_id=new)

    def inbound(self, inbound: Inbound) -> Inbound:
        """A message as it counts: what was said under an id that its chat has no more was said under the new one,
        so that it waits for the turn that runs there."""
        peer = self.peer(inbound.peer)
        return inbound if peer is inbound.peer else replace(inbound, peer=peer)
