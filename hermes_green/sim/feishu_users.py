"""The people on the simulated Feishu: they write, click, react and change their minds."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from hermes_green.sim import feishu_events as events
from hermes_green.sim.feishu_push import Event
from hermes_green.sim.feishu_rest import Message

if TYPE_CHECKING:
    from hermes_green.sim.feishu import FeishuSim


class Users:
    """Turns what a user does into an event and hands it to the courier."""

    def __init__(self, sim: FeishuSim) -> None:
        self._sim = sim
        self._kinds: Mapping[str, Callable[..., dict[str, Any]]] = {
            "message": self._message,
            "edit": self._edit,
            "reaction": self._reaction,
            "recall": self._recall,
            "entered": self._entered,
            "added": self._added,
            "removed": self._removed,
            "card_action": self._card_action,
            "raw": self._raw,
        }

    def act(self, kind: str = "message", **what: Any) -> dict[str, Any]:
        """Do one thing; the answer names ``event_id``, ``message_id`` and ``chat``.

        ``message``: text, chat, user, chat_type (``dm`` or ``group``), message_type (text, post, image,
        file, audio, media, sticker or any other), content (in place of text), mentions (``bot``, ``all``
        or open_ids; in groups the bot unless said otherwise; ``@<1>`` in the text is replaced by the
        first), reply_to (a message: a quote), thread (an ``omt_`` id, or true for the thread that
        begins at reply_to), message_id, parts and shuffled (how the push is cut), data (base64: what its file holds),
        forwarded (who and what: the messages within a merge_forward).
        ``edit`` message_id, text. ``reaction`` message_id, emoji, user (``bot`` for its own), created.
        ``recall`` message_id. ``entered``, ``added``, ``removed`` chat, user. ``card_action``
        message_id, value. ``raw`` event_type, event.

        Raises:
            ValueError: no such kind.
        """
        if kind not in self._kinds:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(self._kinds)}")
        return self._kinds[kind](**what)

    def _send(self, body: dict[str, Any], chat: str, message_id: str, **how: Any) -> dict[str, Any]:
        event = Event(body, chat, message_id, **how)
        self._sim.courier.take(event)
        return {"event_id": event.id, "message_id": message_id, "chat": chat}

    def _message(
        self,
        text: str = "hello",
        chat: str = "",
        user: str = "",
        chat_type: str = "dm",
        message_type: str = "text",
        content: dict[str, Any] | None = None,
        mentions: Sequence[str] | None = None,
        reply_to: str = "",
        thread: str | bool = "",
        message_id: str = "",
        parts: int = 0,
        shuffled: bool = False,
        data: str = "",
        forwarded: Sequence[Sequence[str]] = (),
    ) -> dict[str, Any]:
        group = chat_type == "group"
        if chat_type not in ("dm", "p2p", "group"):
            raise ValueError(f"chat_type is dm or group, not {chat_type!r}")
        user = user or ("ou_alice" if group or not chat else "ou_" + chat.removeprefix("oc_"))
        chat = chat or ("oc_sim_group" if group else self._sim.rest.dms.get(user, f"oc_dm_{user.removeprefix('ou_')}"))
        if not group:
            self._sim.rest.dms[user] = chat
        self._sim.left_chats.discard(chat)
        named = ("bot",) if mentions is None and group else tuple(mentions or ())
        marks = tuple(events.mention(number, who) for number, who in enumerate(named, 1))
        made = content if content is not None else events.content_of(message_type, text, marks)
        for name in ("image_key", "file_key"):
            if data and name in made:
                self._sim.rest.files.sent[made[name]] = base64.b64decode(data)
        root, parent, thread_id = self._place(reply_to, thread)
        message_id = message_id or events.new_id("om_")
        said = events.Said(
            message_id, chat, "group" if group else "p2p", user, message_type, made, marks, root, parent, thread_id
        )
        words = events.written(message_type, made)
        self._sim.rest.messages[message_id] = Message(
            message_id, chat, message_type, words, False, root, parent, thread_id, user=user
        )
        for who, words in forwarded:
            id, words = events.new_id("om_"), json.dumps({"text": words})
            self._sim.rest.messages[id] = Message(id, chat, "text", words, False, user=who, upper=message_id)
        body = events.message_received(self._sim.app_id, said)
        return {**self._send(body, chat, message_id, parts=parts, shuffled=shuffled), "thread": thread_id}

    def _place(self, reply_to: str, thread: str | bool) -> tuple[str, str, str]:
        """root_id, parent_id and thread_id of a new message."""
        earlier = self._sim.rest.messages.get(reply_to)
        root = (earlier.root_id or earlier.id) if earlier else reply_to
        if thread is True:
            thread_id = (earlier.thread_id if earlier else "") or events.new_id("omt_")
            if earlier is not None:
                earlier.thread_id = thread_id
            return root, root, thread_id
        if thread:
            return root, root, str(thread)
        return root, reply_to, ""

    def _edit(self, message_id: str, text: str) -> dict[str, Any]:
        message = self._sim.rest.messages[message_id]
        message.content = json.dumps({"text": text})
        event = {"message_id": message_id, "chat_id": message.chat, "content": message.content}
        body = events.envelope(self._sim.app_id, "im.message.updated_v1", event)
        return self._send(body, "", message_id)

    def _reaction(
        self, message_id: str, emoji: str = "THUMBSUP", user: str = "ou_alice", created: bool = True
    ) -> dict[str, Any]:
        body = events.reaction(self._sim.app_id, created, message_id, user, emoji)
        return self._send(body, "", message_id)

    def _recall(self, message_id: str) -> dict[str, Any]:
        message = self._sim.rest.messages[message_id]
        message.deleted = True
        return self._send(events.recalled(self._sim.app_id, message_id, message.chat), "", message_id)

    def _entered(self, chat: str = "oc_dm_alice", user: str = "ou_alice") -> dict[str, Any]:
        return self._send(events.entered(self._sim.app_id, chat, user), "", "")

    def _added(self, chat: str = "oc_sim_group", user: str = "ou_alice") -> dict[str, Any]:
        self._sim.left_chats.discard(chat)
        return self._send(events.membership(self._sim.app_id, True, chat, user), "", "")

    def _removed(self, chat: str = "oc_sim_group", user: str = "ou_alice") -> dict[str, Any]:
        self._sim.left_chats.add(chat)
        return self._send(events.membership(self._sim.app_id, False, chat, user), "", "")

    def _card_action(self, message_id: str, value: Any = None, user: str = "ou_alice") -> dict[str, Any]:
        message = self._sim.rest.messages.get(message_id)
        chat = message.chat if message is not None else ""
        body = events.card_action(self._sim.app_id, chat, user, message_id, value or {})
        return self._send(body, "", message_id, once=True)

    def _raw(self, event_type: str, event: dict[str, Any]) -> dict[str, Any]:
        return self._send(events.envelope(self._sim.app_id, event_type, event), "", "")
