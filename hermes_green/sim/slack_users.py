"""The people on the simulated Slack: they write, edit, react, give commands."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from hermes_green.sim import slack_events as events
from hermes_green.sim.slack_events import BOT_USER, SCENES, Message
from hermes_green.sim.slack_push import Event, Post

if TYPE_CHECKING:
    from hermes_green.sim.slack import SlackSim


class Users:
    """Turns what a user does into events and hands them to the courier."""

    def __init__(self, sim: SlackSim) -> None:
        self._sim = sim
        self._kinds: Mapping[str, Callable[..., dict[str, Any]]] = {
            "message": self._message,
            "edit": self._edit,
            "delete": self._delete,
            "reaction": self._reaction,
            "command": self._command,
            "click": self._click,
            "raw": self._raw,
        }

    def act(self, kind: str = "message", **what: Any) -> dict[str, Any]:
        """Do one thing; the answer names ``event_id``, ``message_id`` (the ts) and ``chat``.

        ``message``: text (as typed), chat, user, chat_type (dm, group, channel or private), thread (a ts),
        mention (in channels true unless said otherwise), raw (the text as it goes on the wire), subtype,
        files (``{name, mimetype, data}``, data in base64), more (further keys of the event). ``edit``
        chat, message_id, text. ``delete`` chat, message_id. ``reaction`` chat, message_id, emoji.
        ``command`` command, text, chat, user. ``click`` chat, user. ``raw`` event, or payload.

        Raises:
            ValueError: no such kind, or no such kind of chat.
        """
        if kind not in self._kinds:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(self._kinds)}")
        return self._kinds[kind](**what)

    def _tell(self, chat: str, message_id: str, *told: Mapping[str, Any], turn: bool = False) -> dict[str, Any]:
        post = Post(chat, message_id, turn=turn)
        post.events = [Event(post, events.callback(event)) for event in told]
        went = self._sim.courier.tell(post)
        event_id = post.events[0].id if post.events else ""
        return {"event_id": event_id, "message_id": message_id, "chat": chat, "held": not went}

    def _message(
        self,
        text: str = "hello",
        chat: str = "",
        user: str = "",
        chat_type: str = "dm",
        thread: str = "",
        mention: bool | None = None,
        raw: str = "",
        subtype: str = "",
        files: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        if chat_type not in SCENES:
            raise ValueError(f"chat_type is one of {', '.join(SCENES)}")
        scene, usual = SCENES[chat_type]
        user = user or (chat.replace("D", "U", 1) if chat and scene == "im" else "U0ALICE")
        chat = chat or usual or self._sim.chats.dm_of(user)
        self._sim.chats.know(chat, scene, user)
        mentions = scene != "im" if mention is None else mention
        words = raw or (f"<@{BOT_USER}> " if mentions else "") + events.escaped(text)
        message = Message(events.new_ts(), chat, user, words, thread, files=[self._file(each) for each in files])
        self._sim.chats.keep(message)
        told = {**events.event_of(message, scene), **({"subtype": subtype} if subtype else {}), **(more or {})}
        wanted = [told] if scene == "im" or scene == "mpim" or not self._sim.options.mentions_only else []
        if mentions and scene in ("channel", "group") and not subtype:
            wanted.append({**events.mention_of(message), **(more or {})})
        self._sim.log.add("said", chat=chat, chat_type=scene, text=text, message_id=message.ts, user=user)
        return {**self._tell(chat, message.ts, *wanted, turn=True), "user": user, "thread": thread}

    def _file(self, given: Mapping[str, Any]) -> dict[str, Any]:
        data = base64.b64decode(given.get("data", ""))
        return self._sim.shelf.put(str(given.get("name", "file")), str(given.get("mimetype", "")), data)

    def _edit(self, chat: str, message_id: str, text: str) -> dict[str, Any]:
        message = self._sim.chats.find(chat, message_id)
        message.text = events.escaped(text)
        return self._tell(chat, message_id, events.changed(message, self._sim.chats.kind(chat)))

    def _delete(self, chat: str, message_id: str) -> dict[str, Any]:
        message = self._sim.chats.find(chat, message_id)
        self._sim.chats.drop(message)
        return self._tell(chat, message_id, events.deleted(message, self._sim.chats.kind(chat)))

    def _reaction(self, chat: str, message_id: str, emoji: str = "thumbsup", user: str = "U0ALICE") -> dict[str, Any]:
        item = {"type": "message", "channel": chat, "ts": message_id}
        return self._tell(chat, message_id, {"type": "reaction_added", "user": user, "reaction": emoji, "item": item})

    def _command(
        self, command: str = "/ask", text: str = "", chat: str = "C0SIMCHANNEL", user: str = "U0ALICE"
    ) -> dict[str, Any]:
        payload = {"command": command, "text": text, "channel_id": chat, "user_id": user, "team_id": events.TEAM}
        return self._once("slash_commands", chat, payload)

    def _click(self, chat: str = "C0SIMCHANNEL", user: str = "U0ALICE") -> dict[str, Any]:
        payload = {"type": "block_actions", "user": {"id": user}, "channel": {"id": chat}, "actions": []}
        return self._once("interactive", chat, payload)

    def _once(self, kind: str, chat: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        post = Post(chat, "")
        post.events = [Event(post, payload, kind)]
        self._sim.courier.tell(post)
        return {"event_id": "", "message_id": "", "chat": chat}

    def _raw(self, event: Mapping[str, Any] | None = None, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if payload is None:
            return self._tell("", "", event or {})
        post = Post("", "")
        post.events = [Event(post, payload)]
        self._sim.courier.tell(post)
        return {"event_id": "", "message_id": "", "chat": ""}
