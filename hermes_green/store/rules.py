"""The rules of the queues that every store obeys, pure, so that no two stores can read them differently."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Iterable, Literal, Mapping, Sequence

from hermes_green.core.model import Inbound
from hermes_green.core.ports import NewPart, Sent

# A row in back-off lets other turns of its lane pass after this many seconds.
PASS_AFTER = 600.0
# A part being sent for longer than this is due again, and uncertain: its sender is gone.
SENDING_TTL = 600.0
# Larger frames are cut when they are put in quarantine.
QUARANTINE_BYTES = 1024 * 1024
# So many quarantined frames are kept whatever their age; the oldest go first.
QUARANTINE_ROWS = 10_000
# Rows of one kind that one call of ``prune`` deletes at most.
PRUNE_ROWS = 500

FOREVER = float("inf")
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Head:
    """What decides about one undelivered row of a lane: ``due``, and ``passable``, the wall time from
    which other turns may go first (``FOREVER`` for a row that is not in back-off)."""

    row: int
    turn: str
    due: float
    passable: float


# Rows that become one turn at most.
JOIN_ROWS = 64


def stands_alone(text: str) -> bool:
    """A message that begins with a slash is, or looks like, a command: it is joined to no other."""
    return text.lstrip().startswith(("/", "／"))


def kind_of(text: str, media: Iterable[str], reaction: bool = False) -> str:
    """What kind of thing a message is, without what it says."""
    if reaction:
        return "reaction"
    if stands_alone(text):
        return "command"
    kinds = sorted(set(media))
    return "+".join((["text"] if text or not kinds else []) + kinds)


def may_join(before: Inbound, after: Inbound, apart: float, most: float) -> bool:
    """Whether two messages of a session, ``apart`` seconds from each other, belong to one turn. One that
    addresses the bot and one that does not never do: the latter may be for others."""
    if before.reaction is not None or after.reaction is not None:
        return False
    same = before.peer.user_id == after.peer.user_id and before.peer.thread_id == after.peer.thread_id
    same = same and before.mentioned == after.mentioned
    return same and apart <= most and not stands_alone(before.text) and not stands_alone(after.text)


def head(row: int, turn: str, due: float, sending_until: float | None, stuck_at: float | None) -> Head:
    """The head of a stored row; ``stuck_at`` is when it first went into back-off."""
    if sending_until is not None:
        return Head(row, turn, sending_until, FOREVER)
    return Head(row, turn, due, FOREVER if stuck_at is None else stuck_at + PASS_AFTER)


def choose(rows: Iterable[Head], now: float) -> Head | float | None:
    """The row of a lane to send now, or when one is due, or None for an empty lane.

    ``rows`` are the lane's undelivered ones, oldest first. The first undelivered row of a turn
    stands for its turn; a turn waits for those before it until they are passable.
    """
    best: float | None = None
    barrier = -FOREVER
    turns: set[str] = set()
    for row in rows:
        if row.turn in turns:
            continue
        turns.add(row.turn)
        at = max(row.due, barrier)
        if at <= now:
            return row
        best = at if best is None else min(best, at)
        barrier = max(barrier, row.passable)
        if barrier == FOREVER:
            break
    return best


def due(rows: Iterable[Head]) -> float | None:
    """When a lane's next part is due, or None for an empty lane."""
    found = choose(rows, -FOREVER)
    return found.due if isinstance(found, Head) else found


def replied_to(part: NewPart) -> str:
    """The message that a part enqueued from outside replies to: ``message_id`` or ``msg_id`` of its
    ``reply_ref``, "" for none."""
    ref = part.reply_ref
    return str(ref.get("message_id") or ref.get("msg_id") or "")


def text_of(payload: Mapping[str, Any]) -> str:
    """A payload's readable text, for transcripts and dead letters.

    The first of ``text``, ``markdown``, ``content`` and ``caption`` that is a string, or a mapping
    that has such a string itself; "" when there is none.
    """
    for name in ("text", "markdown", "content", "caption"):
        value = payload.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, Mapping):
            inner = text_of(value)
            if inner:
                return inner
    return ""


def not_after(window: float | None, sent_at: float | None, accepted_at: float) -> float | None:
    """Until when a reply is taken: a window from the platform's clock or ours, whichever is earlier.

    By a stamp from before the window nothing could ever be answered: either clock may be wrong by hours, so ours
    counts then, and the platform itself refuses what is too late.
    """
    if window is None:
        return None
    if sent_at is None or sent_at + window <= accepted_at:
        sent_at = accepted_at
    return min(sent_at, accepted_at) + window


def key_expires(lifetime: float | None, first_at: float) -> float | None:
    """Until when a repeated key is recognised: its lifetime counts from the first attempt made."""
    return None if lifetime is None else first_at + lifetime


def new_key() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


RowState = Literal["queued", "sending", "delivered", "dead"]
_RANK: dict[str, int] = {"queued": 0, "sending": 1, "dead": 2, "delivered": 3}


@dataclass(frozen=True, slots=True)
class SentRow:
    """One part of a send from outside, as far as its state goes."""

    state: RowState
    receipt_id: str = ""
    receipt_at: float | None = None
    reason: str = ""


def sent_of(id: str, rows: Sequence[SentRow], fresh: bool) -> Sent:
    """The state of all parts as one: the least finished; a dead part outweighs delivered ones.

    The receipt of a whole delivery is the first part's ``id``, all ``ids``, and the last one's ``at``.
    """
    worst = min(rows, key=lambda row: _RANK[row.state])
    receipt = None
    if worst.state == "delivered":
        ids = [row.receipt_id for row in rows]
        receipt = {"id": ids[0], "ids": ids, "at": max(row.receipt_at or 0.0 for row in rows)}
    return Sent(id=id, state=worst.state, receipt=receipt, reason=worst.reason, fresh=fresh)
