"""What the people on a simulated platform see of the bot in the end, told from the record."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

# Growing answers go by the id of their message, their card or their stream.
_NEW = frozenset({"send", "draft", "stream", "edit", "patch", "card_update"})
_IDS = ("message_id", "track", "key")


def shown(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """chat -> the texts of the bot's messages that stand there, oldest first."""
    chats: dict[str, dict[str, str]] = {}
    for entry in entries:
        chat = str(entry.get("chat") or "")
        if not chat:
            continue
        id = next((str(entry[name]) for name in _IDS if entry.get(name)), f"n{entry['n']}")
        texts = chats.setdefault(chat, {})
        if entry["kind"] == "recall":
            texts.pop(id, None)
        elif entry["kind"] in _NEW and not (entry.get("duplicate") and id not in texts):
            texts[id] = str(entry.get("text", ""))
    return {chat: list(texts.values()) for chat, texts in chats.items()}
