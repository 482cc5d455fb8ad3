"""The values that travel: frozen, slotted, complete at birth.

Ids are the platform's own, unprefixed. Wall times are seconds since the epoch. Mappings hold
JSON values only, because every one of them may be stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Iterable, Literal, Mapping, Sequence

EMPTY: Mapping[str, Any] = MappingProxyType({})

ChatType = Literal["dm", "group", "channel"]
MediaKind = Literal["image", "file", "audio", "video"]
_BY_MIME: Mapping[str, MediaKind] = {"image": "image", "audio": "audio", "voice": "audio", "video": "video"}


class Secret:
    """A value that must not be seen: repr, str, format and JSON are ``***``; ``reveal()`` tells it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, at the last moment before it goes on the wire."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not serialised")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who or where on a platform. ``extra`` is the adapter's own, stored and handed back untouched."""

    child: str
    chat_id: str
    chat_type: ChatType
    thread_id: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


def lane_of(peer: Peer) -> str:
    """The outbox FIFO of a peer: its chat, whatever the thread."""
    return peer.chat_id


def renamed(session_id: str, child: str, old: str, new: str) -> str:
    """The session's id after a chat's has changed: ids are ``child:chat`` or ``child:chat:more``; others stay."""
    base = f"{child}:{old}"
    if session_id == base or session_id.startswith(base + ":"):
        return f"{child}:{new}{session_id[len(base):]}"
    return session_id


@dataclass(frozen=True, slots=True)
class Attachment:
    """A piece of media: ``ref`` is what the platform needs to fetch it, ``path`` where it lies once fetched."""

    kind: MediaKind
    ref: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    name: str = ""
    mime: str = ""
    size: int | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """What a file is called, where its platform tells that only with the bytes: comes before them."""

    name: str


def kind_of(mime: str) -> MediaKind:
    """What a file is to people, by its MIME type, or the platform's own that looks like one."""
    return _BY_MIME.get(mime.partition("/")[0], "file")


def wordless(media: Iterable[Attachment]) -> str:
    """What stands for media that came without a word."""
    return " ".join(f"[{each.kind}]" for each in media)


# Characters of a quotation that are handed on.
QUOTED = 2_000


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that another one answers or quotes, as far as is known.

    ``author``: a name or an id, "" unknown. ``attachments``: its media. ``ref``: what the platform needs to
    tell what it says, where the frame did not. ``opens``: it is what opened the thread, which a conversation
    that has begun knows already. ``chat_id``: where it stands, known when it was asked for.
    """

    text: str = ""
    author: str = ""
    message_id: str = ""
    attachments: tuple[Attachment, ...] = ()
    ref: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    opens: bool = False
    chat_id: str = ""

    def before(self, text: str) -> str:
        """``text`` after the quotation, whose lines are marked as Markdown marks them."""
        words = self.text if len(self.text) <= QUOTED else f"{self.text[:QUOTED]}…"
        said = f"{self.author}: {words}" if self.author and words else words
        quoted = "\n".join(f"> {line}".rstrip() for line in said.splitlines())
        return "\n\n".join(part for part in (quoted, text) if part)


def together(quotes: Sequence[Quote]) -> Quote:
    """What was forwarded as one: of several each after its author, and without media, which no platform gives out
    so."""
    if len(quotes) == 1:
        return quotes[0]
    return Quote("\n".join(f"{each.author}: {each.text}" if each.author else each.text for each in quotes))


@dataclass(frozen=True, slots=True)
class Reaction:
    """What somebody has put to a message, by the platform's name or as itself, or taken away again."""

    emoji: str
    added: bool = True


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from a platform in neutral form.

    ``keys``: every id under which the platform may send it again; any key seen before is a
    duplicate. ``reply_ref``: what a reply to this very message needs (msg_id, webhook, req_id),
    stored with the row and copied to each part. ``mentioned``: the bot was addressed (true in DMs,
    and where nobody need mention it).
    ``sent_at``: the platform's wall time in seconds, None where it gives none. ``quote``: what it
    answers or quotes. ``bot``: another bot has written it; what we write ourselves is no message.
    ``reaction``: it is no message but a reaction to the one of this ``message_id``, and has no text.
    ``strange``: the platform's name of its kind, where that is not known: its frame is kept for whoever will
    know it, and forgotten with the frame.
    """

    keys: tuple[str, ...]
    peer: Peer
    message_id: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    reply_ref: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    mentioned: bool = True
    sent_at: float | None = None
    quote: Quote | None = None
    bot: bool = False
    reaction: Reaction | None = None
    strange: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is rendered. ``seq_used``: reply numbers already spent on the same message."""

    text: str
    peer: Peer
    reply_ref: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    media: tuple[Attachment, ...] = ()
    seq_used: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One outbox row as an adapter's ``send`` sees it.

    ``key``: 128 random bits (32 hex digits), the same on every retry. ``reply_seq``: this part's
    number among the replies to one message, from 1, never reused. ``ordinal``: its place in its
    reply, from 0. ``attempt``: 1 on the first try. ``handle``: the draft it finishes.
    ``not_after`` and ``key_expires``: wall seconds.
    """

    key: str
    reply_seq: int
    ordinal: int
    peer: Peer
    payload: Mapping[str, Any]
    reply_ref: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    handle: Mapping[str, Any] | None = None
    not_after: float | None = None
    key_expires: float | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """The platform's proof of delivery: its id of the message ("" where it gives none) and when."""

    id: str
    at: float


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an agent's answer; texts append. ``usage`` comes with the last one, where known."""

    text: str = ""
    media: tuple[Attachment, ...] = ()
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a session's history."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of an agent. ``id`` is stable over reruns, ``attempt`` counts them from 1. ``session_id``
    is another one each time that the conversation begins anew. ``system_prompt``: the route's; "": the
    agent's own. ``quote``: what the message answers or quotes; its media are among the attachments.
    ``stale``: it was older than the operator's ``max_age`` when the turn began."""

    id: str
    attempt: int
    session_id: str
    child: str
    platform: str
    account: str
    chat_id: str
    chat_type: ChatType
    thread_id: str | None
    user_id: str | None
    user_name: str | None
    text: str
    attachments: tuple[Attachment, ...] = ()
    history: tuple[Message, ...] = ()
    locale: str = "en"
    system_prompt: str = ""
    quote: Quote | None = None
    stale: bool = False

    @property
    def asked(self) -> str:
        """What is said, after what it quotes: all that an agent needs which knows no quotations."""
        return self.quote.before(self.text) if self.quote is not None else self.text


class Unit(StrEnum):
    """In what a platform counts a message's length."""

    BYTES = "bytes"
    UTF16 = "utf16"
    CHARS = "chars"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` sends per ``seconds``, per chat or per account. ``drafts``: a draft's updates
    count as sends, because they go the same way."""

    count: int
    seconds: float
    scope: Literal["chat", "account"] = "chat"
    drafts: bool = True


@dataclass(frozen=True, slots=True)
class Caps:
    """What a platform can do, as data, per kind of chat.

    limit, unit: length of one part after rendering. parts: most parts to one inbound (None: any).
    key_lifetime: seconds for which a repeated send key is recognised (None: no key; ``inf``: for
    ever). reply_window: seconds after the inbound in which a reply is accepted. ack_deadline:
    seconds in which a frame must be acknowledged. send_needs_link: sends only work while the link
    is up. handover: the platform announces the end of a link and a second one may be opened
    beside it. draft_every: seconds between two updates of a draft. refuse: what to do with a frame
    that cannot be taken. resends: what was pushed and not acknowledged comes again; where it does not,
    the frame is kept until it is committed (``Port.keep``). suspect: where a burst of dials may leave the
    bot accepted but deaf, the sentence that says what else helps. lookup: the platform can be asked whether a part
    arrived (``Adapter.find``). quotes: what a message answers or quotes
    is told, by its frame or, where ``Quote.ref`` says so, by ``Adapter.quoted``. reactions: they are
    told. media_expires: seconds after which what came with a message cannot be fetched any more.
    """

    limit: int = 4000
    unit: Unit = Unit.CHARS
    parts: int | None = None
    edits: bool = False
    streaming: bool = False
    draft_every: float = 1.0
    threads: bool = False
    typing: bool = False
    media: bool = False
    lookup: bool = False
    quotes: bool = False
    reactions: bool = False
    media_expires: float | None = None
    rates: tuple[Rate, ...] = ()
    key_lifetime: float | None = None
    reply_window: float | None = None
    ack_deadline: float | None = None
    send_needs_link: bool = False
    handover: bool = False
    refuse: Literal["frame", "link"] = "link"
    resends: bool = True
    suspect: str = ""


@dataclass(frozen=True, slots=True)
class CapsTable:
    """Caps by kind of chat, with a default for kinds not listed."""

    default: Caps
    by_type: Mapping[str, Caps] = field(default_factory=dict)

    def of(self, chat_type: str) -> Caps:
        """The caps of one kind of chat."""
        return self.by_type.get(chat_type, self.default)
