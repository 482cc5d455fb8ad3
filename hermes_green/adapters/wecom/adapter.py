"""The WeCom adapter: one object per bot; a link is a local value of ``run``."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hermes_green.adapters.wecom import wire
from hermes_green.adapters.wecom.codes import STALE_REQUEST, STALE_STREAM
from hermes_green.adapters.wecom.conversation import Conversation
from hermes_green.adapters.wecom.drafts import Drafts
from hermes_green.adapters.wecom.exchange import AGAIN, Exchange
from hermes_green.adapters.wecom.media import fetched, upload
from hermes_green.adapters.wecom.render import LIMIT, UNIT, render, shown
from hermes_green.adapters.wecom.settings import Settings
from hermes_green.core.address import peer_at
from hermes_green.core.clock import Clock
from hermes_green.core.errors import LinkLost, SendRefused, SendRetry
from hermes_green.core.model import Caps, CapsTable, ChatType, Part, Peer, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.link.dial import rebased
from hermes_green.link.files import Uploads
from hermes_green.link.http import Http
from hermes_green.link.translator import Translator

# A callback may be answered for 24 h; then the same text goes as a message of its own, so that no part
# has to be in time. A stream's id is its key: a repeated frame replaces what its bubble shows; a message
# that answers nothing has none. Rates: what is believed of an unreadable page, 30 a minute and 1,000 an
# hour in a chat; 45009 is the authority. Refreshing a bubble costs nothing.
WINDOW = 24 * 3600.0
CAPS = Caps(
    limit=LIMIT,
    unit=UNIT,
    streaming=True,
    draft_every=1.0,
    media=True,
    media_expires=300.0,
    quotes=True,
    rates=(Rate(30, 60.0, "chat", drafts=False), Rate(1000, 3600.0, "chat", drafts=False)),
    key_lifetime=WINDOW,
    send_needs_link=True,
    resends=False,
)
_CHATS: Mapping[str, ChatType] = {r"(?:user|dm):(?P<user>.+)": "dm", r"group:(?P<chat>.+)": "group"}


class WeComAdapter(Translator):
    """Translator for one bot."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Http(settings.api_base, ca_file=settings.ca_file, proxy=settings.proxy)
        self._drafts = Drafts(self._clock)
        self._uploads: Uploads[tuple[str, str]] = Uploads()

    def run(self, port: Port) -> None:
        """Socket and subscription, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._settings, self._drafts)
        port.on_close(talk.leave)
        talk.live(self._settings.ws_base or wire.WS_BASE)

    def replay(self, port: Port, raw: str | bytes) -> None:
        """Hand in a message that was kept."""
        Conversation(port, self._ctx, self._settings, self._drafts).again(raw)

    # --- out -------------------------------------------------------------------------------------

    def send(self, part: Part, link: Any) -> Receipt:
        """Finish the draft's bubble, else answer with one of its own, else write to the chat."""
        exchange = _link(link)
        media = part.payload.get("media")
        sent = self._say(part, exchange) if media is None else self._show(part, media, exchange)
        return Receipt(sent, self._clock.wall())

    def _say(self, part: Part, link: Exchange) -> str:
        text = str(part.payload.get("text", ""))
        for req_id, stream_id in self._bubbles(part):
            try:
                self._drafts.finish(link, req_id, stream_id, text)
                return stream_id
            except SendRefused as refused:
                self._stale(refused)
        return self._write(part.peer, wire.markdown(text), link)

    def _bubbles(self, part: Part) -> Iterator[tuple[str, str]]:
        """req_id and stream id of the ways to answer, the best first."""
        if part.handle is not None:
            yield str(part.handle.get("req_id")), str(part.handle.get("stream_id"))
        req_id = self._answerable(part.reply_ref)
        if req_id:
            yield req_id, part.key

    def _show(self, part: Part, media: Mapping[str, Any], link: Exchange) -> str:
        kind, media_id = self._uploads.once(part.key, lambda: upload(link, media))
        if part.handle is not None:
            self._close(part.handle, f"[{media.get('kind')}] {media.get('name')}", link)
        body = wire.media(kind, media_id)
        req_id = self._answerable(part.reply_ref)
        if req_id:
            try:
                link.ask(wire.RESPOND, body, req_id)
                return media_id
            except SendRefused as refused:
                self._stale(refused)
        return self._write(part.peer, body, link)

    def _close(self, handle: Mapping[str, Any], text: str, link: Exchange) -> None:
        """A bubble that grew before an answer without words: it says what comes instead."""
        try:
            self._drafts.finish(link, str(handle.get("req_id")), str(handle.get("stream_id")), text)
        except SendRefused as refused:
            self._stale(refused)

    def _write(self, peer: Peer, body: Mapping[str, Any], link: Exchange) -> str:
        answer = link.ask(wire.SEND, wire.to_chat(peer, body))
        return str(answer.body.get("msgid") or answer.req_id)

    def _answerable(self, ref: Mapping[str, Any]) -> str:
        """The req_id to answer with, or "" where there is none or it is too old."""
        at = ref.get("at")
        if isinstance(at, (int, float)) and self._clock.wall() > at + WINDOW:
            return ""
        return str(ref.get("req_id") or "")

    def _stale(self, refused: SendRefused) -> None:
        """Pass when another way may be open; else raise."""
        if refused.code not in (STALE_REQUEST, STALE_STREAM):
            raise refused
        self._ctx.count("sends", "stale")

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Markdown of at most 20,480 bytes each, then one payload for each medium."""
        return render(reply)

    # --- drafts ----------------------------------------------------------------------------------

    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """The bubble with the stream id ``key``; only an answer can grow.

        Nothing is sent yet: so the handle is on the turn's row before the platform knows of a bubble, and
        neither a lost answer nor our own death leaves one behind that nobody finishes.
        """
        req_id = self._answerable(ref)
        if not req_id:
            raise SendRefused("a message that answers nothing cannot grow", code="no_req_id")
        return {"req_id": req_id, "stream_id": key}

    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the text so far, in a new bubble or the known one; what exceeds a message waits for the end."""
        now = shown(text)
        if now.strip():
            self._drafts.show(_link(link), str(handle.get("req_id")), str(handle.get("stream_id")), now)

    # --- in --------------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The decrypted bytes of a file that was sent along. Raises LinkLost, ConfError."""
        url = str(ref.get("url") or "")
        if not url.startswith(("http://", "https://")):
            raise LinkLost("the file has no address", code="url")
        return fetched(self._rest, rebased(url, self._settings.api_base), str(ref.get("aeskey") or ""))

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:`` before a user's id, ``group:`` before a chat's; ids alone look alike."""
        return peer_at(self._ctx.child, chat, _CHATS)


def _link(link: Any) -> Exchange:
    """The current link.

    Raises:
        SendRetry: there is none.
    """
    if not isinstance(link, Exchange):
        raise SendRetry("messages go out over the link only, which is down", after=AGAIN, code="no_link")
    return link
