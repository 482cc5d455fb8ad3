"""Feishu's open API as far as a bot needs it: tokens, messages, reactions, the bot's own id."""

from __future__ import annotations

import json
import math
import re
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Match

from hermes_green.sim.feishu_cards import CARDS, Cards
from hermes_green.sim.feishu_content import Refused, check_content, check_size, plain_text
from hermes_green.sim.feishu_events import BOT, BOT_NAME, millis, new_id
from hermes_green.sim.feishu_files import FILES, IMAGES, Files
from hermes_green.sim.kit import Answer, Request

if TYPE_CHECKING:
    from hermes_green.sim.feishu import FeishuSim

MESSAGES = "/open-apis/im/v1/messages"
TOKEN = "/open-apis/auth/v3/tenant_access_token/internal"
_ID_TYPES = frozenset({"chat_id", "open_id", "user_id", "union_id", "email"})
_EDITS = 20


@dataclass(slots=True)
class Message:
    """A message that exists on the platform, a user's or the bot's."""

    id: str
    chat: str
    msg_type: str
    content: str
    by_bot: bool
    root_id: str = ""
    parent_id: str = ""
    thread_id: str = ""
    edits: int = 0
    deleted: bool = False
    card: str = ""
    key: str = ""
    noted: bool = False
    user: str = ""
    upper: str = ""
    reactions: set[str] = field(default_factory=set)


class Rest:
    """Answers the open API; messages, tokens and limits live here."""

    def __init__(self, sim: FeishuSim) -> None:
        self._sim = sim
        self._rules = sim.rules
        self.messages: dict[str, Message] = {}
        self.files = Files(sim.log)
        self.cards = Cards(sim)
        self.dms: dict[str, str] = {}
        self._tokens: dict[str, float] = {}
        self._newest = ""
        self._by_uuid: dict[str, tuple[float, tuple[str, str], dict[str, Any]]] = {}
        self._app_times: deque[float] = deque()
        self._chat_times: dict[str, deque[float]] = {}
        one = rf"{MESSAGES}/(?P<id>[^/]+)"
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Request, Match[str]], Answer]]] = [
            ("POST", re.compile(MESSAGES), self._create),
            ("POST", re.compile(f"{one}/reply"), self._reply),
            ("PUT", re.compile(one), self._edit),
            ("PATCH", re.compile(one), self._patch),
            ("DELETE", re.compile(one), self._delete),
            ("GET", re.compile(one), self._get),
            ("GET", re.compile(f"{one}/resources/(?P<key>[^/]+)"), self._resource),
            ("POST", re.compile(f"{IMAGES}|{FILES}"), lambda request, match: ok(self.files.upload(request))),
            ("POST", re.compile(f"{one}/reactions"), self._react),
            ("DELETE", re.compile(f"{one}/reactions/(?P<reaction>[^/]+)"), self._unreact),
            ("GET", re.compile("/open-apis/bot/v3/info"), self._bot),
        ]

    def answer(self, request: Request) -> Answer:
        """The answer to any request of the open API."""
        try:
            if request.path == TOKEN:
                return self._token(request)
            told = self._sim.told.take(request.path)
            if told is not None:
                raise told
            for method, pattern, change in self.cards.routes:
                match = pattern.fullmatch(request.path)
                if match is not None and method == request.method:
                    self._authorise(request)
                    return ok(change(request, match))
            for method, pattern, handler in self._routes:
                match = pattern.fullmatch(request.path)
                if match is not None and method == request.method:
                    self._authorise(request)
                    return handler(request, match)
        except Refused as refused:
            self._sim.log.add("rest_refused", path=request.path, code=refused.code, text=str(refused))
            return error_answer(refused)
        except ValueError as error:
            return error_answer(Refused(9499, f"Bad Request: {error}"))
        return Answer(404, b"404 page not found", {"Content-Type": "text/plain"})

    def is_send(self, request: Request) -> bool:
        """It makes a new message, or changes a card."""
        path = request.path
        if path.startswith(f"{CARDS}/"):
            return request.method in ("PUT", "PATCH")
        ours = path == MESSAGES or (path.startswith(MESSAGES) and path.endswith("/reply"))
        return ours and request.method == "POST"

    def shown(self) -> dict[str, list[str]]:
        """chat -> the texts of the bot's messages that stand there, oldest first."""
        chats: dict[str, list[str]] = {}
        for message in self.messages.values():
            if message.by_bot and not message.deleted:
                chats.setdefault(message.chat, []).append(self._text(message))
        return chats

    def _text(self, message: Message) -> str:
        if message.card:
            return self.cards.cards[message.card].text
        return plain_text(message.msg_type, json.loads(message.content))

    def note(self, message: Message, text: str) -> None:
        """A message has got its text: at once, or, as a card, when it stopped growing."""
        self._sim.sent += not message.noted
        self._note(message, message.key, text, duplicate=message.noted)
        message.noted = True

    def revoke(self) -> None:
        """Make every token invalid, as when an administrator resets it."""
        self._tokens.clear()

    # -- tokens

    def _token(self, request: Request) -> Answer:
        body = request.json()
        if body.get("app_id") != self._sim.app_id:
            raise Refused(10003, "invalid param")
        if body.get("app_secret") != self._sim.app_secret:
            raise Refused(10014, "app secret invalid")
        now, life = time.monotonic(), self._rules.token_seconds
        left = self._tokens.get(self._newest, 0.0) - now
        if left < min(1800.0, life / 4):  # a fresh one only when the old one is near its end
            self._newest, left = "t-" + uuid.uuid4().hex, life
            self._tokens[self._newest] = now + life
        self._sim.log.add("token", expire=int(left))
        return Answer(200, {"code": 0, "msg": "ok", "tenant_access_token": self._newest, "expire": int(left)})

    def _authorise(self, request: Request) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Refused(99991661, "Missing access token for authorization")
        if self._tokens.get(token, 0.0) <= time.monotonic():
            raise Refused(99991663, "Invalid access token for authorization")

    # -- limits

    def _limit(self, chat: str) -> None:
        now = time.monotonic()
        if self._rules.app_rate is not None:
            wait = _over(self._app_times, self._rules.app_rate, now)
            if wait:
                raise Refused(99991400, "request trigger frequency limit", 429, wait)
        if self._rules.chat_rate is not None:
            times = self._chat_times.setdefault(chat, deque())
            if _over(times, self._rules.chat_rate, now):
                raise Refused(230020, "This operation triggers the frequency limit")
            times.append(now)
        self._app_times.append(now)

    # -- messages

    def _create(self, request: Request, match: Match[str]) -> Answer:
        body = request.json()
        id_type, target = request.query.get("receive_id_type", ""), body.get("receive_id")
        if id_type not in _ID_TYPES:
            raise Refused(99992402, "field validation failed: receive_id_type is required")
        if not isinstance(target, str) or not target:
            raise Refused(99992402, "field validation failed: receive_id is required")
        if id_type == "chat_id":
            if not target.startswith("oc_"):
                raise Refused(230001, "Your request contains an invalid request parameter: invalid receive_id")
            chat = target
        else:
            chat = self.dms.setdefault(target, "oc_dm_" + target.removeprefix("ou_"))
        if chat in self._sim.left_chats:
            raise Refused(230002, "Bot/User can NOT be out of the chat")
        return self._make(body, chat, None)

    def _reply(self, request: Request, match: Match[str]) -> Answer:
        parent = self._known(match["id"])
        return self._make(request.json(), parent.chat, parent)

    def _make(self, body: dict[str, Any], chat: str, parent: Message | None) -> Answer:
        msg_type, content, key = body.get("msg_type"), body.get("content"), body.get("uuid") or ""
        if not isinstance(key, str) or len(key) > 50:
            raise Refused(99992402, "field validation failed: uuid has at most 50 characters")
        parsed = check_content(msg_type, content)
        check_size(str(msg_type), str(content))
        self.files.check(str(msg_type), parsed)
        place = (parent.id if parent else chat, str(content) if msg_type in ("text", "post") else str(msg_type))
        earlier = self._by_uuid.get(key) if key else None
        if earlier is not None and time.monotonic() - earlier[0] < self._rules.uuid_seconds:
            if earlier[1] != place:
                self._sim.violation("a uuid was used again for another message", uuid=key)
            message = self.messages[earlier[2]["message_id"]]
            self._note(message, key, self._text(message), duplicate=True)
            return ok(earlier[2])
        self._limit(chat)
        message = Message(new_id("om_"), chat, str(msg_type), str(content), True, key=key)
        card = self.cards.known(str(parsed["data"].get("card_id"))) if parsed.get("type") == "card" else None
        if card is not None:
            message.card, card.message = card.id, message.id
        if parent is not None:
            message.root_id, message.parent_id = parent.root_id or parent.id, parent.id
            message.thread_id = parent.thread_id
            if body.get("reply_in_thread") and not message.thread_id:
                message.thread_id = parent.thread_id = new_id("omt_")
        self.messages[message.id] = message
        data = self._data(message)
        if key:
            self._by_uuid[key] = (time.monotonic(), place, data)
        if card is not None and card.streaming:
            # It will be a message like others when it has stopped growing.
            self._sim.log.add("draft", chat=chat, text=card.text, key=key, message_id=message.id, card=card.id)
        else:
            self.note(message, self._text(message))
        return ok(data)

    def _note(self, message: Message, key: str, text: str, duplicate: bool) -> None:
        self._sim.log.add(
            "send",
            chat=message.chat,
            text=text,
            msg_type=message.msg_type,
            key=key,
            uuid=key,
            duplicate=duplicate,
            reply_to=message.parent_id,
            in_thread=message.thread_id,
            message_id=message.id,
        )

    def _data(self, message: Message) -> dict[str, Any]:
        sender = {"id": message.user, "id_type": "open_id", "sender_type": "user"}
        if message.by_bot:
            sender = {"id": self._sim.app_id, "id_type": "app_id", "sender_type": "app"}
        data = {
            "message_id": message.id,
            "msg_type": message.msg_type,
            "create_time": millis(),
            "update_time": millis(),
            "deleted": message.deleted,
            "updated": message.edits > 0,
            "chat_id": message.chat,
            "sender": {**sender, "tenant_key": "sim_tenant"},
            "body": {"content": message.content},
        }
        above = {"upper_message_id": message.upper}
        above |= {name: getattr(message, name) for name in ("root_id", "parent_id", "thread_id")}
        return data | {name: value for name, value in above.items() if value}

    def _known(self, message_id: str) -> Message:
        message = self.messages.get(message_id)
        if message is None:
            raise Refused(99992354, "field validation failed: invalid message_id")
        if message.deleted:
            raise Refused(230011, "The message was withdrawn")
        return message

    def _own(self, message_id: str) -> Message:
        message = self._known(message_id)
        if not message.by_bot:
            raise Refused(230071, "The operator is not the sender of the message")
        return message

    def _edit(self, request: Request, match: Match[str]) -> Answer:
        message, body = self._own(match["id"]), request.json()
        if body.get("msg_type") not in ("text", "post"):
            raise Refused(230054, "This type of message is not available to edit")
        return self._change(message, body, str(body["msg_type"]), "edit")

    def _patch(self, request: Request, match: Match[str]) -> Answer:
        message = self._own(match["id"])
        if message.msg_type != "interactive":
            raise Refused(230001, "This message is NOT a card")
        return self._change(message, request.json(), "interactive", "patch")

    def _change(self, message: Message, body: dict[str, Any], msg_type: str, kind: str) -> Answer:
        parsed = check_content(msg_type, body.get("content"))
        check_size(msg_type, str(body["content"]))
        if kind == "edit" and message.edits >= _EDITS:
            raise Refused(230072, "The message has reached the number of times it can be edited")
        self._limit(message.chat)
        message.edits += 1
        message.msg_type, message.content = msg_type, str(body["content"])
        text = plain_text(msg_type, parsed)
        self._sim.log.add(kind, chat=message.chat, message_id=message.id, text=text, msg_type=msg_type)
        if message.card:
            card = self.cards.cards[message.card]
            self.cards.replace(card, parsed)
            if not card.streaming:
                self.note(message, text)
        return ok(self._data(message) if kind == "edit" else {})

    def _delete(self, request: Request, match: Match[str]) -> Answer:
        message = self._own(match["id"])
        message.deleted = True
        self._sim.log.add("recall", chat=message.chat, message_id=message.id)
        return ok({})

    def _get(self, request: Request, match: Match[str]) -> Answer:
        message = self._known(match["id"])
        within = [each for each in self.messages.values() if each.upper == message.id]
        return ok({"items": [self._data(each) for each in (message, *within)]})

    def _resource(self, request: Request, match: Match[str]) -> Answer:
        return self.files.resource(self._known(match["id"]), match["key"], request.query.get("type", ""))

    # -- reactions, the bot

    def _react(self, request: Request, match: Match[str]) -> Answer:
        message = self._known(match["id"])
        emoji = request.json().get("reaction_type", {}).get("emoji_type", "")
        if not emoji:
            raise Refused(231001, "reaction type is invalid")
        reaction_id = new_id("ZCaCIjUBVVWSrm5L-")
        message.reactions.add(reaction_id)
        self._sim.log.add("reaction", chat=message.chat, message_id=message.id, emoji=emoji, reaction_id=reaction_id)
        return ok({"reaction_id": reaction_id, "reaction_type": {"emoji_type": emoji}, "action_time": millis()})

    def _unreact(self, request: Request, match: Match[str]) -> Answer:
        message = self._known(match["id"])
        if match["reaction"] not in message.reactions:
            raise Refused(231007, "the reaction does not exist")
        message.reactions.discard(match["reaction"])
        self._sim.log.add("unreaction", chat=message.chat, message_id=message.id, reaction_id=match["reaction"])
        return ok({})

    def _bot(self, request: Request, match: Match[str]) -> Answer:
        bot = {"activate_status": 2, "app_name": BOT_NAME, "avatar_url": "", "ip_white_list": [], "open_id": BOT}
        return Answer(200, {"code": 0, "msg": "ok", "bot": bot})


def ok(data: dict[str, Any]) -> Answer:
    """A good answer."""
    return Answer(200, {"code": 0, "msg": "success", "data": data}, {"X-Tt-Logid": uuid.uuid4().hex})


def error_answer(refused: Refused) -> Answer:
    """A refusal as the platform words it."""
    headers = {"X-Tt-Logid": uuid.uuid4().hex}
    if refused.wait:
        headers |= {"x-ogw-ratelimit-limit": "50", "x-ogw-ratelimit-reset": str(math.ceil(refused.wait))}
    return Answer(refused.status, {"code": refused.code, "msg": str(refused), "data": {}}, headers)


def _over(times: deque[float], rate: tuple[int, float], now: float) -> float:
    """Seconds to wait when ``rate`` (count, seconds) is used up; 0 when it is not. Forgets what is old."""
    count, seconds = rate
    while times and now - times[0] >= seconds:
        times.popleft()
    return max(1.0, times[0] + seconds - now) if len(times) >= count else 0.0
