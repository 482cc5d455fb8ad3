"""The DingTalk adapter: one object per app; a link is a local value of ``run``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping

from hermes_green.adapters.dingtalk import render as bodies
from hermes_green.adapters.dingtalk.cards import Cards
from hermes_green.adapters.dingtalk.codes import CODES, FINAL_FOR_WEBHOOK
from hermes_green.adapters.dingtalk.conversation import MEMO, Conversation
from hermes_green.adapters.dingtalk.rest import Rest
from hermes_green.adapters.dingtalk.settings import Settings
from hermes_green.core.address import peer_at
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendRefused, StoreError
from hermes_green.core.model import Caps, CapsTable, ChatType, Part, Peer, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.link.files import Uploads
from hermes_green.link.progress import Progress
from hermes_green.link.said import halting
from hermes_green.link.translator import Translator

TO_USER = "/v1.0/robot/oToMessages/batchSend"
TO_GROUP = "/v1.0/robot/groupMessages/send"

# open.dingtalk.com: 20 messages a minute by one webhook (a little is kept back, for who exceeds it is
# blocked for ten minutes), 20 calls a second by one app. Cards go by the calls alone.
CAPS = Caps(
    limit=bodies.LIMIT,
    unit=bodies.UNIT,
    media=True,
    quotes=True,
    rates=(Rate(20, 62.0, "chat", drafts=False), Rate(20, 1.0, "account")),
    draft_every=0.5,
    handover=True,
    resends=False,
    suspect=(
        "wait for the time above; if nothing comes after it either, switch the robot's message mode in the "
        "developer console away from Stream and back"
    ),
)
# A webhook that ends within these seconds is not begun with.
MARGIN = 30.0
MOVED = "⬇️"
_CHATS: Mapping[str, ChatType] = {
    r"user:(?P<user>\S+)": "dm",
    r"dm:(?P<chat>\S+)": "dm",
    r"group:(?P<chat>\S+)": "group",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part goes. ``webhook`` is "" where there is none that still lives, ``staff`` where the
    platform told none."""

    conversation: str
    group: bool
    webhook: str
    staff: str
    robot: str

    def address(self) -> str:
        """What the API calls it.

        Raises:
            SendRefused: only a webhook leads there, and there is none.
        """
        if self.group:
            return self.conversation
        if not self.staff:
            raise SendRefused("this user is outside the organisation: only the webhook of a message leads there")
        return self.staff


class DingTalkAdapter(Translator):
    """Translator for one app."""

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings, self._clock, ctx.hide)
        self._cards = Cards(settings, self._rest)
        self._progress = Progress(self._clock, bodies.shown, bodies.LIMIT, ctx.beside)
        self._uploads: Uploads[tuple[str, str]] = Uploads()
        self.caps = CapsTable(default=replace(CAPS, streaming=bool(settings.card_template_id)))

    def run(self, port: Port) -> None:
        """A ticket, a socket, then the conversation until it ends."""
        talk = Conversation(port, self._ctx, self._settings)
        port.on_close(talk.leave)
        talk.live(self._rest.open())

    def replay(self, port: Port, raw: str | bytes) -> None:
        """Hand in a callback that was kept."""
        Conversation(port, self._ctx, self._settings).again(raw)

    # --- sends -----------------------------------------------------------------------------------------

    @halting
    def send(self, part: Part, link: Any) -> Receipt:
        """By the message's webhook while it lives, else by the API. The platform recognises no repeat:
        a part that may have arrived can arrive twice. The end of a card can be repeated."""
        return Receipt(self._deliver(part, self._place(part.peer, part.reply_ref)), self._clock.wall())

    def _place(self, peer: Peer, reference: Mapping[str, Any]) -> Place:
        """Where it goes: what came with the message, and where that is missing or too old, what the
        conversation's last message brought."""
        known = dict(reference)
        if not self._lives(known):
            newest = self._remembered(peer.chat_id)
            # The newest webhook, but whoever asked stays who is answered.
            known = {**newest, **known, "webhook": newest.get("webhook"), "until": newest.get("until")}
        staff = str(known.get("staff") or "")
        if peer.chat_id == peer.user_id:  # an address given by hand
            staff = peer.chat_id
        return Place(
            conversation=peer.chat_id,
            group=peer.chat_type == "group",
            webhook=str(known["webhook"]) if self._lives(known) else "",
            staff=staff,
            robot=str(known.get("robot") or self._settings.client_id),
        )

    def _lives(self, known: Mapping[str, Any]) -> bool:
        until = known.get("until")
        return bool(known.get("webhook")) and isinstance(until, (int, float)) and (
            self._clock.wall() < until - MARGIN
        )

    def _remembered(self, chat_id: str) -> Mapping[str, Any]:
        try:
            memo = self._ctx.memo(MEMO + chat_id)
        except StoreError:
            return {}  # then the API's way is tried
        return memo if isinstance(memo, dict) else {}

    def _deliver(self, part: Part, place: Place) -> str:
        """The platform's id of what was sent, "" where it gives none."""
        media = part.payload.get("media")
        track = str((part.handle or {}).get("track") or "")
        if track and self._finished(track, part):
            if media is None:
                return track
        if media is not None:
            return self._media(part.key, media, place)
        return self._words(part, place)

    def _words(self, part: Part, place: Place) -> str:
        if place.webhook:
            at = place.staff if place.group and part.ordinal == 0 else ""
            try:
                self._rest.webhook(place.webhook, bodies.webhook_body(part.payload, at))
                return ""
            except SendRefused as refused:
                if refused.code in map(str, FINAL_FOR_WEBHOOK) or not (place.group or place.staff):
                    raise
                self._ctx.count("sends", "webhook_refused")
        return self._by_api(place, *bodies.api_message(part.payload))

    def _by_api(self, place: Place, key: str, content: Mapping[str, Any]) -> str:
        message = {"robotCode": place.robot, "msgKey": key, "msgParam": json.dumps(content, ensure_ascii=False)}
        if place.group:
            answer = self._rest.call("POST", TO_GROUP, {**message, "openConversationId": place.address()})
        else:
            answer = self._rest.call("POST", TO_USER, {**message, "userIds": [place.address()]})
            # Whom it did not reach stands in a good answer.
            for name, code in (("invalidStaffIdList", "invalidStaff"), ("flowControlledStaffIdList", "flowControlled")):
                if answer.get(name):
                    raise CODES[code].build(code)
        return str(answer.get("processQueryKey") or "")

    def _media(self, key: str, media: Mapping[str, Any], place: Place) -> str:
        """Upload a file, once for the part ``key``, and send it; only the API takes files."""
        place.address()  # raises before anything is uploaded in vain
        kind = "image" if media.get("kind") == "image" else "file"
        media_id, name = self._uploads.once(key, lambda: self._rest.upload(kind, media))
        return self._by_api(place, *bodies.media_message(kind, media_id, name))

    # --- drafts ----------------------------------------------------------------------------------------

    @halting
    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """Put an empty card named ``key`` into the chat."""
        place = self._place(peer, ref)
        self._cards.open(key, group=place.group, to=place.address(), robot=place.robot)
        return {"track": key}

    @halting
    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """Show the text so far; what exceeds a part waits for the parts."""
        track = str(handle["track"])
        content = self._progress.next(track, text)
        if content:
            self._cards.show(track, content, str(n))
            self._progress.shown(track, content)

    def _finished(self, track: str, part: Part) -> bool:
        """Whether the draft now holds the part; where the platform refuses that, the draft is closed
        first, so that a repeat of this send does the same again and no half text stays."""
        media = part.payload.get("media")
        text = str(media.get("name") if media is not None else part.payload.get("text", ""))
        try:
            self._cards.finish(track, text, part.key)
            return True
        except SendRefused as refused:
            self._ctx.log.info("the card does not take the final text, it is sent anew: {}", refused)
        try:
            self._cards.withdraw(track, MOVED)
        except SendRefused:
            self._ctx.count("sends", "card_left")
        return False

    # --- the rest --------------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of what a user sent, by its download code."""
        return self._rest.download(str(ref.get("code") or ""), str(ref.get("robot") or ""))

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """Plain text or Markdown, each within the platform's limits, then files."""
        return bodies.render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:`` before a staff id, ``group:`` or ``dm:`` before a conversation id. A bare ``cid...``
        is a group or a direct chat and cannot be told, nor can a bare staff id."""
        return peer_at(self._ctx.child, chat, _CHATS)
