"""Mailbox: where the page and the web adapter meet, without knowing each other."""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from typing import Any, Mapping

from gevent import Timeout
from gevent.event import AsyncResult, Event
from gevent.queue import Empty, Full, Queue

from hermes_green.core.errors import LinkLost, StoreAway, UnknownChat
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Port

COMMIT_WAIT = 10.0  # seconds a post waits for its commit
START_WAIT = 2.0  # seconds a post waits for a child that is just starting
FEED_BOUND = 256
# So many answers to nobody are kept for who listens next, in so many chats.
UNHEARD, UNHEARD_CHATS = 32, 128
USER = "web"

_CHAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")


def chat_peer(child: str, chat: str, user: str | None = None) -> Peer:
    """The peer of one of the page's chats; the page itself chooses the ids.

    Raises:
        UnknownChat: the id is not of the form that a chat of the page has.
    """
    kind, colon, rest = chat.partition(":")
    if colon and kind in ("dm", "user"):
        chat = rest
    if kind in ("group", "channel") and colon or not _CHAT.fullmatch(chat):
        raise UnknownChat(
            f"{chat[:64]!r} is not a chat of the page",
            code="bad_chat",
            action="use 1 to 128 letters, digits and _ . : @ -, such as main",
        )
    return Peer(child, chat, "dm", user_id=user or USER)


class Feed:
    """One listener's bounded queue of a chat's lines. A listener that does not keep up is cut off
    (``lagging``), so that it comes again and reads the transcript."""

    def __init__(self, mailbox: Mailbox, chat: str) -> None:
        self.chat = chat
        self.lagging = False
        self._mailbox = mailbox
        self._lines: Queue[Mapping[str, Any]] = Queue(FEED_BOUND)

    def get(self, timeout: float) -> Mapping[str, Any] | None:
        """The next line ``{id, chat, role, text, at, reply_to}``, or None after ``timeout`` seconds."""
        try:
            return self._lines.get(timeout=timeout)
        except Empty:
            return None

    def close(self) -> None:
        """Stop listening."""
        self._mailbox.drop(self)

    def offer(self, line: Mapping[str, Any]) -> None:
        """Put a line without waiting."""
        try:
            self._lines.put_nowait(line)
        except Full:
            self.lagging = True


class Mailbox:
    """The page's side: ``post`` and ``listen``. The adapter's side: ``attach``, ``detach``, ``publish``.

    It outlives the adapter's runs and, over a reload, the adapter.
    """

    def __init__(self, child: str = "web") -> None:
        self.child = child
        self._port: Port | None = None
        self._open = Event()
        self._waiting: set[AsyncResult] = set()
        self._feeds: dict[str, set[Feed]] = {}
        self._unheard: dict[str, deque[Mapping[str, Any]]] = {}

    # --- the page ---

    def post(self, text: str, chat: str = "main", user: str | None = None, key: str | None = None) -> str:
        """Hand in a message and wait for its commit; the message's id. The same ``key`` again
        is the same message: it answers the same id and nothing happens twice.

        Raises:
            UnknownChat: ``chat`` is not of the right form.
            LinkLost: the web chat is stopped or is just stopping.
            StoreAway: not known to be committed within 10 s; the same key may be tried again.
        """
        peer = chat_peer(self.child, chat, user)
        self._open.wait(START_WAIT)
        port = self._port
        if port is None:
            raise LinkLost(
                f"the child {self.child} is not running",
                code="child_down",
                action=f"start it with `hermes-green adapters start {self.child}`",
            )
        id = key or secrets.token_hex(16)
        inbound = Inbound(
            keys=(f"{peer.chat_id}/{id}",),
            peer=peer,
            message_id=id,
            text=text,
            reply_ref={"message_id": id},
            sent_at=time.time(),
        )
        committed: AsyncResult = AsyncResult()
        self._waiting.add(committed)
        try:
            port.accept(inbound, committed.set)
            late = StoreAway("the message could not be stored within 10 s", action="send it again with the same key")
            with Timeout(COMMIT_WAIT, late):
                taken = committed.get()
        finally:
            self._waiting.discard(committed)
        if taken:
            # As old as it is: its answer may have been told by now, and lines stand in the order of their time.
            self._tell(line_of(id, peer.chat_id, "user", text, inbound.sent_at))
        return id

    def listen(self, chat: str = "main") -> Feed:
        """A feed of the chat's lines from now on, after the answers that nobody has heard: who asks first and
        listens then must not miss what came in between. Its owner closes it. Raises UnknownChat."""
        feed = Feed(self, chat_peer(self.child, chat).chat_id)
        self._feeds.setdefault(feed.chat, set()).add(feed)
        for line in self._unheard.pop(feed.chat, ()):
            feed.offer(line)
        return feed

    def drop(self, feed: Feed) -> None:
        """Forget a feed."""
        feeds = self._feeds.get(feed.chat, set())
        feeds.discard(feed)
        if not feeds:
            self._feeds.pop(feed.chat, None)

    # --- the adapter ---

    def attach(self, child: str, port: Port) -> None:
        """From now on messages go into this run of ``child``; the page talks to one child at a time."""
        self.child = child
        self._port = port
        self._open.set()

    def detach(self, port: Port) -> None:
        """The run is over: who still waits for a commit learns that it is not known."""
        if self._port is not port:
            return
        self._port = None
        self._open.clear()
        for committed in tuple(self._waiting):
            if not committed.ready():
                committed.set_exception(
                    StoreAway("the web chat stopped before the message was stored", action="send it again")
                )

    def publish(self, line: Mapping[str, Any]) -> None:
        """An answer for whoever listens to its chat, or does so next; the store keeps it for those who come later."""
        chat = line["chat"]
        if not self._feeds.get(chat):
            self._unheard.setdefault(chat, deque(maxlen=UNHEARD)).append(line)
            if len(self._unheard) > UNHEARD_CHATS:
                del self._unheard[next(iter(self._unheard))]
        self._tell(line)

    def _tell(self, line: Mapping[str, Any]) -> None:
        for feed in tuple(self._feeds.get(line["chat"], ())):
            feed.offer(line)


def line_of(
    id: str, chat: str, role: str, text: str, at: float | None = None, reply_to: str | None = None
) -> dict[str, Any]:
    """One line of a chat as listeners see it; ``at`` in wall seconds."""
    return {"id": id, "chat": chat, "role": role, "text": text, "at": at or time.time(), "reply_to": reply_to}
