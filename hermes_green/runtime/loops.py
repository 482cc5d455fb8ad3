"""Loops: bots that answer each other stop by themselves, because no platform stops them."""

from __future__ import annotations

from collections import OrderedDict

from hermes_green.core.clock import Clock
from hermes_green.core.model import Inbound

# Messages of bots that are answered in a chat before a person must have written there, or so many seconds
# have passed since the first of them.
MOST = 10
SECONDS = 3_600.0
# Chats that are counted; beyond them whichever was quiet longest is forgotten.
CHATS = 5_000


class Loops:
    """Counts, for each chat, what bots have said since a person last did."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._chats: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def passes(self, inbound: Inbound) -> bool:
        """Whether ``admit`` would let it pass; counts nothing."""
        return not inbound.bot or self._count(inbound)[1] < MOST

    def admit(self, inbound: Inbound) -> bool:
        """Count a message that may have a turn otherwise; False: it must not have one."""
        chat = inbound.peer.child, inbound.peer.chat_id
        if not inbound.bot:
            self._chats.pop(chat, None)
            return True
        since, count = self._count(inbound)
        if count >= MOST:
            return False
        self._chats[chat] = since, count + 1
        self._chats.move_to_end(chat)
        if len(self._chats) > CHATS:
            self._chats.popitem(last=False)
        return True

    def _count(self, inbound: Inbound) -> tuple[float, int]:
        """Since when, and how many."""
        now = self._clock.monotonic()
        since, count = self._chats.get((inbound.peer.child, inbound.peer.chat_id), (now, 0))
        return (since, count) if now - since < SECONDS else (now, 0)
