"""The Slack adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hermes_green.adapters.slack import render as texts
from hermes_green.adapters.slack.chats import Chats
from hermes_green.adapters.slack.conversation import Conversation
from hermes_green.adapters.slack.parse import Bot, quoted, seconds_of
from hermes_green.adapters.slack.rest import Rest
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.address import peer_at
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendRefused
from hermes_green.core.loose import dict_of, objects_of, text_at
from hermes_green.core.model import Caps, CapsTable, ChatType, Part, Peer, Quote, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.link.said import halting
from hermes_green.link.translator import Writing
from hermes_green.link.whoami import Whoami

# docs.slack.dev/apis/web-api/rate-limits: one message a second and channel, several hundred a minute and
# workspace; chat.update 50 a minute. .../using-socket-mode: an envelope is to be answered within 3 s.
CAPS = Caps(
    limit=texts.LIMIT,
    unit=texts.UNIT,
    edits=True,
    streaming=True,
    draft_every=1.2,
    threads=True,
    typing=True,
    media=True,
    lookup=True,
    quotes=True,
    reactions=True,
    rates=(Rate(1, 1.0, "chat"), Rate(300, 60.0, "account")),
    ack_deadline=3.0,
    handover=True,
    refuse="frame",
)
# How people name a chat: D is a direct one, U and W are people, C and G channels.
_CHATS: Mapping[str, ChatType] = {
    r"(?:user:|dm:)?(?P<user>[UW][A-Za-z0-9]*)": "dm",
    r"(?:user:|dm:)?(?P<chat>D[A-Za-z0-9]*)": "dm",
    r"(?:channel:)?(?P<chat>[CG][A-Za-z0-9]*)": "channel",
    r"group:(?P<chat>[CG][A-Za-z0-9]*)": "group",
}


class SlackAdapter(Writing):
    """Translator for one app."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings)
        self._chats: Chats = Chats(self._rest, ctx, self._clock)
        # A link works without knowing who we are, but not without a valid bot token.
        self._who: Whoami[Bot] = Whoami(lambda: self._rest.bot(), Bot(), ctx, self._clock, vital=True)

    def run(self, port: Port) -> None:
        """An address, who we are, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._settings, self._who.now)
        port.on_close(talk.leave)
        url = self._rest.open()
        self._who.learn()
        talk.live(url)

    @halting
    def find(self, part: Part) -> Receipt | None:
        """Look a part up in the chat's history, by the key its metadata carries."""
        ts = self._chats.find(part)
        return Receipt(ts, seconds_of(ts) or self._clock.wall()) if ts else None

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Texts of at most 4,000 characters, then one payload for each medium."""
        return texts.render(reply)

    @halting
    def typing(self, peer: Peer, link: Any) -> None:
        """A line of status, which Slack knows in threads of AI apps only and takes away by itself."""
        self._chats.status(peer)

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of a file that was sent along. Raises LinkLost, SendError."""
        url = str(ref.get("url") or "")
        if not url:  # files of other organisations come without their address
            told = self._rest.call("files.info", {"file": str(ref.get("id") or "")}, form=True)
            url = text_at(dict_of(told.get("file")), "url_private_download")
        if not url:
            raise SendRefused("Slack gives no address for the file", code="no_file")
        yield from self._rest.download(url, str(ref.get("mime") or ""))

    def quoted(self, ref: Mapping[str, Any]) -> Quote:
        """What opened a thread. Raises SendError, AuthRejected."""
        fields = {"channel": str(ref.get("channel") or ""), "ts": str(ref.get("ts") or ""), "limit": 1}
        for first in objects_of(self._rest.call("conversations.replies", fields, form=True).get("messages")):
            if first.get("ts") == fields["ts"]:
                return quoted(first, self._who.bot)
        raise SendRefused("Slack does not show what opened the thread", code="no_thread")

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:``, ``group:`` or ``channel:`` before an id; bare ids tell by their first letter."""
        return peer_at(self._ctx.child, chat, _CHATS)
