"""How outbox rows are born: key, reply number and deadlines fixed once, in the transaction of their cause."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Sequence

from hermes_green.core.model import lane_of
from hermes_green.core.ports import NewPart
from hermes_green.store import codec, rules

_INSERT = (
    "INSERT INTO outbox (child, lane, chat_id, turn, ordinal, message_id, reply_seq, key, peer, payload, text, "
    "reply_ref, handle, not_after, key_lifetime, born_at, due_at, send_id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


@dataclass(frozen=True, slots=True)
class Birth:
    """A part as columns, made on the caller's side: what cannot be stored fails there, and alone."""

    child: str
    lane: str
    chat_id: str
    ordinal: int
    replied_to: str
    peer: str
    payload: str
    text: str
    reply_ref: str
    handle: str | None
    window: float | None
    key_lifetime: float | None

    @classmethod
    def of(cls, part: NewPart, ordinal: int) -> Birth:
        """The columns of a part."""
        return cls(
            child=codec.clean(part.peer.child),
            lane=codec.clean(lane_of(part.peer)),
            chat_id=codec.clean(part.peer.chat_id),
            ordinal=ordinal,
            replied_to=codec.clean(rules.replied_to(part)),
            peer=codec.dumps(codec.peer_json(part.peer)),
            payload=codec.dumps(part.payload),
            text=codec.clean(rules.text_of(part.payload)),
            reply_ref=codec.dumps(part.reply_ref),
            handle=codec.optional(part.handle),
            window=part.window,
            key_lifetime=part.key_lifetime,
        )

    def at(self, old: str, new: str) -> Birth:
        """The same; where it was for the chat ``old``, that has the id ``new`` by now."""
        if self.chat_id != old:
            return self
        return replace(self, chat_id=new, lane=new + self.lane[len(old) :])


def reply_numbers(connection: sqlite3.Connection, child: str, message_id: str, count: int, now: float) -> int:
    """The first of ``count`` reply numbers to a message, never allotted before."""
    ((used,),) = connection.execute(
        "INSERT INTO reply_number (child, message_id, used, at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (child, message_id) DO UPDATE SET used = used + excluded.used, at = excluded.at RETURNING used",
        (child, message_id, count, now),
    ).fetchall()
    return int(used) - count + 1


def bear(
    connection: sqlite3.Connection,
    births: Sequence[Birth],
    turn: str,
    message_id: str | None,
    sent_at: float | None,
    accepted_at: float,
    now: float,
    send_id: str | None = None,
) -> list[int]:
    """The new rows of one reply, in order. ``message_id``: the message replied to; None: each part's own."""
    rows: list[int] = []
    for birth in births:
        answered = birth.replied_to if message_id is None else message_id
        number = reply_numbers(connection, birth.child, answered, 1, now)
        cursor = connection.execute(
            _INSERT,
            (
                birth.child,
                birth.lane,
                birth.chat_id,
                turn,
                birth.ordinal,
                answered,
                number,
                rules.new_key(),
                birth.peer,
                birth.payload,
                birth.text,
                birth.reply_ref,
                birth.handle,
                rules.not_after(birth.window, sent_at, accepted_at),
                birth.key_lifetime,
                now,
                now,
                send_id,
            ),
        )
        rows.append(int(cursor.lastrowid or 0))
    return rows
