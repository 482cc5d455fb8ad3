"""The seam: what the runtime, the adapters, the agents and the store expect of each other.

Read this file first. Every method that may wait is blocking-style (it parks its greenlet, never
the hub), and every wait has a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Literal, Mapping, Protocol, Sequence

from hermes_green.core.model import (
    EMPTY,
    CapsTable,
    Delta,
    Inbound,
    Message,
    Part,
    Peer,
    Receipt,
    Reply,
    Turn,
)

Json = Any
Ack = Callable[[bool], None]


# --- platforms ---------------------------------------------------------------------------------


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

    def quarantine(self, raw: bytes | str, error: Exception, ack: Ack | None = None) -> None:
        """Hand in a frame that could not be parsed: stored, counted, then acknowledged."""

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
        """Book a budget other than the dial (QQ: ``"identify"``), before using it.

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


class Adapter(Protocol):
    """A platform's translator: one object per child, as long as its settings live.

    It owns its HTTP session and token cache and no socket: what belongs to one link is a local
    value of ``run``. It never reconnects and never sleeps to retry.

    Optional abilities are called only where the caps of the chat's kind say so: ``find(part) ->
    Receipt | None`` (lookup), ``draft_open(peer, ref, key, seq, link) -> handle`` and
    ``draft_update(handle, text, n, link)`` (streaming), ``typing(peer, link)`` (typing),
    ``upload(peer, media) -> ref`` and ``fetch(ref) -> Iterator[bytes]`` (media).
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
    """Whatever answers. A turn is cancelled by killing the greenlet that iterates."""

    def run(self, turn: Turn) -> Iterator[Delta]:
        """The answer, piece by piece.

        Raises:
            AgentError: the answer failed; what came before it is not an answer.
        """

    def close(self) -> None:
        """Free what the agent owns; called once."""


# --- the store ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Intake:
    """One element of an accept batch: a message with its session, a memo, or both."""

    inbound: Inbound | None
    session_id: str = ""
    memo: Mapping[str, Json] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one inbox row, until ``until``; void once ``token`` is not the row's.

    ``attempt`` includes this one. ``seq_used``: reply numbers already allotted to this message.
    ``draft``: {key, reply_seq, handle} of an earlier attempt's visible draft, or None.
    """

    row: int
    token: str
    until: float
    attempt: int
    turn_id: str
    session_id: str
    inbound: Inbound
    accepted_at: float
    seq_used: int = 0
    draft: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part about to be born. ``lane``: the FIFO it belongs to (chat, or chat and thread).

    ``window`` and ``key_lifetime``: seconds, from Caps. The store draws the key, allots the
    reply_seq and fixes ``not_after`` = min(sent_at, accepted_at) + window.
    """

    peer: Peer
    payload: Mapping[str, Json]
    reply_ref: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    handle: Mapping[str, Json] | None = None
    window: float | None = None
    key_lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn (or a row that never became one) ended; one transaction with everything in it.

    state ``done``: answered. ``dead``: a dead letter with ``reason``. ``refused``: access said no;
    its keys are kept, its text is not.
    """

    state: Literal["done", "dead", "refused"]
    reason: str = ""
    parts: tuple[NewPart, ...] = ()
    history: tuple[Message, ...] = ()
    reset_session: bool = False
    usage: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class OutLease:
    """One outbox row being sent. ``uncertain``: an earlier attempt may have been delivered."""

    row: int
    token: str
    child: str
    lane: str
    part: Part
    born_at: float
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a leased outbox row.

    ``delivered`` with its receipt; ``retry`` at wall time ``at``, ``uncertain`` when the part may
    have been delivered; ``renumber``: the reply number was taken, allot the next and send again;
    ``dead`` or ``held`` with a reason.
    """

    state: Literal["delivered", "retry", "renumber", "dead", "held"]
    receipt: Receipt | None = None
    at: float = 0.0
    reason: str = ""
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The state of a send asked for from outside; ``id`` names all its parts.

    ``state`` is the least finished of them: queued, sending, delivered or dead.
    """

    id: str
    state: Literal["queued", "sending", "delivered", "dead"]
    receipt: Mapping[str, Json] | None = None
    reason: str = ""
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row given up. ``id`` is ``in-<row>`` or ``out-<row>``."""

    id: str
    kind: Literal["inbox", "outbox"]
    child: str
    chat_id: str
    reason: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as ``sessions list`` shows it."""

    session_id: str
    child: str
    chat_id: str
    messages: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chat's transcript, both directions, oldest first. ``id``: what the user said has
    its ``message_id``, an answer the ``key`` of its part, so that whoever saw it live knows it again."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by state. ``oldest_undelivered``: seconds, or None."""

    inbox: int = 0
    outbox: int = 0
    dead: int = 0
    quarantine: int = 0
    oldest_undelivered: float | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a boot found: rows cut in mid-turn (their leases are void now), rows waiting, parts
    undelivered."""

    cut: int
    waiting: int
    undelivered: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is finished is kept; days, and lines per session."""

    inbox_days: float = 8
    outbox_days: float = 8
    history_turns: int = 200
    dead_days: float = 90
    dedup_days: float = 8


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

    def lease_session(self, session_id: str, worker: str, ttl: float, now: float) -> Lease | None:
        """The oldest waiting row of a session, its attempt raised durably by one. None when there
        is none or a live lease is out on the session: at most one turn at a time."""

    def lease_row(self, row: int, worker: str, ttl: float, now: float) -> Lease | None:
        """One given waiting row, past its session's queue and not counted as an attempt (commands,
        refusals). None when it is not waiting."""

    def renew(self, lease: Lease, ttl: float, now: float) -> Lease:
        """Raises LeaseLost."""

    def release(self, lease: Lease, now: float) -> None:
        """Park: the row waits again and its attempt is given back. Raises LeaseLost."""

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

    def history(self, session_id: str, turns: int) -> Sequence[Message]:
        """The last ``turns`` pairs, oldest first."""

    def rekey(self, child: str, old: str, new: str) -> None:
        """A chat has changed its id: its sessions, waiting rows and undelivered parts follow."""

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]:
        """The most recently used sessions."""

    def reset_session(self, session_id: str, now: float) -> bool:
        """Begin anew; the old lines are archived. False when there was nothing."""

    def transcript(self, child: str, chat_id: str, limit: int = 100) -> Sequence[Line]:
        """The last lines of a chat, both directions, oldest first."""

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
