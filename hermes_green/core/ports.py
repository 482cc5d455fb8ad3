"""The seam: what the runtime, the adapters, the agents and the store expect of each other.

Read this file first. Every method that may wait is blocking-style (it parks its greenlet, never
the hub), and every wait has a deadline.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, Iterator, Literal, Mapping, Protocol, Sequence

from hermes_green.core.model import CapsTable, Delta, Inbound, Message, Part, Peer, Receipt, Reply, Turn
from hermes_green.core.rows import (
    AuditLine,
    Counts,
    DeadLetter,
    Intake,
    Lease,
    Line,
    NewPart,
    OutLease,
    Recovered,
    Resets,
    Retention,
    Sent,
    SessionInfo,
    Settled,
    TurnEnd,
)

__all__ = [
    "Ack",
    "Adapter",
    "Agent",
    "AuditLine",
    "Context",
    "Counts",
    "DeadLetter",
    "Intake",
    "Json",
    "Kept",
    "Lease",
    "Line",
    "NewPart",
    "OutLease",
    "Port",
    "Recovered",
    "Resets",
    "Retention",
    "Sent",
    "SessionInfo",
    "Settled",
    "Store",
    "TurnEnd",
]

Json = Any
Ack = Callable[[bool], None]


# --- platforms ---------------------------------------------------------------------------------


class Kept(Protocol):
    """A frame that is kept until one of these is called."""

    def done(self) -> None:
        """What it says is committed, or says nothing."""

    def leave(self) -> None:
        """It could not be handed in: the next run shall."""


class Port(Protocol):
    """What the runtime gives an adapter for the life of one run; numbered, void after its end."""

    number: int

    def accept(self, inbound: Inbound | None, ack: Ack | None = None, memo: Mapping[str, Json] | None = None) -> None:
        """Hand in a message, a memo, or both; returns at once, also before ``ready``.

        After the commit ``ack(taken)`` runs in the child's ack greenlet, in order; ``taken`` is
        False for a duplicate, which must be acknowledged all the same. ``memo`` maps names to JSON
        values, written in the same transaction as the message; None deletes a name.

        Raises:
            LinkLost: the child's intake queue is full; let it end the run.
        """

    def keep(self, raw: bytes | str) -> Kept | None:
        """Keep a frame against the end of this process until what it says is committed; returns at once. None:
        there is no need (the platform sends it again, see ``Caps.resends``) or no way."""

    def quarantine(self, raw: bytes | str, error: Exception, ack: Ack | None = None) -> None:
        """Hand in a frame that could not be parsed: stored, counted, then acknowledged. A full queue is met
        as in ``accept``."""

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        """The platform has answered: the link works. ``who`` names the bot for status and log;
        ``link`` is handed to ``send`` while this run is the current one; ``proof_within``: seconds
        within which the platform is heard on a link that works (status ``connected``).

        Raises:
            LinkLost: the runtime has ended this run already.
        """

    def beat(self) -> None:
        """Proof of life: the platform itself has just been heard."""

    def heartbeat(self, outcome: Literal["sent", "answered", "missed"]) -> None:
        """Count a heartbeat (metric ``heartbeats_total``, log at DEBUG)."""

    def retire(self, grace: float) -> None:
        """The platform will end this link; start its successor now and end this run ``grace``
        seconds after the successor is READY. Before ``ready`` it raises LinkLost."""

    def spend(self, kind: str) -> None:
        """Book a budget other than the dial (such as ``"identify"``), before using it.

        Raises:
            Throttled: the budget is spent.
        """

    def on_close(self, fn: Callable[[], None]) -> None:
        """Register how the runtime ends this run: ``fn`` must make ``run`` return soon, must not
        wait longer than 2 s, and is called at most once, from another greenlet."""


class Context(Protocol):
    """What the runtime gives an adapter for the adapter's life."""

    child: str
    account: str
    log: Any

    def memo(self, name: str) -> Json:
        """The last committed value under ``name``, or None."""

    def count(self, name: str, outcome: str = "") -> None:
        """Count something worth seeing (a collision, an unknown event)."""

    def reject(self, error: Exception) -> None:
        """A credential was refused outside ``run`` (during a send): halt the child."""

    def rekey(self, old: str, new: str) -> None:
        """A chat has changed its id: sessions and undelivered rows follow."""

    def hide(self, secret: str) -> None:
        """A token has been fetched: no log, status or error shows it from now on."""

    def beside(self, compute: Callable[..., Any], *values: Any) -> Any:
        """What a pure function that takes milliseconds answers; meanwhile every link goes on. Raises what it
        raises, and a HermesError where that takes too long."""


class Adapter(Protocol):
    """A platform's translator: one object per child, as long as its settings live.

    It owns its HTTP session and token cache and no socket: what belongs to one link is a local
    value of ``run``. It never reconnects and never sleeps to retry.

    Optional abilities are called only where the caps of the chat's kind say so: ``find(part) ->
    Receipt | None`` (lookup), ``draft_open(peer, ref, key, seq, link) -> handle`` and
    ``draft_update(handle, text, n, link)`` (streaming), ``typing(peer, link)`` (typing),
    ``fetch(ref) -> Iterator[bytes]`` (media), with a ``Called`` before them where the name of the file comes
    with its bytes, ``quoted(ref) -> Quote`` (quotes), which raises a HermesError where it cannot be told, and
    ``replay(port, raw)`` (not ``resends``): hand in a frame that was kept, before there is a link; it raises what
    ``accept`` raises.
    """

    caps: CapsTable

    def run(self, port: Port) -> None:
        """Live one link: dial, prove, ``port.ready``, pump until it ends.

        Return means a planned or clean end; a raised error says why (see ``core.errors``).
        """

    def send(self, part: Part, link: Any) -> Receipt:
        """Deliver one part. ``link`` is the current run's, or None while the link is down.

        Raises:
            SendError: and nothing else; SendRetry only when no byte of the request can have been
                acted upon, SendUnknown when it may have been.
        """

    def render(self, reply: Reply) -> tuple[Mapping[str, Json], ...]:
        """The payloads of a reply, in order; pure, at least one. Limits hold after rendering. What
        exceeds the number of parts is left out and the last part says how much."""

    def peer_of(self, chat: str) -> Peer | None:
        """The peer for a chat id given by hand; pure. ``user:``, ``group:``, ``channel:`` or ``dm:``
        may precede the id; None when its kind cannot be told."""

    def close(self) -> None:
        """Free what the adapter owns; called once."""


# --- agents ------------------------------------------------------------------------------------


class Agent(Protocol):
    """Whatever answers. A turn is cancelled by killing the greenlet that iterates.

    Optional ability, declared and never probed for: an agent with ``steers = True`` has ``steer(turn_id,
    text) -> bool``, which gives a turn that runs one more message of the user's; True: the answer will
    heed it. It may wait for 5 s.
    """

    def run(self, turn: Turn) -> Iterator[Delta]:
        """The answer, piece by piece.

        Raises:
            AgentError: the answer failed; what came before it is not an answer.
        """

    def close(self) -> None:
        """Free what the agent owns; called once."""


# --- the store ---------------------------------------------------------------------------------


class Store(Protocol):
    """The durable middle. ``now`` is wall seconds. A method that returns has committed.

    Raises everywhere: StoreAway (cannot commit now; nothing was changed), StoreBroken.
    """

    def accept(self, child: str, batch: Sequence[Intake], now: float) -> Sequence[int | None]:
        """Commit a batch in order; per element its new row, or None for a duplicate (any of its
        keys was seen in this child) and for a memo alone. A duplicate's memo is written all the same."""

    def quarantine(self, child: str, raw: bytes, error: str, now: float) -> None:
        """Keep a frame that could not be parsed."""

    def memo(self, child: str, name: str) -> Json:
        """The committed value, or None."""

    def sessions_waiting(self) -> Mapping[str, int]:
        """session_id -> number of rows neither leased nor ended."""

    def sessions_cut(self) -> frozenset[str]:
        """Sessions with a waiting row whose turn had begun and never ended: they are rerun one at a time."""

    def lease_session(
        self,
        session_id: str,
        worker: str,
        ttl: float,
        now: float,
        history: int | None = None,
        join: float | None = None,
        resets: Resets | None = None,
    ) -> Lease | None:
        """The oldest waiting row of a session, its attempt raised durably by one. None when there
        is none or a live lease is out on the session: at most one turn at a time. ``history``: how
        many turns of it to hand out with the lease, which spares a way to the disk.

        ``join``: rows after it that came within so many seconds of one another, of the same user and
        no commands, become one turn with it (None: no others). They have one token and one end, the
        last of them is answered, and they stay together if the turn must run again. ``resets``: put
        the history aside first where it is too old."""

    def join(self, lease: Lease, row: int, now: float) -> bool:
        """Make a waiting row part of a turn that runs: it ends with it, and stays with it if it must
        run again. False: the row does not wait any more. Raises LeaseLost."""

    def detach(self, lease: Lease, rows: Collection[int], now: float) -> Sequence[Lease]:
        """Take rows that were leased together apart: the lease of those that are left, one at least and the
        last of them answered, and then one for each of ``rows``, in order, as ``lease_row`` gives it. Raises
        LeaseLost."""

    def lease_row(self, row: int, worker: str, ttl: float, now: float) -> Lease | None:
        """One given waiting row, past its session's queue and not counted as an attempt (commands,
        refusals). None when it is not waiting."""

    def renew(self, lease: Lease, ttl: float, now: float) -> Lease:
        """Raises LeaseLost."""

    def release(self, lease: Lease, now: float) -> None:
        """Park: the row (with those joined to it) waits again and its attempt is given back. Raises
        LeaseLost."""

    def put_draft(self, lease: Lease, handle: Mapping[str, Json] | None, now: float) -> Mapping[str, Json]:
        """Record the intention to open a draft (handle None: allots key and reply_seq) or its
        handle; answers {key, reply_seq, handle}. Raises LeaseLost."""

    def commit_turn(self, lease: Lease, end: TurnEnd, now: float) -> Sequence[int]:
        """End the inbox row and give birth to its parts, with history, in one transaction; the new
        outbox rows. Raises LeaseLost."""

    def enqueue(self, key: str, digest: str, child: str, parts: Sequence[NewPart], now: float) -> Sent:
        """A send from outside. The same ``key`` answers the same id for ever (``fresh`` False).

        Raises:
            KeyReused: the key is known with another digest.
        """

    def sent(self, id: str) -> Sent | None:
        """The state of an earlier ``enqueue``."""

    def lanes_waiting(self) -> Mapping[tuple[str, str], float]:
        """(child, lane) -> wall time at which its next part is due; all undelivered lanes."""

    def lease_outbox(self, child: str, lane: str, now: float) -> OutLease | float | None:
        """The lane's next part, its attempt raised durably by one and its state ``sending``; or the
        wall time at which one is due; or None when the lane is empty. FIFO: a row in back-off
        blocks its own turn's rows, and other turns of its lane for at most 600 s."""

    def settle(self, lease: OutLease, settled: Settled, now: float) -> None:
        """Raises LeaseLost."""

    def give_up(self, child: str, before: float, reason: str, now: float) -> Sequence[OutLease]:
        """End parts of a child that were born before a wall time and that nobody is sending, as dead
        letters; those ended (of no lease: without a token). Bounded work per call, none left: empty."""

    def history(self, session_id: str, turns: int) -> Sequence[Message]:
        """The last ``turns`` pairs, oldest first."""

    def archived(self, session_id: str, turns: int) -> Sequence[Message]:
        """The last ``turns`` of what was put aside, oldest first."""

    def rekey(self, child: str, old: str, new: str) -> None:
        """A chat has changed its id: its sessions, rows not ended and undelivered parts follow. A lease given before
        stays good, and what ends it bears its parts in the chat's new place."""

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]:
        """The most recently used sessions."""

    def reset_session(self, session_id: str, now: float) -> bool:
        """Begin anew; the old lines are archived. False when there was nothing."""

    def transcript(self, child: str, chat_id: str, limit: int = 100) -> Sequence[Line]:
        """The last lines of a chat, both directions, oldest first."""

    def audit(self, since: float, limit: int = 1000, contents: bool = False) -> Sequence[AuditLine]:
        """What came in (and was sent from outside) since a wall time: the newest ``limit`` lines, oldest
        first. ``contents``: with what was said."""

    def dead(self, limit: int = 100) -> Sequence[DeadLetter]: ...

    def dead_retry(self, id: str, now: float) -> bool:
        """Put a dead letter back into its queue with its attempts at zero; False: no such."""

    def dead_drop(self, id: str, now: float) -> bool:
        """Forget a dead letter; False: no such."""

    def counts(self, now: float) -> Counts: ...

    def ping(self) -> None:
        """A round trip through the writer."""

    def prune(self, retention: Retention, now: float) -> int:
        """Delete what retention no longer keeps; rows deleted. Bounded work per call."""

    def recover(self, now: float) -> Recovered:
        """At boot, under the lock of data_dir: void every lease, in flight or sending. A row that
        was being sent becomes due at once and uncertain."""

    def close(self) -> None: ...
