"""The rooms of the simulated Slack and what stands in them."""

from __future__ import annotations

import re
from typing import Any, Mapping

from hermes_green.sim.slack_events import SCENES, Message

_PERSON = re.compile(r"[UW][A-Z0-9]+")


class Chats:
    """Every chat the bot may see: its kind, its people, its messages by ts."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {chat: scene for scene, chat in SCENES.values() if chat}
        self._dms: dict[str, str] = {}
        self._messages: dict[str, dict[str, Message]] = {}
        self.closed: dict[str, str] = {}  # chat -> the error that posts there get

    def know(self, chat: str, scene: str, user: str) -> None:
        """A user has written in ``chat``, which is of the kind ``scene`` (a channel_type)."""
        self._kinds[chat] = scene
        if scene == "im":
            self._dms[user] = chat

    def dm_of(self, user: str) -> str:
        """The direct chat with a user."""
        return self._dms.get(user) or f"D{user.removeprefix('U')}"

    def kind(self, chat: str) -> str:
        """The chat's channel_type."""
        return self._kinds.get(chat, "im")

    def place(self, chat: str, *, people: bool) -> str:
        """The chat an id means, "" for none; ``people``: a user's id means the direct chat with them."""
        if people and _PERSON.fullmatch(chat) and chat not in self._kinds:
            opened = self.dm_of(chat)
            self.know(opened, "im", chat)
            return opened
        return chat if chat in self._kinds else ""

    def keep(self, message: Message) -> None:
        """A message was posted."""
        self._messages.setdefault(message.chat, {})[message.ts] = message

    def drop(self, message: Message) -> None:
        """A message was deleted."""
        self._messages.get(message.chat, {}).pop(message.ts, None)

    def find(self, chat: str, ts: str) -> Message:
        """A message. Raises KeyError."""
        return self._messages.get(chat, {})[ts]

    def has(self, chat: str, ts: str) -> bool:
        """Whether there is such a message."""
        return ts in self._messages.get(chat, {})

    def listed(self, chat: str, thread: str = "") -> list[Message]:
        """What history tells of a chat, newest first; of a thread, its root and replies, oldest first."""
        everything = sorted(self._messages.get(chat, {}).values(), key=lambda each: each.ts)
        if thread:
            return [each for each in everything if thread in (each.ts, each.thread)]
        return [each for each in reversed(everything) if not each.thread or each.thread == each.ts]


def page(listed: list[Message], fields: Mapping[str, Any]) -> dict[str, Any]:
    """One page of history, and the cursor of the next."""
    oldest, latest = str(fields.get("oldest") or "0"), str(fields.get("latest") or "9")
    fit = [each for each in listed if oldest < each.ts < latest or (each.ts == fields.get("ts"))]
    limit, start = min(999, int(fields.get("limit") or 100)), int(fields.get("cursor") or 0)
    shown = str(fields.get("include_all_metadata", "")).lower() in ("true", "1")
    told = [each.shown(shown) for each in fit[start : start + limit]]
    following = start + limit
    more = following < len(fit)
    return {
        "messages": told,
        "has_more": more,
        "response_metadata": {"next_cursor": str(following) if more else ""},
    }
