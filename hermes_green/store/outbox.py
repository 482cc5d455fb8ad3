"""The outbox in SQLite: parts leave lane by lane, each proved by a receipt or given up with a reason."""

from __future__ import annotations

import sqlite3
from itertools import groupby
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.core.errors import KeyReused, LeaseLost
from hermes_green.core.model import Part
from hermes_green.core.ports import NewPart, OutLease, Sent, Settled
from hermes_green.store import codec, rules
from hermes_green.store.births import Birth, bear, reply_numbers
from hermes_green.store.engine import Engine
from hermes_green.store.schema import DELIVERED, HELD, OUT_DEAD, QUEUED, SENDING

_HEADS = "SELECT id, turn, due_at, CASE WHEN state = 1 THEN until END, stuck_at"
_PARTS = (
    "SELECT id, child, lane, key, reply_seq, ordinal, chat_id, peer, payload, reply_ref, handle, "
    "not_after, key_lifetime, first_at, attempt, born_at, uncertain, turn, message_id FROM outbox"
)
_ENDS = {"delivered": DELIVERED, "dead": OUT_DEAD, "held": HELD}
_COPIED = (
    "child, lane, chat_id, turn, ordinal, message_id, reply_seq, key, peer, payload, text, reply_ref, handle, "
    "not_after, key_lifetime, first_at, born_at, due_at, attempt, uncertain, send_id"
)
_STATES: tuple[rules.RowState, ...] = ("queued", "sending", "delivered", "dead", "dead")


class Outbox(Engine):
    """Rows after their turn."""

    def enqueue(self, key: str, digest: str, child: str, parts: Sequence[NewPart], now: float) -> Sent:
        """See ``Store.enqueue``."""
        if not parts:
            raise ValueError("a send has at least one part")
        self._now = now
        births = tuple(Birth.of(part, ordinal) for ordinal, part in enumerate(parts))
        sent: Sent = self._writer.submit(_enqueue, codec.clean(key), digest, codec.clean(child), births, now)
        return sent

    def sent(self, id: str) -> Sent | None:
        """See ``Store.sent``."""
        found: Sent | None = self._reader.ask(_sent, codec.clean(id), True)
        return found

    def lanes_waiting(self) -> Mapping[tuple[str, str], float]:
        """See ``Store.lanes_waiting``."""
        lanes: Mapping[tuple[str, str], float] = self._reader.ask(_lanes_waiting)
        return lanes

    def lease_outbox(self, child: str, lane: str, now: float) -> OutLease | float | None:
        """See ``Store.lease_outbox``; a lease lasts 600 s, after which the row is due and uncertain."""
        self._now = now
        args = (codec.clean(child), codec.clean(lane), now)
        found: OutLease | float | None = self._writer.submit(_lease_outbox, *args, undo=_take_back)
        return found

    def settle(self, lease: OutLease, settled: Settled, now: float) -> None:
        """See ``Store.settle``. ``renumber`` gives the attempt back: the next is a true first again."""
        self._now = now
        self._writer.submit(_settle, lease, settled, codec.clean(settled.reason), now)

    def give_up(self, child: str, before: float, reason: str, now: float) -> Sequence[OutLease]:
        """See ``Store.give_up``; at most 500 parts a call."""
        self._now = now
        args = (codec.clean(child), before, codec.clean(reason), now)
        gone: Sequence[OutLease] = self._writer.submit(_give_up, *args)
        return gone


# --- sends from outside ---


def _enqueue(
    connection: sqlite3.Connection, key: str, digest: str, child: str, births: Sequence[Birth], now: float
) -> Sent:
    known = connection.execute("SELECT id, digest FROM send WHERE key = ?", (key,)).fetchone()
    if known is not None:
        if known[1] != digest:
            raise KeyReused("the idempotency key was used before, with another body")
        earlier = _sent(connection, known[0], False)
        assert earlier is not None
        return earlier
    id = rules.new_key()
    connection.execute(
        "INSERT INTO send (key, digest, id, child, at) VALUES (?, ?, ?, ?, ?)", (key, digest, id, child, now)
    )
    bear(connection, births, id, None, None, now, now, send_id=id)
    return Sent(id=id, state="queued")


def _sent(connection: sqlite3.Connection, id: str, fresh: bool) -> Sent | None:
    known = connection.execute("SELECT final FROM send WHERE id = ?", (id,)).fetchone()
    if known is None:
        return None
    query = "SELECT state, receipt_id, receipt_at, reason FROM outbox WHERE send_id = ? ORDER BY id"
    rows = connection.execute(query, (id,)).fetchall()
    gone = [rules.SentRow(*row) for row in codec.parsed(known[0]) or ()]
    there = [rules.SentRow(_STATES[state], receipt or "", at, reason or "") for state, receipt, at, reason in rows]
    return rules.sent_of(id, [*gone, *there], fresh)


def keep_final(connection: sqlite3.Connection, rows: Sequence[int], reason: str = "") -> None:
    """Before outbox rows go: write down what became of those that an id from outside stands for."""
    for row in rows:
        found = connection.execute(
            "SELECT o.send_id, s.final, o.state, o.receipt_id, o.receipt_at, o.reason "
            "FROM outbox o JOIN send s ON s.id = o.send_id WHERE o.id = ?",
            (row,),
        ).fetchone()
        if found is None:
            continue
        send_id, final, state, receipt, at, why = found
        ends = [*(codec.parsed(final) or ()), [_STATES[state], receipt or "", at, reason or why or ""]]
        connection.execute("UPDATE send SET final = ? WHERE id = ?", (codec.dumps(ends), send_id))


# --- lanes ---


def _lanes_waiting(connection: sqlite3.Connection) -> Mapping[tuple[str, str], float]:
    rows = connection.execute(
        "SELECT child, lane, id, turn, due_at, CASE WHEN state = 1 THEN until END, stuck_at "
        "FROM outbox WHERE state < 2 ORDER BY child, lane, id"
    )
    waiting: dict[tuple[str, str], float] = {}
    for lane, members in groupby(rows, key=lambda row: (row[0], row[1])):
        at = rules.due(rules.head(*row[2:]) for row in members)
        if at is not None:
            waiting[lane] = at
    return waiting


def _heads(connection: sqlite3.Connection, child: str, lane: str) -> Iterator[rules.Head]:
    """Lazily: most lanes are decided by their first row."""
    query = f"{_HEADS} FROM outbox WHERE state < 2 AND child = ? AND lane = ? ORDER BY id"
    for row in connection.execute(query, (child, lane)):
        yield rules.head(*row)


def _lease_outbox(connection: sqlite3.Connection, child: str, lane: str, now: float) -> OutLease | float | None:
    found = rules.choose(_heads(connection, child, lane), now)
    if not isinstance(found, rules.Head):
        return found
    token = rules.new_key()
    # The attempt is written before the send. A row whose sender vanished was perhaps delivered.
    connection.execute(
        "UPDATE outbox SET uncertain = uncertain OR state = ?, state = ?, token = ?, until = ?, attempt = attempt + 1, "
        "first_at = coalesce(first_at, ?) WHERE id = ?",
        (SENDING, SENDING, token, now + rules.SENDING_TTL, now, found.row),
    )
    return _out_lease(connection.execute(f"{_PARTS} WHERE id = ?", (found.row,)).fetchone(), token)


def _out_lease(columns: Sequence[Any], token: str) -> OutLease:
    """A row as whoever works on it sees it."""
    row, child, lane, key, reply_seq, ordinal, chat_id, peer, payload, ref, handle, not_after = columns[:12]
    lifetime, first_at, attempt, born_at, uncertain, turn, message_id = columns[12:]
    part = Part(
        key=key,
        reply_seq=reply_seq,
        ordinal=ordinal,
        peer=codec.peer_from(child, chat_id, codec.loads(peer)),
        payload=codec.loads(payload),
        reply_ref=codec.loads(ref),
        handle=codec.parsed(handle),
        not_after=not_after,
        key_expires=None if first_at is None else rules.key_expires(lifetime, first_at),
        attempt=attempt,
    )
    return OutLease(row, token, child, lane, part, born_at, bool(uncertain), turn, message_id)


def _give_up(
    connection: sqlite3.Connection, child: str, before: float, reason: str, now: float
) -> Sequence[OutLease]:
    query = f"{_PARTS} WHERE state < 2 AND child = ? AND born_at < ? AND (state = ? OR until <= ?) ORDER BY id LIMIT ?"
    rows = connection.execute(query, (child, before, QUEUED, now, rules.PRUNE_ROWS)).fetchall()
    connection.executemany(
        "UPDATE outbox SET state = ?, token = NULL, until = NULL, reason = ?, ended_at = ? WHERE id = ?",
        [(OUT_DEAD, reason, now, row[0]) for row in rows],
    )
    return tuple(_out_lease(row, "") for row in rows)


def _held_row(connection: sqlite3.Connection, lease: OutLease) -> tuple[Any, ...]:
    query = "SELECT child, message_id, reply_seq FROM outbox WHERE id = ? AND state = ? AND token = ?"
    found: tuple[Any, ...] | None = connection.execute(query, (lease.row, SENDING, lease.token)).fetchone()
    if found is None:
        raise LeaseLost(f"outbox row {lease.row}: its lease is not the row's any more")
    return found


def _settle(connection: sqlite3.Connection, lease: OutLease, settled: Settled, reason: str, now: float) -> None:
    child, message_id, reply_seq = _held_row(connection, lease)
    if settled.state == "replaced":
        _replace(connection, lease.row, settled, reason, now)
    elif settled.state == "unsent":
        _take_back(connection, lease)
    elif settled.state == "retry":
        connection.execute(
            "UPDATE outbox SET state = ?, token = NULL, until = NULL, due_at = ?, reason = ?, "
            "uncertain = uncertain OR ?, stuck_at = coalesce(stuck_at, ?) WHERE id = ?",
            (QUEUED, settled.at, reason, settled.uncertain, now, lease.row),
        )
    elif settled.state == "renumber":
        number = reply_numbers(connection, child, message_id, 1, now)
        connection.execute(
            "UPDATE outbox SET state = ?, token = NULL, until = NULL, due_at = ?, reason = ?, reply_seq = ?, "
            "attempt = attempt - 1, first_at = NULL WHERE id = ?",
            (QUEUED, max(now, settled.at), reason, max(number, reply_seq + 1), lease.row),
        )
    else:
        receipt = settled.receipt
        connection.execute(
            "UPDATE outbox SET state = ?, token = NULL, until = NULL, reason = ?, ended_at = ?, receipt_id = ?, "
            "receipt_at = ? WHERE id = ?",
            (
                _ENDS[settled.state],
                reason,
                now,
                None if receipt is None else codec.clean(receipt.id),
                None if receipt is None else receipt.at,
                lease.row,
            ),
        )


def _replace(connection: sqlite3.Connection, row: int, settled: Settled, reason: str, now: float) -> None:
    """What was refused becomes a dead letter under its own key; its row, and so its place among the others,
    has another payload under a key of its own."""
    connection.execute(
        f"INSERT INTO outbox ({_COPIED}, state, reason, ended_at) SELECT {_COPIED}, ?, ?, ? FROM outbox WHERE id = ?",
        (OUT_DEAD, reason, now, row),
    )
    connection.execute(
        "UPDATE outbox SET state = ?, token = NULL, until = NULL, due_at = ?, key = ?, payload = ?, text = ?, "
        "attempt = 0, first_at = NULL, stuck_at = NULL, uncertain = 0 WHERE id = ?",
        (
            QUEUED,
            now,
            rules.new_key(),
            codec.dumps(settled.payload),
            codec.clean(rules.text_of(settled.payload)),
            row,
        ),
    )


def _take_back(connection: sqlite3.Connection, lease: OutLease | float) -> None:
    """The greenlet that asked for the lease has gone before it came; nothing was sent."""
    if isinstance(lease, OutLease):
        connection.execute(
            "UPDATE outbox SET state = ?, token = NULL, until = NULL, attempt = attempt - 1, "
            "first_at = CASE WHEN attempt = 1 THEN NULL ELSE first_at END WHERE id = ? AND state = ? AND token = ?",
            (QUEUED, lease.row, SENDING, lease.token),
        )
