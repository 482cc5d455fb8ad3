"""Translator: what the adapters of platforms have in common; each adds what its platform alone does."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol

from hermes_green.core.clock import Clock, SystemClock
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import CapsTable, Part, Peer, Receipt
from hermes_green.core.ports import Context
from hermes_green.core.remembered import Remembered
from hermes_green.link.said import halting

REMEMBERED = 1_000


class Translator:
    """An adapter of one account: its settings, ``_rest``, its calls, and where it asks who it is, ``_who``.
    ``core.ports.Adapter`` says what the methods promise."""

    caps: CapsTable
    _settings: Any
    _rest: Any
    _who: Any = None  # a ``Whoami``, where it is asked for

    def __init__(self, settings: Any, ctx: Context, clock: Clock | None = None) -> None:
        self._settings = settings
        self._ctx = ctx
        self._clock = clock or SystemClock()
        # Parts that went anew although they carry a draft -> their messages' ids.
        self._elsewhere: Remembered[str, str] = Remembered(REMEMBERED)

    def close(self) -> None:
        """Ask no more who we are, and close the pooled HTTP connections."""
        if self._who is not None:
            self._who.close()
        self._rest.close()

    def _completed(
        self,
        part: Part,
        finish: Callable[[Part], str],
        post: Callable[[Part], str],
        retract: Callable[[Part], None],
    ) -> Receipt:
        """Finish the draft that a part carries. Where the platform refuses that, or a file comes in its place,
        the part goes anew and the draft is taken back: in this order, so that nothing is lost in between. Where
        only the taking back breaks off, a repeat does that alone: neither the draft nor a second message is to show
        the text once more.

        ``finish`` and ``post`` answer with the message's id; of ``finish``, "" is a refusal, too.
        """
        id, anew = self._elsewhere.get(part.key, ""), part.key in self._elsewhere
        if part.handle and "media" not in part.payload and not anew:
            try:
                id = finish(part)
            except SendRefused as refused:
                self._ctx.count("drafts", "anew")
                self._ctx.log.info("the draft cannot be finished, the part is sent anew: {}", refused)
        if not id and not anew:
            id = post(part)
            anew = bool(part.handle)
            if anew:
                self._elsewhere[part.key] = id
        if anew:
            retract(part)
        return Receipt(id, self._clock.wall())


class Writer(Protocol):
    """What writes into chats. Methods raise SendError, or AuthRejected for the credentials."""

    def open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Put what will grow into the chat; where it is, for all that follows."""

    def show(self, handle: Mapping[str, Any], text: str, n: int) -> None:
        """Show the text so far, for the ``n``-th time."""

    def finish(self, part: Part) -> str:
        """Make the part's text the draft's last one: the message's id, or "" where it cannot be."""

    def post(self, part: Part) -> str:
        """Bring a part to its chat; the message's id."""

    def retract(self, part: Part) -> None:
        """Take back a draft whose text stands elsewhere now."""


class Writing(Translator):
    """An adapter of which ``_chats`` does all the writing."""

    _chats: Writer

    @halting
    def send(self, part: Part, link: Any) -> Receipt:
        """Finish the draft that the part carries, or post it."""
        return self._completed(part, self._chats.finish, self._chats.post, self._chats.retract)

    @halting
    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """Put what will grow into the chat; where it is, for updates and for ``send``."""
        return self._chats.open(peer, ref, key)

    @halting
    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the text so far."""
        self._chats.show(handle, text, n)
