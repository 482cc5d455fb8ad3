"""The outbox of MemoryStore."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping, Sequence

from hermes_green.core.errors import KeyReused, LeaseLost
from hermes_green.core.model import Part, lane_of
from hermes_green.core.ports import NewPart, OutLease, Sent, Settled
from hermes_green.store import codec, rules
from hermes_green.store.memory_rows import OutRow, Send, Tables, plain


class MemoryOutbox(Tables):
    """Rows after their turn."""

    def enqueue(self, key: str, digest: str, child: str, parts: Sequence[NewPart], now: float) -> Sent:
        """See ``Store.enqueue``."""
        if not parts:
            raise ValueError("a send has at least one part")
        kept = [self._kept(part) for part in parts]
        self._begin(now)
        known = self._sends.get(key)
        if known is not None:
            if known.digest != digest:
                raise KeyReused("the idempotency key was used before, with another body")
            return rules.sent_of(known.id, self._ends(known), False)
        send = self._sends[key] = Send(rules.new_key(), digest)
        self._bear(kept, send.id, None, None, now, now, send.id)
        return Sent(id=send.id, state="queued")

    def sent(self, id: str) -> Sent | None:
        """See ``Store.sent``."""
        self._check()
        send = next((send for send in self._sends.values() if send.id == id), None)
        return None if send is None else rules.sent_of(id, self._ends(send), True)

    def _ends(self, send: Send) -> list[rules.SentRow]:
        return send.gone + [row.final() for row in self._outbox.values() if row.send_id == send.id]

    def _forget(self, row: OutRow, reason: str = "") -> None:
        """Delete a row; what became of it stays known to whoever asked for it from outside."""
        del self._outbox[row.row]
        for send in self._sends.values():
            if send.id == row.send_id:
                end = row.final()
                send.gone.append(replace(end, reason=reason or end.reason))

    @staticmethod
    def _kept(part: NewPart) -> NewPart:
        """The part as a disk would give it back."""
        peer = codec.peer_from(part.peer.child, part.peer.chat_id, plain(codec.peer_json(part.peer)))
        ref, handle = plain(part.reply_ref), plain(part.handle)
        return replace(part, peer=peer, payload=plain(part.payload), reply_ref=ref, handle=handle)

    def _bear(
        self,
        parts: Sequence[NewPart],
        turn: str,
        message_id: str | None,
        sent_at: float | None,
        accepted_at: float,
        now: float,
        send_id: str | None = None,
    ) -> list[int]:
        rows: list[int] = []
        for ordinal, new in enumerate(parts):
            answered = rules.replied_to(new) if message_id is None else message_id
            self._last_out += 1
            part = Part(
                key=rules.new_key(),
                reply_seq=self._number(new.peer.child, answered, now),
                ordinal=ordinal,
                peer=new.peer,
                payload=new.payload,
                reply_ref=new.reply_ref,
                handle=new.handle,
                not_after=rules.not_after(new.window, sent_at, accepted_at),
            )
            lane = lane_of(new.peer)
            row = OutRow(self._last_out, lane, turn, answered, part, new.key_lifetime, now, now, send_id)
            self._outbox[row.row] = row
            rows.append(row.row)
        return rows

    def _lane(self, child: str, lane: str) -> list[rules.Head]:
        rows = self._outbox.values()
        return [row.head() for row in rows if row.active and row.part.peer.child == child and row.lane == lane]

    def lanes_waiting(self) -> Mapping[tuple[str, str], float]:
        """See ``Store.lanes_waiting``."""
        self._check()
        lanes = {(row.part.peer.child, row.lane) for row in self._outbox.values() if row.active}
        due = {lane: rules.due(self._lane(*lane)) for lane in lanes}
        return {lane: at for lane, at in due.items() if at is not None}

    def lease_outbox(self, child: str, lane: str, now: float) -> OutLease | float | None:
        """See ``Store.lease_outbox``."""
        self._begin(now)
        found = rules.choose(self._lane(child, lane), now)
        if not isinstance(found, rules.Head):
            return found
        row = self._outbox[found.row]
        row.uncertain = row.uncertain or row.state == "sending"
        row.state, row.token, row.until = "sending", rules.new_key(), now + rules.SENDING_TTL
        row.attempt += 1
        row.first_at = now if row.first_at is None else row.first_at
        return _out_lease(row)

    def give_up(self, child: str, before: float, reason: str, now: float) -> Sequence[OutLease]:
        """See ``Store.give_up``."""
        self._begin(now)
        gone = []
        for row in self._outbox.values():
            busy = row.state == "sending" and row.until > now
            if row.active and not busy and row.part.peer.child == child and row.born_at < before:
                row.state, row.token, row.reason, row.ended_at = "dead", "", reason, now
                gone.append(_out_lease(row))
        return tuple(gone)

    def settle(self, lease: OutLease, settled: Settled, now: float) -> None:
        """See ``Store.settle``."""
        self._begin(now)
        row = self._outbox.get(lease.row)
        if row is None or row.state != "sending" or row.token != lease.token:
            raise LeaseLost(f"outbox row {lease.row}: its lease is not the row's any more")
        row.token, row.reason = "", settled.reason or row.reason
        if settled.state == "replaced":
            self._replace(row, settled, now)
        elif settled.state == "unsent":
            row.state, row.attempt = "queued", row.attempt - 1
            row.first_at = row.first_at if row.attempt else None
        elif settled.state == "retry":
            row.state, row.due_at = "queued", settled.at
            row.uncertain = row.uncertain or settled.uncertain
            row.stuck_at = now if row.stuck_at is None else row.stuck_at
        elif settled.state == "renumber":
            row.state, row.due_at, row.first_at = "queued", max(now, settled.at), None
            row.attempt -= 1
            row.part = replace(row.part, reply_seq=self._number(lease.child, row.message_id, now))
        else:
            row.state, row.ended_at = settled.state, now
            if settled.receipt is not None:
                row.receipt_id, row.receipt_at = settled.receipt.id, settled.receipt.at

    def _replace(self, row: OutRow, settled: Settled, now: float) -> None:
        self._last_out += 1
        self._outbox[self._last_out] = replace(row, row=self._last_out, state="dead", ended_at=now)
        row.part = replace(row.part, key=rules.new_key(), payload=plain(settled.payload))
        row.state, row.due_at, row.reason = "queued", now, ""
        row.attempt, row.first_at, row.stuck_at, row.uncertain = 0, None, None, False


def _out_lease(row: OutRow) -> OutLease:
    """A row as whoever works on it sees it."""
    expires = None if row.first_at is None else rules.key_expires(row.key_lifetime, row.first_at)
    part = replace(row.part, attempt=row.attempt, key_expires=expires)
    child = part.peer.child
    return OutLease(row.row, row.token, child, row.lane, part, row.born_at, row.uncertain, row.turn, row.message_id)
