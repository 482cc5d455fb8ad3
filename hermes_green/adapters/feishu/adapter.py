"""The Feishu adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

from typing import Any, Mapping
from urllib.parse import quote

import gevent

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.codes import BAD_CONTENT, LOST_ANCHOR
from hermes_green.adapters.feishu.conversation import Conversation, Pace
from hermes_green.adapters.feishu.parse import Bot
from hermes_green.adapters.feishu.rest import BUSY, MESSAGES, Rest
from hermes_green.adapters.feishu.settings import Settings
from hermes_green.core.clock import Clock, SystemClock
from hermes_green.core.errors import AuthRejected, ConfError, LinkError, SendRefused, SendRetry
from hermes_green.core.model import Caps, CapsTable, Part, Peer, Rate, Receipt, Reply, Unit
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import DialOptions

# open.feishu.cn "Rate limits" and "Send message": per app and call 50/s and 1000/min, per chat 5/s
# shared by all bots; a uuid is recognised for an hour; an event is to be answered within 3 s.
CAPS = Caps(
    limit=bodies.POST_LIMIT,
    unit=Unit.BYTES,
    threads=True,
    rates=(Rate(50, 1.0, "account"), Rate(1000, 60.0, "account"), Rate(5, 1.0, "chat")),
    key_lifetime=3600.0,
    ack_deadline=3.0,
    refuse="frame",
)
# Seconds for which a dial waits to learn the bot's own id; without it mentions are told less surely.
BOT_WITHIN = 3.0
_DIRECT = ("ou_", "on_")


class FeishuAdapter:
    """Translator for one app. ``core.ports.Adapter`` says what its methods promise."""

    caps = CapsTable(default=CAPS)

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        self._settings = settings
        self._ctx = ctx
        self._clock = clock or SystemClock()
        self._rest = Rest(settings, self._clock)
        self._pace = Pace(settings.ping_interval, settings.ping_timeout)
        self._options = DialOptions(ca_file=settings.ca_file, proxy=settings.proxy)
        self._bot = Bot()

    def run(self, port: Port) -> None:
        """Endpoint, socket, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._clock, self._pace, lambda: self._bot)
        port.on_close(talk.leave)
        endpoint = self._rest.endpoint()
        # Asked only now: a refused dial shall be the one refusal the platform counts.
        asking = gevent.spawn(self._learn_bot)
        asking.name = f"feishu-bot-{self._ctx.child}"
        try:
            asking.join(timeout=BOT_WITHIN)
            talk.live(endpoint, self._options, self._settings.app_id)
        finally:
            asking.kill(block=False)

    def _learn_bot(self) -> None:
        """Ask once who we are. The link does not depend on it: what is wrong with the credentials is
        for the dial to say."""
        if self._bot.open_id:
            return
        try:
            self._bot = self._rest.bot()
        except (LinkError, ConfError) as error:
            self._ctx.log.warning(f"the bot's own id is not known yet; mentions are told by kind and name: {error}")

    def send(self, part: Part, link: Any) -> Receipt:
        """Reply to the message ``reply_ref`` names, else write to the chat; ``uuid`` is the row's key
        on every attempt, so a repeat within the hour answers with the first message."""
        try:
            message_id = self._deliver(part)
        except (AuthRejected, ConfError) as rejected:
            self._ctx.reject(rejected)
            raise SendRetry(
                rejected.text, after=BUSY, scope="account", code=rejected.code, action=rejected.action
            ) from rejected
        return Receipt(message_id, self._clock.wall())

    def _deliver(self, part: Part) -> str:
        """Post it, at most once more as a message of its own and once more as plain text."""
        anchor = str(part.reply_ref.get("message_id") or "")
        plain = "rows" not in part.payload
        while True:
            try:
                return self._post(part, anchor, plain)
            except SendRefused as refused:
                code = int(refused.code) if refused.code.isdigit() else 0
                if anchor and code in LOST_ANCHOR:
                    anchor = ""
                    self._ctx.count("sends", "anchor_lost")
                elif not plain and code in BAD_CONTENT:
                    plain = True
                    self._ctx.count("sends", "plain")
                else:
                    raise

    def _post(self, part: Part, anchor: str, plain: bool) -> str:
        kind, content = bodies.body_of(part.payload, plain)
        body: dict[str, Any] = {"msg_type": kind, "content": content, "uuid": part.key}
        params: dict[str, str] = {}
        path = MESSAGES
        if anchor:
            path = f"{MESSAGES}/{quote(anchor, safe='')}/reply"
            body["reply_in_thread"] = bool(part.reply_ref.get("in_thread"))
        else:
            body["receive_id"] = part.peer.chat_id
            params["receive_id_type"] = receive_id_type(part.peer.chat_id)
        return str(self._rest.post(path, params, body).get("message_id") or "")

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Plain text, or posts with Markdown rows, each within the platform's bytes."""
        return bodies.render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:`` or ``group:`` before an id. A bare ou_, on_ or e-mail address is a person;
        a bare oc_ may be a direct chat or a group, and cannot be told."""
        prefix, colon, chat_id = chat.strip().partition(":")
        if not colon:
            prefix, chat_id = ("dm", prefix) if prefix.startswith(_DIRECT) or "@" in prefix else ("", prefix)
        if not chat_id or any(c.isspace() or c in "/?#" for c in chat_id):
            return None
        if prefix in ("user", "dm"):
            user_id = chat_id if not chat_id.startswith("oc_") else None
            return Peer(self._ctx.child, chat_id, "dm", user_id=user_id)
        if prefix == "group" and chat_id.startswith("oc_"):
            return Peer(self._ctx.child, chat_id, "group")
        return None

    def close(self) -> None:
        """Close the pooled HTTP connections."""
        self._rest.close()


def receive_id_type(chat_id: str) -> str:
    """Which kind of id the platform is to look up; its prefixes tell all but a tenant's own user ids."""
    for prefix, kind in (("oc_", "chat_id"), ("ou_", "open_id"), ("on_", "union_id")):
        if chat_id.startswith(prefix):
            return kind
    return "email" if "@" in chat_id else "user_id"
