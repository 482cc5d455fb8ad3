"""Rows: what goes into the durable store and comes out of it, as frozen values; wall times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Mapping, Sequence

from hermes_green.core.model import EMPTY, Inbound, Message, Part, Peer, Receipt

Json = Any


@dataclass(frozen=True, slots=True)
class Intake:
    """One element of an accept batch: a message with its session, a memo, or both."""

    inbound: Inbound | None
    session_id: str = ""
    memo: Mapping[str, Json] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Resets:
    """When a session begins anew by itself: one last used before the wall time given for its chat, or
    else for its kind of chat."""

    by_kind: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    by_chat: Mapping[str, float] = field(default_factory=lambda: EMPTY)

    def before(self, peer: Peer) -> float:
        """The wall time for a peer's session; minus infinity where it never resets."""
        return self.by_chat.get(peer.chat_id, self.by_kind.get(peer.chat_type, float("-inf")))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one inbox row, until ``until``; void once ``token`` is not the row's.

    ``attempt`` includes this one. ``seq_used``: reply numbers already allotted to this message.
    ``draft``: {key, reply_seq, handle} of an earlier attempt's visible draft, or None. ``history``:
    the session's, when it was asked for along with the lease; None: not asked for. ``messages``: where
    several rows are one turn, what all of them say, in order, ``inbound`` (which is answered) among
    them, and ``rows`` their numbers.
    ``generation``: how often the session has begun anew; ``reset``: it just has, by its policy.
    ``stale``: whoever works on it has found it too old, which its end writes down (``TurnEnd.stale``).
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
    history: Sequence[Message] | None = None
    messages: tuple[Inbound, ...] = ()
    rows: tuple[int, ...] = ()
    generation: int = 0
    reset: bool = False
    stale: bool = False


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part about to be born. ``lane``: the FIFO it belongs to (chat, or chat and thread).

    ``window`` and ``key_lifetime``: seconds, from Caps. The store draws the key, allots the
    reply_seq and fixes ``not_after`` = min(sent_at, accepted_at) + window; without sent_at where that was over
    when the message came.
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
    its keys are kept, its text is not. ``undo``: the session's last exchange is put aside, before
    ``history`` is added. ``stale``: its messages were too old when their turn began.
    """

    state: Literal["done", "dead", "refused"]
    reason: str = ""
    parts: tuple[NewPart, ...] = ()
    history: tuple[Message, ...] = ()
    reset_session: bool = False
    undo: bool = False
    usage: Mapping[str, Json] | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class OutLease:
    """One outbox row being sent. ``uncertain``: an earlier attempt may have been delivered. ``turn``: the
    turn it was born of, or the send from outside; ``message_id``: what it answers, "" for nothing."""

    row: int
    token: str
    child: str
    lane: str
    part: Part
    born_at: float
    uncertain: bool = False
    turn: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a leased outbox row.

    ``delivered`` with its receipt; ``retry`` at wall time ``at``, ``uncertain`` when the part may
    have been delivered; ``renumber``: the reply number was taken, allot the next and send again;
    ``unsent``: the row is as it was before the lease, which is no attempt; ``dead`` or ``held`` with
    a reason. ``replaced``: ``payload`` goes in place of what the platform refused, as a part never
    tried, and what was refused is a dead letter with the reason.
    """

    state: Literal["delivered", "retry", "renumber", "unsent", "dead", "held", "replaced"]
    receipt: Receipt | None = None
    at: float = 0.0
    reason: str = ""
    uncertain: bool = False
    payload: Mapping[str, Json] = field(default_factory=lambda: EMPTY)


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
class AuditLine:
    """One message and what became of it, or one send from outside (``kind`` "send", without a user).

    kind: "text", "command", "reaction", or the kinds of its media. length: characters. state: waiting, running, done,
    refused or dead. seconds: from its coming to its end. usage: what the agent said that it cost.
    delivered, undelivered, given_up: parts of the answer. text and answer: "" unless asked for; what was
    refused has neither text nor user. stale: too old when its turn began.
    """

    at: float
    child: str
    chat_id: str
    chat_type: str
    thread_id: str | None
    user_id: str | None
    user_name: str | None
    session_id: str
    message_id: str
    turn_id: str
    kind: str
    length: int
    state: str
    reason: str
    attempts: int
    seconds: float | None
    usage: Mapping[str, Json] | None
    delivered: int = 0
    undelivered: int = 0
    given_up: int = 0
    text: str = ""
    answer: str = ""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as ``sessions list`` shows it. ``generation``: how often it has begun anew."""

    session_id: str
    child: str
    chat_id: str
    messages: int
    last_at: float
    generation: int = 0


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
