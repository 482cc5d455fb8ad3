"""The people on the simulated Telegram: where they are, what they do, and in which order."""

from __future__ import annotations

import base64
import secrets
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

import gevent

from hermes_green.sim.kit_turns import Turns
from hermes_green.sim.telegram_text import spoken

if TYPE_CHECKING:
    from hermes_green.sim.telegram import TelegramSim

TYPES = {"dm": "private", "group": "group", "supergroup": "supergroup", "topic": "supergroup", "channel": "channel"}
HOMES = {"dm": 7001, "group": -5001, "supergroup": -1001000000001, "topic": -1001000000002, "channel": -1001000000003}
TOPIC = 4
MEDIA = ("photo", "document", "voice", "audio", "video", "video_note", "animation", "sticker")
BARE: Mapping[str, Any] = {
    "location": {"latitude": 52.5, "longitude": 13.4},
    "contact": {"phone_number": "+100", "first_name": "Bob"},
    "poll": {"id": "1", "question": "Lunch?", "options": [], "type": "regular"},
    "dice": {"emoji": "🎲", "value": 3},
    "venue": {"location": {"latitude": 1.0, "longitude": 2.0}, "title": "Cafe", "address": "Main St"},
}


@dataclass(slots=True)
class Chat:
    """One chat. ``alias``: what the tester calls it, and the record too."""

    id: int
    kind: str
    alias: str
    messages: int = 0
    refuses: str = ""
    moved: int = 0

    def shown(self) -> dict[str, Any]:
        """As the platform describes it in a message."""
        shown: dict[str, Any] = {"id": self.id, "type": TYPES[self.kind]}
        if self.kind == "dm":
            return {**shown, "first_name": f"User {self.id}"}
        if self.kind == "topic":
            shown["is_forum"] = True
        return {**shown, "title": f"Chat {self.alias}"}

    def next_id(self) -> int:
        """The id of its next message; small groups and people share one count on the platform."""
        self.messages += 1
        return self.messages


class Users:
    """Everybody who writes to the bot of one simulator."""

    def __init__(self, sim: TelegramSim) -> None:
        self._sim = sim
        self._turns = Turns(sim.options.hold_order)
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.texts: dict[tuple[int, int], dict[str, Any]] = {}

    @property
    def held(self) -> int:
        """Messages that wait for the one before them."""
        return self._turns.held

    def say(
        self,
        text: str = "",
        chat: str = "",
        user: str = "",
        chat_type: str = "dm",
        kind: str = "message",
        mention: bool = True,
        **more: Any,
    ) -> dict[str, Any]:
        """A user does something in ``chat`` (an id, or a name of the tester's own).

        ``kind``: message; one of the media (``data`` in base64, ``name``, ``mime``; ``text`` is the
        caption); location, contact, poll, dice, venue; album (``count`` photos); edit (``message_id``);
        reaction (``message_id``, ``emoji``, ``old``); join; blocked; kicked; migrate; raw (``update``: kind
        of update, ``body``). ``mention``: in groups the text begins with the bot's name. ``reply_to``: a
        message of this chat. ``anonymous``: written as the group itself. ``bot``: another bot writes.

        Returns:
            message_id, event_id (of the update, 0 while held), chat, user, held.

        Raises:
            ValueError: no such kind of chat or deed.
        """
        if chat_type not in TYPES:
            raise ValueError(f"chat_type is one of {', '.join(TYPES)}")
        where = self.chat(chat, user, chat_type)
        who = where.id if chat_type == "dm" else number_of(user or "7001")
        if kind == "raw":
            update_id = self._sim.feed.put(str(more["update"]), more.get("body"), where.alias, "")
            return {"message_id": "", "event_id": update_id, "chat": where.alias, "user": str(who), "held": False}
        if kind == "reaction":
            return self._react(where, who, more)
        if kind in ("blocked", "kicked"):
            where.refuses = "bot was blocked by the user" if kind == "blocked" else "bot was kicked from the group chat"
            return {"message_id": "", "event_id": 0, "chat": where.alias, "user": str(who), "held": False}
        if kind == "migrate":
            return self._migrate(where, who)
        if mention and text and chat_type != "dm":
            text = f"@{self._sim.username} {text}"
        bodies = self._bodies(where, who, text, kind, more)
        return self._deliver(where, who, bodies, "edited_" if kind == "edit" else "")

    def arrived(self, chat: str, message_id: str) -> None:
        """The client has this message: the chat's next may go."""
        following = self._turns.over(chat, message_id)
        if isinstance(following, tuple):
            self._push(*following)

    def chat(self, chat: str = "", user: str = "", kind: str = "dm") -> Chat:
        """The chat of that id or name, made when it is new."""
        alias = chat or (user if kind == "dm" else "") or str(HOMES[kind])
        number = number_of(alias)
        if kind != "dm" and number > 0:
            number = -number if kind == "group" else -1_000_000_000_000 - number
        found = self.chats.get(number)
        if found is None:
            found = self.chats[number] = Chat(number, kind, alias)
        return found

    # -- inside

    def _deliver(self, where: Chat, who: int, bodies: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
        update = prefix + ("channel_post" if where.kind == "channel" else "message")
        event = 0
        first, last = str(bodies[0]["message_id"]), str(bodies[-1]["message_id"])
        goes = self._turns.may_go(where.alias, last, (update, where.alias, bodies))
        if goes:
            event = self._push(update, where.alias, bodies)
        return {"message_id": first, "event_id": event, "chat": where.alias, "user": str(who), "held": not goes}

    def _push(self, update: str, alias: str, bodies: list[dict[str, Any]]) -> int:
        event = 0
        for body in bodies:
            message_id = str(body["message_id"])
            event = self._sim.feed.put(update, {**body, "date": now()}, alias, message_id)
            if body is not bodies[-1]:
                gevent.sleep(0.005)  # bursts come one by one
            text = body.get("text", body.get("caption", ""))
            self._sim.log.add("said", chat=alias, text=text, message_id=message_id, event_id=event)
        return event

    def _bodies(self, where: Chat, who: int, text: str, kind: str, more: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages that the deed makes."""
        if kind == "edit":
            message_id = int(more["message_id"])
            old = self.texts.get((where.id, message_id), {})
            again = {"message_id": message_id, "edit_date": now()}
            return [{**old, **self._base(where, who, more), **_text(text), **again}]
        count = int(more.get("count", 3)) if kind == "album" else 1
        group = {"media_group_id": str(secrets.randbits(50))} if kind == "album" else {}
        bodies = []
        for number in range(count):
            body = {"message_id": where.next_id(), **self._base(where, who, more), **group}
            body.update(self._content("photo" if kind == "album" else kind, text if number == 0 else "", more))
            self.texts[where.id, body["message_id"]] = body
            bodies.append(body)
        return bodies

    def _base(self, where: Chat, who: int, more: Mapping[str, Any]) -> dict[str, Any]:
        base: dict[str, Any] = {"chat": where.shown(), "date": now()}
        if where.kind == "channel":
            base["sender_chat"] = where.shown()
        elif more.get("anonymous"):
            base["sender_chat"] = where.shown()
            base["from"] = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
        else:
            base["from"] = {"id": who, "is_bot": bool(more.get("bot")), "first_name": f"User {who}"}
        if where.kind == "topic":
            base |= {"message_thread_id": int(more.get("thread", TOPIC)), "is_topic_message": True}
        if more.get("reply_to"):
            message_id = int(more["reply_to"])
            quoted = self.texts.get((where.id, message_id)) or self._sim.rest.shown(where.id, message_id)
            if quoted is None:
                raise ValueError(f"there is no message {message_id} in {where.alias}")
            base["reply_to_message"] = {name: value for name, value in quoted.items() if name != "reply_to_message"}
            if where.kind == "supergroup":
                base["message_thread_id"] = message_id  # a thread of replies is no topic
        return base

    def _content(self, kind: str, text: str, more: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "message":
            return {**_text(text), **more.get("extra", {})}
        if kind == "join":
            return {"new_chat_members": [{"id": 7009, "is_bot": False, "first_name": "New"}]}
        if kind in BARE:
            return {kind: BARE[kind]}
        if kind not in MEDIA:
            raise ValueError(f"no such deed: {kind}")
        data = base64.b64decode(more["data"]) if "data" in more else b"sim"
        file: dict[str, Any] = {"file_id": secrets.token_urlsafe(24), "file_size": len(data)}
        file["file_unique_id"] = secrets.token_hex(8)
        self.files[file["file_id"]] = (f"{kind}s/file_{len(self.files)}", data)
        if kind == "sticker":
            return {"sticker": {**file, "emoji": "😀", "width": 512, "height": 512}}
        if "name" in more and kind in ("document", "audio", "video", "animation"):
            file["file_name"] = more["name"]
        if "mime" in more and kind != "photo":
            file["mime_type"] = more["mime"]
        small = {**file, "file_id": "small-" + file["file_id"], "file_size": 1, "width": 90, "height": 90}
        body = [small, {**file, "width": 800, "height": 600}] if kind == "photo" else file
        caption = {name.replace("text", "caption"): v for name, v in _text(text).items() if text}
        caption = {("caption_entities" if name == "entities" else name): v for name, v in caption.items()}
        extra = {"document": file} if kind == "animation" else {}
        return {kind: body, **extra, **caption}

    def _react(self, where: Chat, who: int, more: Mapping[str, Any]) -> dict[str, Any]:
        """Somebody puts ``emoji`` to a message in place of ``old``; "" is none."""
        changed = more.get("old"), more.get("emoji", "👍")
        old, new = ([{"type": "emoji", "emoji": each}] if each else [] for each in changed)
        user = {"id": who, "is_bot": False, "first_name": f"User {who}"}
        body = {"chat": where.shown(), "message_id": int(more["message_id"]), "user": user, "date": now()}
        event = self._sim.feed.put(
            "message_reaction", {**body, "old_reaction": old, "new_reaction": new}, where.alias, ""
        )
        return {"message_id": "", "event_id": event, "chat": where.alias, "user": str(who), "held": False}

    def _migrate(self, where: Chat, who: int) -> dict[str, Any]:
        """A group becomes a supergroup with another id; both are told."""
        new = self.chat(str(-1_000_000_000_000 - abs(where.id)), kind="supergroup")
        new.alias, where.moved = where.alias + "-super", new.id
        base = {"from": {"id": who, "is_bot": False, "first_name": f"User {who}"}, "date": now()}
        told = {"message_id": where.next_id(), **base, "chat": where.shown(), "migrate_to_chat_id": new.id}
        self._push("message", where.alias, [told])
        told = {"message_id": new.next_id(), **base, "chat": new.shown(), "migrate_from_chat_id": where.id}
        event = self._push("message", new.alias, [told])
        return {"message_id": "", "event_id": event, "chat": new.alias, "user": str(who), "held": False, "id": new.id}


def now() -> int:
    """As the platform writes it."""
    return int(time.time())


def number_of(name: str) -> int:
    """An id as it is; for a name always the same id."""
    try:
        return int(name)
    except ValueError:
        return 1_000_000 + zlib.crc32(name.encode()) % 800_000_000


def _text(text: str) -> dict[str, Any]:
    entities = spoken(text)
    return {"text": text, **({"entities": entities} if entities else {})}
