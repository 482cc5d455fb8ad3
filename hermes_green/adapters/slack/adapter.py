"""The Slack adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hermes_green.adapters.slack import render as texts
from hermes_green.adapters.slack.chats import Chats
from hermes_green.adapters.slack.conversation import Conversation
from hermes_green.adapters.slack.parse import Bot, quoted, seconds_of
from hermes_green.adapters.slack.rest import Rest
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import Caps, CapsTable, Part, Peer, Quote, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.link.said import halting
from hermes_green.link.translator import Translator
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
_KINDS: Mapping[str, tuple[str, str]] = {
    "user": ("dm", "DUW"),
    "dm": ("dm", "DUW"),
    "group": ("group", "CG"),
    "channel": ("channel", "CG"),
}


class SlackAdapter(Translator):
    """Translator for one app."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings)
        self._chats = Chats(self._rest, ctx, self._clock)
        # A link works without knowing who we are, but not without a valid bot token.
        self._who = Whoami(lambda: self._rest.bot(), Bot(), ctx, self._clock, vital=True)

    def run(self, port: Port) -> None:
        """An address, who we are, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._settings, self._who.now)
        port.on_close(talk.leave)
        url = self._rest.open()
        self._who.learn()
        talk.live(url)

    @halting
    def send(self, part: Part, link: Any) -> Receipt:
        """Finish the draft the part carries, or post it: to its thread, else to its chat."""
        return self._completed(part, self._chats.finish, self._chats.post, self._chats.retract)

    @halting
    def find(self, part: Part) -> Receipt | None:
        """Look a part up in the chat's history, by the key its metadata carries."""
        ts = self._chats.find(part)
        return Receipt(ts, seconds_of(ts) or self._clock.wall()) if ts else None

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Texts of at most 4,000 characters, then one payload for each medium."""
        return texts.render(reply)

    @halting
    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """Post the message that will grow; where it is, for updates and for ``send``."""
        return self._chats.open(peer, ref, key)

    @halting
    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the beginning of the text so far; what does not fit into one message waits for the end."""
        self._chats.show(handle, texts.texts_of(text)[0])

    @halting
    def typing(self, peer: Peer, link: Any) -> None:
        """A line of status, which Slack knows in threads of AI apps only and takes away by itself."""
        self._chats.status(peer)

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of a file that was sent along. Raises LinkLost, SendError."""
        url = str(ref.get("url") or "")
        if not url:  # files of other organisations come without their address
            file = self._rest.call("files.info", {"file": str(ref.get("id") or "")}, form=True).get("file")
            url = str(file.get("url_private_download") or "") if isinstance(file, dict) else ""
        if not url:
            raise SendRefused("Slack gives no address for the file", code="no_file")
        yield from self._rest.download(url, str(ref.get("mime") or ""))

    def quoted(self, ref: Mapping[str, Any]) -> Quote:
        """What opened a thread. Raises SendError, AuthRejected."""
        fields = {"channel": str(ref.get("channel") or ""), "ts": str(ref.get("ts") or ""), "limit": 1}
        messages = self._rest.call("conversations.replies", fields, form=True).get("messages")
        first = messages[0] if isinstance(messages, list) and messages else None
        if not isinstance(first, dict) or first.get("ts") != fields["ts"]:
            raise SendRefused("Slack does not show what opened the thread", code="no_thread")
        return quoted(first, self._who.bot)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:``, ``group:`` or ``channel:`` before an id. Bare ids tell by their first letter:
        D is a direct chat, U and W are people, C and G channels."""
        prefix, colon, chat_id = chat.strip().partition(":")
        if not colon:
            chat_id = prefix
            prefix = "dm" if chat_id[:1] in ("D", "U", "W") else "channel"
        if prefix not in _KINDS or not chat_id.isascii() or not chat_id.isalnum():
            return None
        chat_type, letters = _KINDS[prefix]
        if chat_id[0] not in letters:
            return None
        user_id = chat_id if chat_id[0] in "UW" else None
        return Peer(self._ctx.child, chat_id, chat_type, user_id=user_id)  # type: ignore[arg-type]

    def close(self) -> None:
        """End the question who we are, and close the pooled HTTP connections."""
        self._who.close()
        super().close()
