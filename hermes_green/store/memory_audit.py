"""The audit of MemoryStore."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

from hermes_green.core.model import Inbound
from hermes_green.core.ports import AuditLine
from hermes_green.store import codec, rules
from hermes_green.store.memory_rows import InRow, OutRow, Tables

STATES = {"leased": "running"}


class MemoryAudit(Tables):
    """What an operator may ask afterwards."""

    def audit(self, since: float, limit: int = 1000, contents: bool = False) -> Sequence[AuditLine]:
        """See ``Store.audit``."""
        self._check()
        parts: dict[str, list[OutRow]] = {}
        for out in self._outbox.values():
            if out.born_at >= since:
                parts.setdefault(out.turn, []).append(out)
        lines = [_message(row, parts) for row in self._inbox.values() if row.accepted_at >= since]
        lines += [_send(outs) for outs in parts.values() if outs[0].send_id is not None]
        lines.sort(key=lambda line: line.at)
        kept = lines[-limit:] if limit > 0 else []
        return tuple(kept if contents else [replace(line, text="", answer="") for line in kept])


def _message(row: InRow, parts: dict[str, list[OutRow]]) -> AuditLine:
    inbound, refused = row.inbound, row.state == "refused"
    peer = inbound.peer
    own = parts.get(row.turn_id or "") if row.joined is None or row.joined == row.row else None
    return AuditLine(
        at=row.accepted_at,
        child=row.child,
        chat_id=peer.chat_id,
        chat_type="" if refused else peer.chat_type,
        thread_id=None if refused else peer.thread_id,
        user_id=None if refused else peer.user_id,
        user_name=None if refused else peer.user_name,
        session_id=row.session_id,
        message_id=inbound.message_id,
        turn_id=row.turn_id or "",
        kind="" if refused else _kind(inbound),
        length=len(inbound.text),
        state=STATES.get(row.state, row.state),
        reason=row.reason,
        attempts=row.attempt,
        seconds=None if row.active else max(0.0, row.ended_at - row.accepted_at),
        usage=row.usage,
        text=inbound.text,
        stale=row.stale and not refused,
        **_arrived(own),
    )


def _kind(inbound: Inbound) -> str:
    return rules.kind_of(inbound.text, (each.kind for each in inbound.attachments), inbound.reaction is not None)


def _send(outs: list[OutRow]) -> AuditLine:
    first, undelivered = outs[0], any(out.active for out in outs)
    peer = first.part.peer
    state = "waiting" if undelivered else "dead" if any(out.given_up for out in outs) else "done"
    return AuditLine(
        at=first.born_at,
        child=peer.child,
        chat_id=peer.chat_id,
        chat_type=peer.chat_type,
        thread_id=peer.thread_id,
        user_id=None,
        user_name=None,
        session_id="",
        message_id="",
        turn_id=first.turn,
        kind="send",
        length=sum(len(_text(out)) for out in outs),
        state=state,
        reason="",
        attempts=0,
        seconds=None if undelivered else max(0.0, max(out.ended_at for out in outs) - first.born_at),
        usage=None,
        **_arrived(outs),
    )


def _arrived(outs: list[OutRow] | None) -> dict[str, Any]:
    if not outs:
        return {}
    return {
        "delivered": sum(out.state == "delivered" for out in outs),
        "undelivered": sum(out.active for out in outs),
        "given_up": sum(out.given_up for out in outs),
        "answer": "\n".join(_text(out) for out in outs),
    }


def _text(out: OutRow) -> str:
    return codec.clean(rules.text_of(out.part.payload))
