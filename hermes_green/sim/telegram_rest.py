"""The methods of the simulated Bot API: who asks, what is sent, edited and fetched.

Source: core.telegram.org/bots/api, and tdlib/telegram-bot-api for what refuses how.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping
from urllib.parse import unquote

from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.telegram_replies import File, Flood, Refused, as_text, fail, ok, params_of, too_many
from hermes_green.sim.telegram_text import HEAVIEST, BadMarkup, Entity, parse, units, weight
from hermes_green.sim.telegram_users import Chat, now

if TYPE_CHECKING:
    from hermes_green.sim.telegram import TelegramSim

METHOD = re.compile(r"/bot(?P<token>[^/]*)/(?P<method>[A-Za-z]+)")
FILE = re.compile(r"/file/bot(?P<token>[^/]*)/(?P<path>.+)")
MEDIA = {f"send{kind}": kind for kind in ("photo", "document", "voice", "audio", "video", "animation")}
LONGEST, LONGEST_CAPTION = 4096, 1024
UPLOAD, PHOTO, DOWNLOAD = 50 * 1024 * 1024, 10 * 1024 * 1024, 20 * 1024 * 1024
ACTIONS = frozenset(
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker"
    " find_location record_video_note upload_video_note".split()
)
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)

Params = Mapping[str, Any]


@dataclass(slots=True)
class Sent:
    """A message of the bot's."""

    chat: Chat
    id: int
    text: str
    entities: list[Entity] = field(default_factory=list)
    media: bool = False


class Rest:
    """Answers everything but the control API."""

    def __init__(self, sim: TelegramSim) -> None:
        self._sim = sim
        options = sim.options
        self._flood = Flood(options.account_rate, options.group_rate, options.chat_rate, options.chat_burst)
        self._sent: dict[tuple[int, int], Sent] = {}
        self._methods: dict[str, Callable[[Params], Any]] = {
            "getme": lambda params: sim.me(),
            "getwebhookinfo": lambda params: {"url": sim.feed.webhook, "pending_update_count": sim.feed.pending},
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "sendmessage": self._send_message,
            "sendmessagedraft": self._draft,
            "editmessagetext": self._edit,
            "deletemessage": self._delete,
            "sendchataction": self._action,
            "getfile": self._file,
            "getchat": lambda params: self._chat(params).shown(),
            **{method: self._media(kind) for method, kind in MEDIA.items()},
        }

    def answer(self, request: Request) -> Answer:
        """The answer to any request."""
        path = unquote(request.path)
        found, file = METHOD.fullmatch(path), FILE.fullmatch(path)
        match = found or file
        if match is None:
            return fail(404, "Not Found")
        if match["token"] != self._sim.token:
            shaped = re.fullmatch(r"\d+:[\w-]+", match["token"])
            self._sim.log.add("token_refused", method=match["method"] if found else "file")
            return fail(401, "Unauthorized") if shaped else fail(404, "Not Found")
        if file is not None:
            return self._download(file["path"])
        method = match["method"].lower()
        told = self._sim.told(method)
        if told is not None:
            return told
        try:
            params = params_of(request)
            if method == "getupdates":
                return self._sim.feed.poll(request, params)
            handler = self._methods.get(method)
            if handler is None:
                raise Refused(404, "method not found")
            return ok(handler(params))
        except Refused as refused:
            kind = "throttled" if refused.code == 429 else "send_refused"
            self._sim.log.add(kind, method=method, code=refused.code, text=str(refused))
            return too_many(refused.more["retry_after"]) if refused.code == 429 else refused.answer()

    def is_send(self, request: Request) -> bool:
        """It makes a new message."""
        match = METHOD.fullmatch(request.path)
        return match is not None and match["method"].lower() in ("sendmessage", *MEDIA)

    def shown(self, chat: int, message_id: int) -> dict[str, Any] | None:
        """A message of the bot's, as others quote it."""
        sent = self._sent.get((chat, message_id))
        if sent is None:
            return None
        return {"message_id": sent.id, "from": self._sim.me(), "chat": sent.chat.shown(), "text": sent.text}

    # -- webhooks

    def _set_webhook(self, params: Params) -> bool:
        self._sim.feed.webhook = as_text(params, "url")
        self._drop(params)
        return True

    def _delete_webhook(self, params: Params) -> bool:
        self._sim.log.add("webhook_deleted", url=self._sim.feed.webhook)
        self._sim.feed.webhook = ""
        self._drop(params)
        return True

    def _drop(self, params: Params) -> None:
        if str(params.get("drop_pending_updates", "")).lower() == "true":
            self._sim.feed.drop()

    # -- messages

    def _chat(self, params: Params) -> Chat:
        """The chat a request is for, which the bot must have met."""
        given = as_text(params, "chat_id")
        try:
            chat = self._sim.users.chats.get(int(given))
        except ValueError:
            chat = None
        if chat is None:
            raise Refused(400, "chat not found" if given else "chat_id is empty")
        if chat.moved:
            raise Refused(400, "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved)
        if chat.refuses:
            raise Refused(403, chat.refuses)
        return chat

    def _limit(self, chat: Chat) -> None:
        instant = time.monotonic()
        early = self._flood.early(chat.alias, instant)
        if early > 0:
            self._sim.violation(f"sent {early:.2f} s before retry_after was over", chat=chat.alias)
            raise Refused(429, "", retry_after=early)
        wait = self._flood.wait(chat.alias, chat.kind != "dm", instant)
        if wait:
            raise Refused(429, "", retry_after=wait)

    def _thread(self, chat: Chat, params: Params) -> int:
        thread = int(params.get("message_thread_id") or 0)
        if thread and (chat.kind != "topic" or thread == 1):
            raise Refused(400, "message thread not found")
        return thread

    def _read(self, params: Params, name: str, longest: int) -> tuple[str, list[Entity]]:
        """Text and entities as they will be shown."""
        try:
            text, entities = parse(as_text(params, name), as_text(params, "parse_mode"))
        except BadMarkup as error:
            raise Refused(400, str(error)) from None
        given = params.get("entities" if name == "text" else "caption_entities")
        entities = given if isinstance(given, list) else entities
        if units(text) > longest:
            self._sim.violation(f"a {name} of {units(text)} units")
            raise Refused(400, "message is too long" if name == "text" else "message caption is too long")
        if weight(entities) > HEAVIEST:
            self._sim.violation(f"entities of {weight(entities)} bytes")
            raise Refused(400, "entities_too_long")
        if name == "text" and not text:
            self._sim.violation("a message without text")
            raise Refused(400, "message text is empty")
        return text, entities

    def _send_message(self, params: Params) -> dict[str, Any]:
        chat = self._chat(params)
        text, entities = self._read(params, "text", LONGEST)
        return self._make(chat, params, "text", text, entities)

    def _media(self, kind: str) -> Callable[[Params], dict[str, Any]]:
        def send(params: Params) -> dict[str, Any]:
            chat, file = self._chat(params), params.get(kind)
            text, entities = self._read(params, "caption", LONGEST_CAPTION)
            if not isinstance(file, File) or not file.data:
                raise Refused(400, f"there is no {kind} in the request")
            if len(file.data) > (PHOTO if kind == "photo" else UPLOAD):
                self._sim.violation(f"a {kind} of {len(file.data)} bytes")
                raise Refused(413, "Request Entity Too Large")
            self._sim.uploads[file.name] = file.data
            facts = {"name": file.name, "mime": file.mime, "size": len(file.data)}
            return self._make(chat, params, kind, text, entities, **facts)

        return send

    def _make(
        self, chat: Chat, params: Params, kind: str, text: str, entities: list[Entity], **facts: Any
    ) -> dict[str, Any]:
        thread, reply = self._thread(chat, params), params.get("reply_parameters") or {}
        target = int(reply.get("message_id") or params.get("reply_to_message_id") or 0)
        known = (chat.id, target) in self._sim.users.texts or (chat.id, target) in self._sent
        if target and not known:
            if not reply.get("allow_sending_without_reply"):
                raise Refused(400, "message to be replied not found")
            target = 0
        self._limit(chat)
        sent = Sent(chat, chat.next_id(), text, entities, kind != "text")
        self._sent[chat.id, sent.id] = sent
        self._sim.sent += 1
        self._sim.log.add(
            "send",
            chat=chat.alias,
            chat_id=chat.id,
            chat_type=chat.kind,
            text=text,
            key="",
            duplicate=False,
            reply_to=str(target or ""),
            thread=thread,
            msg_type=kind,
            message_id=str(sent.id),
            parse_mode=as_text(params, "parse_mode"),
            entities=entities,
            **facts,
        )
        if target:
            self._sim.users.arrived(chat.alias, str(target))
        return self._message(sent, thread)

    def _message(self, sent: Sent, thread: int = 0) -> dict[str, Any]:
        message: dict[str, Any] = {"message_id": sent.id, "from": self._sim.me(), "chat": sent.chat.shown()}
        message |= {"date": now(), "caption" if sent.media else "text": sent.text}
        if sent.entities:
            message["caption_entities" if sent.media else "entities"] = sent.entities
        if thread:
            message |= {"message_thread_id": thread, "is_topic_message": True}
        return message

    def _own(self, params: Params, what: str) -> Sent:
        chat = self._chat(params)
        message_id = int(params.get("message_id") or 0)
        sent = self._sent.get((chat.id, message_id))
        if sent is None:
            theirs = (chat.id, message_id) in self._sim.users.texts
            raise Refused(400, f"message can't be {what}ed" if theirs else f"message to {what} not found")
        return sent

    def _edit(self, params: Params) -> dict[str, Any]:
        sent = self._own(params, "edit")
        if sent.media:
            raise Refused(400, "there is no text in the message to edit")
        text, entities = self._read(params, "text", LONGEST)
        self._limit(sent.chat)
        if (text, entities) == (sent.text, sent.entities):
            raise Refused(400, NOT_MODIFIED)
        sent.text, sent.entities = text, entities
        mode = as_text(params, "parse_mode")
        self._sim.log.add("edit", chat=sent.chat.alias, message_id=str(sent.id), text=text, parse_mode=mode)
        return {**self._message(sent), "edit_date": now()}

    def _delete(self, params: Params) -> bool:
        sent = self._own(params, "delete")
        del self._sent[sent.chat.id, sent.id]
        self._sim.log.add("recall", chat=sent.chat.alias, message_id=str(sent.id))
        return True

    def _draft(self, params: Params) -> bool:
        chat = self._chat(params)
        self._sim.log.add("draft", chat=chat.alias, draft_id=params.get("draft_id"), text=as_text(params, "text"))
        return True

    def _action(self, params: Params) -> bool:
        chat, action = self._chat(params), as_text(params, "action")
        if action not in ACTIONS:
            raise Refused(400, "wrong parameter action in request")
        self._thread(chat, params)
        self._sim.log.add("typing", chat=chat.alias, action=action)
        return True

    # -- files

    def _file(self, params: Params) -> dict[str, Any]:
        file_id = as_text(params, "file_id")
        path, data = self._sim.users.files.get(file_id, ("", b""))
        if not path:
            raise Refused(400, "wrong file_id or the file is temporarily unavailable")
        if len(data) > DOWNLOAD:
            raise Refused(400, "file is too big")
        return {"file_id": file_id, "file_unique_id": file_id[:8], "file_size": len(data), "file_path": path}

    def _download(self, path: str) -> Answer:
        for known, data in self._sim.users.files.values():
            if known == path:
                return Answer(200, data, {"Content-Type": "application/octet-stream"})
        return fail(404, "Not Found")
