"""The Feishu adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, Mapping

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.cards import Cards
from hermes_green.adapters.feishu.conversation import Conversation
from hermes_green.adapters.feishu.parse import Bot, quoted
from hermes_green.adapters.feishu.rest import MESSAGES, Rest
from hermes_green.adapters.feishu.settings import Settings
from hermes_green.core.address import peer_at
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import objects_of, text_at
from hermes_green.core.model import Caps, CapsTable, ChatType, Peer, Quote, Rate, Reply, Unit, together
from hermes_green.core.ports import Context, Port
from hermes_green.link.api import path_of
from hermes_green.link.translator import Writing
from hermes_green.link.whoami import Whoami

# open.feishu.cn "Rate limits" and "Send message": per app and call 50/s and 1000/min, per chat 5/s
# shared by all bots; a uuid is recognised for an hour; an event is to be answered within 3 s. Updates of
# drafts are calls of another kind, with limits of their own (``cards``).
CAPS = Caps(
    limit=bodies.POST_LIMIT,
    unit=Unit.BYTES,
    edits=True,
    streaming=True,
    draft_every=0.45,
    threads=True,
    media=True,
    quotes=True,
    reactions=True,
    rates=(
        Rate(50, 1.0, "account", drafts=False),
        Rate(1000, 60.0, "account", drafts=False),
        Rate(5, 1.0, "chat", drafts=False),
    ),
    key_lifetime=3600.0,
    ack_deadline=3.0,
    refuse="frame",
)
_ADDRESSES: Mapping[str, ChatType] = {
    r"(user|dm):(?P<chat>oc_[^\s/?#]*)": "dm",
    r"(user|dm):(?P<user>[^\s/?#]+)": "dm",
    r"(?P<user>o[un]_[^\s/?#:]*|[^\s/?#:]*@[^\s/?#:]*)": "dm",
    r"(group:)?(?P<chat>oc_[^\s/?#:]*)": "group",
}


class FeishuAdapter(Writing):
    """Translator for one app."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings, self._clock, ctx.hide)
        self._chats = Cards(self._rest, ctx, self._clock)
        # What is wrong with the credentials is for the dial to say.
        self._who = Whoami(lambda: self._rest.bot(), Bot(), ctx, self._clock)

    def run(self, port: Port) -> None:
        """Endpoint, socket, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._settings, self._clock, self._who.now)
        port.on_close(talk.leave)
        endpoint = self._rest.endpoint()
        # Asked only now: a refused dial shall be the one refusal the platform counts.
        self._who.learn()
        talk.live(endpoint)

    # There is no working sign: the platform has none that ends by itself. A reaction, which others use,
    # stays for ever when the process that set it dies.

    # --- files -----------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of what a user sent (up to 100 MB; the platform hands out no stickers). Raises LinkError."""
        path = path_of(MESSAGES, ref.get("message_id"), "resources", ref.get("key"))
        return self._rest.download(path, {"type": str(ref.get("type") or "file")})

    def quoted(self, ref: Mapping[str, Any]) -> Quote:
        """A message that another one answers. Raises SendError, BadFrame, AuthRejected."""
        items = objects_of(self._rest.call("GET", path_of(MESSAGES, ref.get("message_id"))).get("items"))
        if not items or items[0].get("deleted") is True:
            raise BadFrame("the message is not there (any more)")
        # What was forwarded as one stands behind the message that holds it.
        found = [quoted(each, self._settings.app_id, self._who.bot) for each in items[1:] or items]
        return replace(together(found), chat_id=text_at(items[0], "chat_id"))

    # --- the rest --------------------------------------------------------------------------------

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Plain text, or posts with Markdown rows, each within the platform's bytes; then files."""
        return bodies.render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:`` or ``group:`` before an id. A bare ou_, on_ or e-mail address is a person; a bare
        oc_ is taken for a group's, because direct chats, which may have one too, are written to alike."""
        return peer_at(self._ctx.child, chat, _ADDRESSES)
