"""The Telegram adapter: one object per bot; a link is a run's polls, and sends need none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Iterator, Mapping

from hermes_green.adapters.telegram import codes
from hermes_green.adapters.telegram.polling import Conflicts, Polling
from hermes_green.adapters.telegram.render import LIMIT, UNIT, render
from hermes_green.adapters.telegram.rest import TEXT, Rest, Said, send_error
from hermes_green.adapters.telegram.settings import Settings
from hermes_green.core.address import peer_at
from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, SendError, SendRefused, SendRetry, SendUnknown, StoreError
from hermes_green.core.loose import dict_of
from hermes_green.core.model import EMPTY, Caps, CapsTable, ChatType, Part, Peer, Rate, Receipt, Reply
from hermes_green.core.ports import Context, Port
from hermes_green.core.text import measure
from hermes_green.link.said import halted
from hermes_green.link.translator import Translator

# core.telegram.org/bots/faq: about 30 messages a second in all, one a second in a chat with short
# bursts, 20 a minute in a group. What is true at a given time, only retry_after tells.
_ACCOUNT = Rate(30, 1.0, "account")
_DM = Caps(
    limit=LIMIT,
    unit=UNIT,
    edits=True,
    streaming=True,
    draft_every=1.5,
    threads=True,
    typing=True,
    media=True,
    quotes=True,
    reactions=True,
    rates=(_ACCOUNT, Rate(3, 3.0, "chat")),
)
_GROUP = replace(_DM, draft_every=4.0, rates=(_ACCOUNT, Rate(20, 60.0, "chat")))
GENERAL = "1"  # the topic that every forum has; it is not named when sending
PLACEHOLDER = "…"
# Attachment.kind -> method and field; what is no picture for Telegram goes as a document.
_UPLOADS: Mapping[str, tuple[str, str]] = {
    "image": ("sendPhoto", "photo"),
    "video": ("sendVideo", "video"),
    "audio": ("sendAudio", "audio"),
    "voice": ("sendVoice", "voice"),
    "file": ("sendDocument", "document"),
}
# What is refused so may be taken as a document: too large, or of odd proportions, or where voice is not wanted.
_AS_FILE = ("file_size", "400", "413")
_PHOTOS = ("image/jpeg", "image/png", "image/webp")
_VOICES = ("audio/ogg", "audio/opus")
# How people name a chat: people's ids are positive, all others negative, @name is a public channel. Groups
# and channels are written to alike.
_CHATS: Mapping[str, ChatType] = {
    r"(?:user:|dm:)?(?P<user>\d+)": "dm",
    r"(?:channel:)?(?P<chat>@[^:]+)": "channel",
    r"(?:group:)?(?P<chat>-\d+)": "group",
    r"group:(?P<chat>@[^:]+)": "group",
    r"channel:(?P<chat>-\d+)": "channel",
}


class TelegramAdapter(Translator):
    """Translator for one bot."""

    caps = CapsTable(default=_DM, by_type={"dm": _DM, "group": _GROUP, "channel": _GROUP})

    def __init__(self, settings: Settings, ctx: Context, clock: Clock | None = None) -> None:
        super().__init__(settings, ctx, clock)
        self._rest = Rest(settings)
        self._conflicts = Conflicts(self._clock)

    def run(self, port: Port) -> None:
        """Ask who we are, then poll."""
        polling = Polling(port, self._ctx, self._rest, self._settings, self._conflicts)
        port.on_close(polling.leave)
        polling.live()

    # --- sends ---------------------------------------------------------------------------------

    def send(self, part: Part, link: Any) -> Receipt:
        """One message, or the end of a draft. Nothing tells a repeat from a second message: a lost
        answer is SendUnknown, and what is done about it is the operator's choice."""
        return self._completed(part, self._finish, self._post, self._retract)

    def _post(self, part: Part) -> str:
        media = part.payload.get("media")
        return self._send_media(part, media) if media else self._send_text(part)

    def _send_text(self, part: Part) -> str:
        return self._deliver(TEXT, self._address(part), part.payload)

    def _finish(self, part: Part) -> str:
        """Turn the draft into the final text."""
        handle = part.handle or {}
        self._deliver("editMessageText", handle, part.payload)
        return str(handle.get("message_id") or "")

    def _send_media(self, part: Part, media: Mapping[str, Any]) -> str:
        kind, mime = str(media.get("kind")), str(media.get("mime") or "")
        if (kind == "image" and mime and mime not in _PHOTOS) or kind not in _UPLOADS:
            kind = "file"
        elif kind == "audio" and mime in _VOICES:
            kind = "voice"
        method, field = _UPLOADS[kind]
        address = self._address(part)
        try:
            return self._until_taken(lambda params: self._rest.upload(method, params, field, media), address)
        except SendRefused as refused:
            if kind == "file" or refused.code not in _AS_FILE:
                raise
        self._ctx.count("sends", "as_file")
        return self._send_media(part, {**media, "kind": "file"})

    def _retract(self, part: Part) -> None:
        """Take a draft back whose text stands elsewhere now."""
        try:
            self._until_taken(lambda params: self._rest.send("deleteMessage", params), part.handle or {})
        except SendError as error:
            self._ctx.log.info("a draft is left over: {}", error)

    def _address(self, part: Part) -> dict[str, Any]:
        """Where a message goes, and in a group which one it answers; only the first part says that."""
        params = _place(part.peer)
        target = str(part.reply_ref.get("message_id") or "")
        if part.ordinal == 0 and target.isdigit():
            params["reply_parameters"] = {"message_id": int(target), "allow_sending_without_reply": True}
        return params

    def _deliver(self, method: str, params: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
        """Send or edit a text; "" or the new message's id."""
        text, html = str(payload.get("text") or PLACEHOLDER), payload.get("html")
        marked = {"text": html, "parse_mode": "HTML"} if html else {"text": text}
        return self._until_taken(lambda params: self._rest.send(method, params), {**params, **marked}, {"text": text})

    def _until_taken(
        self, call: Callable[[Mapping[str, Any]], Said], params: Mapping[str, Any], plain: Mapping[str, Any] = EMPTY
    ) -> str:
        """Call, and once more for each thing that Telegram refuses and that can be done without.

        ``plain``: what stands for the same without markup. A group that became a supergroup is
        written to under its new id. Each of them happens once at most.
        """
        while True:
            said = call(params)
            text = said.text.lower()
            if said.good or codes.NOT_MODIFIED in text:
                return str(dict_of(said.result).get("message_id") or "")
            if said.moved and said.moved != str(params["chat_id"]):
                self._rekey(str(params["chat_id"]), said.moved)
                params = {**params, "chat_id": int(said.moved)}
            elif any(each in text for each in codes.BAD_MARKUP) and "parse_mode" in params:
                self._ctx.count("sends", "plain")
                params = {**_without(params, "parse_mode"), **plain}
            elif any(each in text for each in codes.LOST_THREAD) and "message_thread_id" in params:
                self._ctx.count("sends", "topic_lost")
                params = _without(params, "message_thread_id")
            else:
                raise self._refusal(said)

    def _refusal(self, said: Said) -> SendError:
        error = send_error(said)
        return halted(self._ctx, error) if isinstance(error, AuthRejected) else error

    def _rekey(self, old: str, new: str) -> None:
        try:
            self._ctx.rekey(old, new)
        except StoreError as error:
            raise SendRetry(f"a chat's new id could not be kept: {error}", after=2.0) from error
        self._ctx.count("chats", "rekeyed")

    # --- what a chat sees of a turn that runs ----------------------------------------------------

    def draft_open(self, peer: Peer, ref: Mapping[str, Any], key: str, seq: int, link: Any) -> Mapping[str, Any]:
        """A message to be edited. It has no key: when its answer is lost, no second one is opened."""
        part = Part(key=key, reply_seq=seq, ordinal=0, peer=peer, payload={"text": PLACEHOLDER}, reply_ref=ref)
        try:
            message_id = self._send_text(part)
        except SendUnknown as error:
            raise SendRefused(f"whether a draft is open is unknown: {error.text}", code=error.code) from error
        if not message_id.isdigit():
            raise SendRefused("a draft was opened without a number", code="bad_answer")
        return {"chat_id": _number(peer.chat_id), "message_id": int(message_id)}

    def draft_update(self, handle: Mapping[str, Any], text: str, n: int, link: Any) -> None:
        """The text so far, without markup, which is unfinished too. What fits in no message ends it."""
        if measure(text, UNIT) > LIMIT:
            raise SendRefused("the answer is longer than a message", code="too_long")
        if text.strip():
            self._deliver("editMessageText", handle, {"text": text})

    def typing(self, peer: Peer, link: Any) -> None:
        """Shown for 5 s, or until the next message."""
        said = self._rest.send("sendChatAction", {**_place(peer), "action": "typing"})
        if said.status == 429:
            raise self._refusal(said)

    # --- files -----------------------------------------------------------------------------------

    def fetch(self, ref: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of an attachment; Telegram hands out up to 20 MB."""
        return self._rest.download(str(ref.get("file_id") or ""))

    # --- the rest --------------------------------------------------------------------------------

    def render(self, reply: Reply) -> tuple[Mapping[str, Any], ...]:
        """HTML of at most 4,096 UTF-16 units after parsing, and the same without markup; then files."""
        return render(reply)

    def peer_of(self, chat: str) -> Peer | None:
        """``user:``/``dm:``, ``group:`` or ``channel:`` before an id; bare ids tell by how they begin."""
        return peer_at(self._ctx.child, chat, _CHATS)


def _without(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in params.items() if each != name}


def _place(peer: Peer) -> dict[str, Any]:
    place: dict[str, Any] = {"chat_id": _number(peer.chat_id)}
    if peer.thread_id and peer.thread_id != GENERAL and peer.thread_id.isdigit():
        place["message_thread_id"] = int(peer.thread_id)
    return place


def _number(chat_id: str) -> int | str:
    return int(chat_id) if chat_id.removeprefix("-").isdigit() else chat_id
