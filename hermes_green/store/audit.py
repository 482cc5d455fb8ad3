"""Who asked what kind of thing when, what it cost, and whether the answer arrived; read in one go, off the hub."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.core.ports import AuditLine
from hermes_green.store import codec, rules
from hermes_green.store.engine import Engine

STATES = ("waiting", "running", "done", "refused", "dead")
# Rows are numbered in the order of their coming; a clock that was set back by less than this hides none.
LEEWAY = 3_600.0

_MESSAGES = (
    "SELECT id, child, session_id, chat_id, message_id, text, body, accepted_at, state, attempt, turn_id, reason, "
    "usage, ended_at, joined FROM inbox ORDER BY id DESC"
)
_PARTS = (
    "SELECT turn, send_id, child, chat_id, peer, min(born_at), max(ended_at), sum(state = 2), sum(state < 2), "
    "sum(state > 2), sum(length(text)), group_concat(text, char(10)) "
    "FROM (SELECT * FROM outbox WHERE born_at >= ? ORDER BY id) "
    "GROUP BY turn ORDER BY max(id)"
)


class Audit(Engine):
    """What an operator may ask afterwards."""

    def audit(self, since: float, limit: int = 1000, contents: bool = False) -> Sequence[AuditLine]:
        """See ``Store.audit``."""
        found: Sequence[AuditLine] = self._reader.ask(_audit, since, limit, contents)
        return found


def _audit(connection: sqlite3.Connection, since: float, limit: int, contents: bool) -> Sequence[AuditLine]:
    parts = {row[0]: row for row in connection.execute(_PARTS, (since,))}
    # Those of one batch have one time, and stay in their order.
    lines = list(_messages(connection, since, limit, parts))[::-1]
    lines += [_send(row) for row in parts.values() if row[1] is not None]
    lines.sort(key=lambda line: line.at)
    kept = lines[-limit:] if limit > 0 else []
    return tuple(kept if contents else (replace(line, text="", answer="") for line in kept))


def _messages(
    connection: sqlite3.Connection, since: float, limit: int, parts: Mapping[str, Sequence[Any]]
) -> Iterator[AuditLine]:
    found = 0
    for row in connection.execute(_MESSAGES):
        if row[7] < since - LEEWAY or found >= limit:
            return
        if row[7] >= since:
            found += 1
            yield _message(row, parts)


def _message(row: Sequence[Any], parts: Mapping[str, Sequence[Any]]) -> AuditLine:
    id, child, session_id, chat_id, message_id, text, body, at, state = row[:9]
    attempts, turn_id, reason, usage, ended, head = row[9:]
    plain = codec.loads(body)
    peer = plain.get("peer", {})
    # Of messages that are one turn, the answer belongs to the one that was answered.
    part = parts.get(turn_id) if head is None or head == id else None
    return AuditLine(
        at=at,
        child=child,
        chat_id=chat_id,
        chat_type=peer.get("chat_type", ""),
        thread_id=peer.get("thread_id"),
        user_id=peer.get("user_id"),
        user_name=peer.get("user_name"),
        session_id=session_id,
        message_id=message_id,
        turn_id=turn_id or "",
        kind=_kind(text, plain) if plain else "",
        length=len(text),
        state=STATES[state],
        reason=reason or "",
        attempts=attempts,
        seconds=None if ended is None or state < 2 else max(0.0, ended - at),
        usage=codec.parsed(usage),
        text=text,
        stale=plain.get("stale", False),
        **_arrived(part),
    )


def _kind(text: str, plain: Mapping[str, Any]) -> str:
    return rules.kind_of(text, (each["kind"] for each in plain.get("attachments", ())), "reaction" in plain)


def _send(row: Sequence[Any]) -> AuditLine:
    turn, send_id, child, chat_id, peer, born, ended, _, undelivered, given_up, length, _ = row
    plain = codec.loads(peer)
    state = "waiting" if undelivered else "dead" if given_up else "done"
    return AuditLine(
        at=born,
        child=child,
        chat_id=chat_id,
        chat_type=plain.get("chat_type", ""),
        thread_id=plain.get("thread_id"),
        user_id=None,
        user_name=None,
        session_id="",
        message_id="",
        turn_id=turn,
        kind="send",
        length=length or 0,
        state=state,
        reason="",
        attempts=0,
        seconds=None if undelivered or ended is None else max(0.0, ended - born),
        usage=None,
        **_arrived(row),
    )


def _arrived(part: Sequence[Any] | None) -> dict[str, Any]:
    if part is None:
        return {}
    return {"delivered": part[7], "undelivered": part[8], "given_up": part[9], "answer": part[11] or ""}
