"""The Feishu adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

from typing import Any, Iterator, Mapping
from urllib.parse import quote

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.cards import Cards
from hermes_green.adapters.feishu.chats import Chats
from hermes_green.adapters.feishu.conversation import Conversation
from hermes_green.adapters.feishu.parse import Bot, quoted
from hermes_green.adapters.feishu.rest import MESSAGES, Rest
from hermes_green.adapters.feishu.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame
from hermes_green.core.model import Caps, CapsTable, Part, Peer, Quote, Rate, Receipt, Reply, Unit
from hermes_green.core.ports import Context, Port
from hermes_green.link.said import halting
from hermes_green.link.translator import Translator
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
_DIRECT = ("ou_", "on_")


class FeishuAdapter(Translator):
    """Translator for one app."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings, self._clock, ctx.hide)
        self._chats = Chats(self._rest, ctx)
        self._cards = Cards(self._rest, self._chats, ctx, self._clock)
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

    # --- sends -----------------------------------------------------------------------------------

    @halting
    def send(self, part: Part, link: Any) -> Receipt:
        """Finish the draft the part carries, or post it: as a reply to the message ``reply_ref`` names, else
        to the chat. ``uuid`` is the row's key on every attempt, so a repeat within the hour answers with the
        first message."""
        return self._completed(part, self._cards.finish, self._chats.deliver, self._cards.retract)

    # --- what a chat sees of a turn that runs ----------------------------------------------------

    # There is no working sign: the platform has none that ends by itself. A reaction, which others use,
    # stays for ever when the process that set it dies.

    @halting
    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """Put a card into the chat that will grow; where it is, for updates and for ``send``."""
        return self._cards.open(peer, ref, key)

    @halting
    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the text so far; what exceeds a part waits for the parts."""
        self._cards.show(handle, text, n)

    # --- files -----------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of what a user sent (up to 100 MB; the platform hands out no stickers). Raises LinkError."""
        message, key = (quote(str(ref.get(name) or ""), safe="") for name in ("message_id", "key"))
        return self._rest.download(f"{MESSAGES}/{message}/resources/{key}", {"type": str(ref.get("type") or "file")})

    def quoted(self, ref: Mapping[str, Any]) -> Quote:
        """A message that another one answers. Raises SendError, BadFrame, AuthRejected."""
        told = self._rest.call("GET", f"{MESSAGES}/{quote(str(ref.get('message_id') or ''), safe='')}")
        items = told.get("items")
        item = items[0] if isinstance(items, list) and items else None
        if not isinstance(item, dict) or item.get("deleted") is True:
            raise BadFrame("the message is not there (any more)")
        return quoted(item, self._settings.app_id, self._who.bot)

    # --- the rest --------------------------------------------------------------------------------

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Plain text, or posts with Markdown rows, each within the platform's bytes; then files."""
        return bodies.render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:`` or ``group:`` before an id. A bare ou_, on_ or e-mail address is a person; a bare
        oc_ is taken for a group's, because direct chats, which may have one too, are written to alike."""
        prefix, colon, chat_id = chat.strip().partition(":")
        if not colon:
            direct = prefix.startswith(_DIRECT) or "@" in prefix
            prefix, chat_id = ("dm" if direct else "group"), prefix
        if not chat_id or any(c.isspace() or c in "/?#" for c in chat_id):
            return None
        if prefix in ("user", "dm"):
            user_id = chat_id if not chat_id.startswith("oc_") else None
            return Peer(self._ctx.child, chat_id, "dm", user_id=user_id)
        if prefix == "group" and chat_id.startswith("oc_"):
            return Peer(self._ctx.child, chat_id, "group")
        return None

    def close(self) -> None:
        """Ask no more who we are, and close the pooled HTTP connections."""
        self._who.close()
        super().close()
