"""The QQ adapter: one object per bot; a link is a local value of ``run``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.conversation import MEMO, Conversation, Standing
from hermes_green.adapters.qq.render import C2C_PARTS, LIMIT, PARTS, UNIT, render
from hermes_green.adapters.qq.rest import Rest, file_lives
from hermes_green.adapters.qq.settings import Settings, intents_of
from hermes_green.adapters.qq.streams import Streams
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendCollision, SendRefused, SendRetry
from hermes_green.core.model import Caps, CapsTable, Part, Peer, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.core.remembered import Remembered
from hermes_green.link.files import Uploads
from hermes_green.link.said import halting
from hermes_green.link.translator import Translator

# bot-docs send.md: a message may be answered for 60 min in direct chats, for 5 min elsewhere, and a
# repeated (msg_id, msg_seq) is recognised as long. Guild direct messages share the table's "dm";
# their 5 min are the platform's to say (304027). Guild messages have no documented msg_seq.
_ANY = Caps(limit=LIMIT, unit=UNIT, parts=PARTS, reply_window=300.0)
_GROUP = replace(_ANY, media=True, quotes=True, key_lifetime=300.0)
_C2C = replace(
    _GROUP, parts=C2C_PARTS, streaming=True, draft_every=0.5, typing=True, reply_window=3600.0, key_lifetime=3600.0
)
_CHANNEL = replace(_ANY, send_needs_link=True, reactions=True, rates=(Rate(5, 1.0, "chat"),))
REMEMBERED = 1_000


class QQAdapter(Translator):
    """Translator for one bot."""

    caps = CapsTable(default=_C2C, by_type={"dm": _C2C, "group": _GROUP, "channel": _CHANNEL})

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings, self._clock, ctx.hide)
        self._streams = Streams(self._rest, ctx)
        self._uploads: Uploads[Mapping[str, Any]] = Uploads(self._clock, file_lives)
        self._signed: Remembered[str, None] = Remembered(REMEMBERED)  # messages that had a working sign
        self._standing = Standing()

    def run(self, port: Port) -> None:
        """Token, gateway, socket, then the conversation until it ends."""
        settings = self._settings
        session = wire.Session.of_memo(self._ctx.memo(MEMO), settings.app_id, intents_of(settings))
        address = settings.ws_base or self._rest.gateway(starting=not session.id)
        talk = Conversation(port, self._ctx, settings, self._standing, session, self._rest.token(), self._rest.drop)
        port.on_close(talk.leave)
        talk.live(address)

    # --- sends -----------------------------------------------------------------------------------

    @halting
    def send(self, part: Part, link: Any) -> Receipt:
        """Finish the draft the part carries, or POST it; its (msg_id, msg_seq) is the row's own on every
        attempt."""
        if link is None and self.caps.of(part.peer.chat_type).send_needs_link:
            raise SendRetry("guild channels take messages only while the gateway link is up", after=1.0)
        return Receipt(self._deliver(part), self._clock.wall())

    def _deliver(self, part: Part) -> str:
        if part.handle and (finished := self._streams.finish(part.handle, part)):
            return finished
        media, file = part.payload.get("media"), ""
        if media is not None:
            uploaded = self._uploads.once(part.key, lambda: self._rest.upload(part.peer, media))
            file = str(uploaded["file_info"])
        try:
            said = self._rest.call("POST", wire.path_of(part.peer), wire.message(part, file))
        except SendCollision:
            if part.attempt > 1:
                return ""  # an earlier attempt, whose answer was lost, arrived
            self._ctx.count("sends", "collision")
            raise
        return str(said.get("id") or "")

    # --- what a chat sees of a turn that runs ----------------------------------------------------

    @halting
    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """Begin a stream, which only answers in direct chats can be."""
        msg_id = str(ref.get("msg_id") or "")
        if wire.kind_of(peer) is not wire.C2C or not msg_id:
            raise SendRefused("QQ streams nothing but answers in direct chats", code="stream")
        return self._streams.open(peer.chat_id, msg_id, seq)

    @halting
    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the text so far."""
        self._streams.show(handle, text)

    @halting
    def typing(self, peer: Peer, link: Any) -> None:
        """Shown for a minute, or until the answer; once for a message, because it is one of the five replies
        that a message may have."""
        msg_id = str(peer.extra.get("msg_id") or "")
        if wire.kind_of(peer) is not wire.C2C or not msg_id or msg_id in self._signed:
            return
        self._signed[msg_id] = None
        self._rest.call("POST", wire.path_of(peer), wire.working(msg_id))

    # --- files -----------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of what a user sent; voice is SILK, as QQ has it. Raises LinkLost."""
        return self._rest.download(str(ref.get("url") or ""))

    # --- the rest --------------------------------------------------------------------------------

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Texts of at most 4,000 characters, then files; five to a message."""
        return render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``, ``group:``, ``channel:`` or ``dm:`` (a guild's) before an id; ids alone look alike."""
        prefix, _, chat_id = chat.partition(":")
        for kind in wire.KINDS:
            if chat_id and kind.prefix == prefix:
                user_id = chat_id if kind is wire.C2C else None
                return Peer(self._ctx.child, chat_id, kind.type, user_id=user_id, extra={"kind": kind.name})
        return None
