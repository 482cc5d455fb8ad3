"""View: what the people on a simulated platform see, read out of its record as bubbles in chats."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from hermes_green.sim.kit_record import Entry, Record

BOUND = 20_000
# Kinds of the record that put words before people, and those of them that are not an answer's end.
SHOWN = frozenset({"send", "edit", "patch", "draft", "stream", "welcome"})
GROWING = frozenset({"draft", "stream"})


class View:
    """Every bubble that stands in a chat: its latest words, and whether it still grows.

    A bubble is known by the platform's own id of the message, card or stream. What the platform recognised
    as sent before shows nothing new; what was recalled is ``gone``.
    """

    def __init__(self, log: Record) -> None:
        self._log = log
        self._read = 0
        self._bubbles: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def since(self, number: int = 0) -> dict[str, Any]:
        """``{now, bubbles: [{id, chat, text, growing, gone, changes, t, n}]}``: those that changed after
        entry ``number`` of the record, oldest first; ``t`` is when a bubble appeared."""
        for entry in self._log.since(self._read):
            self._note(entry)
        self._read = self._log.last
        return {"now": self._read, "bubbles": [each for each in self._bubbles.values() if each["n"] > number]}

    def _note(self, entry: Entry) -> None:
        kind, id = entry["kind"], _id_of(entry)
        known = self._bubbles.get(id)
        if kind == "recall" and known is not None:
            known.update(gone=True, growing=False, n=entry["n"])
        if kind not in SHOWN or (entry.get("duplicate") and known is not None):
            return
        if entry.get("duplicate") and kind == "send":
            return
        if known is None:
            known = self._bubbles[id] = {"id": id, "chat": entry["chat"], "changes": -1, "gone": False, "t": entry["t"]}
            while len(self._bubbles) > BOUND:
                self._bubbles.popitem(last=False)
        growing = bool(entry.get("growing", kind in GROWING))
        known.update(text=entry.get("text", ""), growing=growing, n=entry["n"], changes=known["changes"] + 1)


def _id_of(entry: Entry) -> str:
    own = entry.get("message_id") or entry.get("track") or entry.get("key") or f"entry {entry['n']}"
    return f"{entry.get('chat', '')} {own}"
