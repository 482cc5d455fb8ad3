"""Whose turn it is to speak in a chat, for simulators that let users wait for one another."""

from __future__ import annotations

from collections import deque


class Turns:
    """Lets a chat's next message go only when the one before is over: it has arrived or was given up.

    What counts as arrived is the platform's to say.
    """

    def __init__(self, on: bool) -> None:
        self.on = on
        self._out: dict[str, str] = {}
        self._waiting: dict[str, deque[tuple[str, object]]] = {}

    def may_go(self, chat: str, message_id: str, message: object) -> bool:
        """Whether it goes now; else it is kept until ``over`` hands it back."""
        if not self.on:
            return True
        if chat in self._out:
            self._waiting.setdefault(chat, deque()).append((message_id, message))
            return False
        self._out[chat] = message_id
        return True

    def over(self, chat: str, message_id: str) -> object | None:
        """The message has arrived or was given up: the chat's next, which goes now."""
        if self._out.get(chat) != message_id:
            return None
        queue = self._waiting.get(chat)
        if not queue:
            del self._out[chat]
            return None
        self._out[chat], following = queue.popleft()
        if not queue:
            del self._waiting[chat]
        return following

    @property
    def held(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._waiting.values())
