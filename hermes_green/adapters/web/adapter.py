"""WebAdapter: a platform without a network, and the shortest example of an adapter."""

from __future__ import annotations

import math
import time
from typing import Any, Mapping

from gevent.event import Event

from hermes_green.adapters.web.mailbox import Mailbox, chat_peer, line_of
from hermes_green.adapters.web.settings import Settings
from hermes_green.content.media import named
from hermes_green.core.errors import UnknownChat
from hermes_green.core.model import Caps, CapsTable, Part, Peer, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.core.text import split

BEAT = 5.0
LIMIT = 100_000  # characters; an answer beyond it comes in several messages

CAPS = CapsTable(Caps(limit=LIMIT, key_lifetime=math.inf, refuse="frame"))


class WebAdapter:
    """The page's chat. The page deduplicates by id, so a part that is sent twice is shown once."""

    def __init__(self, settings: Settings, ctx: Context, mailbox: Mailbox) -> None:
        self.caps = CAPS
        self._ctx = ctx
        self._beat = settings.ping_interval or BEAT
        self._mailbox = mailbox

    def run(self, port: Port) -> None:
        """Ready at once; then the page's posts go through ``port`` until the runtime ends the run."""
        closed = Event()
        port.on_close(closed.set)
        port.ready("the page")
        self._mailbox.attach(self._ctx.child, port)
        try:
            while not closed.wait(self._beat):
                port.beat()
        finally:
            self._mailbox.detach(port)

    def send(self, part: Part, link: Any) -> Receipt:
        """Show the part to whoever has the chat open; the transcript shows it to everybody else."""
        at = time.time()
        reply_to = part.reply_ref.get("message_id")
        text = str(part.payload.get("text", ""))
        self._mailbox.publish(line_of(part.key, part.peer.chat_id, "assistant", text, at, reply_to))
        return Receipt(part.key, at)

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Markdown as it is; the page shows it as text, and files by their names."""
        limits = self.caps.of(reply.peer.chat_type)
        text = "\n".join(line for line in (reply.text, *map(named, reply.media)) if line.strip())
        pieces = [{"text": piece} for piece in split(text, limits.limit, limits.unit)]
        return tuple(pieces) or ({"text": ""},)

    def peer_of(self, chat: str) -> Peer | None:
        """Any id the page could have chosen; there are only direct chats."""
        try:
            return chat_peer(self._ctx.child, chat)
        except UnknownChat:
            return None

    def close(self) -> None:
        """Nothing is owned."""
