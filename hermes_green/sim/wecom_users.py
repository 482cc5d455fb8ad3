"""The people on the simulated WeCom: what they write, in which order, and what became of it."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from hermes_green.sim.kit_turns import Turns
from hermes_green.sim.wecom_desk import Origin
from hermes_green.sim.wecom_media import Served, encrypted

if TYPE_CHECKING:
    from hermes_green.sim.wecom import WeComSim

CHATS = {"dm": "alice", "group": "wr_sim_group"}
FILES = ("image", "file", "video")
REMEMBERED = 5


@dataclass(frozen=True, slots=True)
class Said:
    """One callback: its frame, and where it belongs. ``event``: its kind, "" for a message."""

    frame: Mapping[str, Any]
    chat: str
    chat_type: str
    message_id: str
    req_id: str
    event: str = ""


class Users:
    """Everybody who writes to the bot of one simulator.

    ``pending``: messages that were pushed and that nothing shows yet to have arrived, by id.
    """

    def __init__(self, sim: WeComSim) -> None:
        self._sim = sim
        self._turns = Turns(sim.options.hold_order)
        self._recent: list[Said] = []
        self.pending: dict[str, tuple[Said, int]] = {}
        self.served: dict[str, Served] = {}
        self.hooks: dict[str, Origin] = {}
        self.said = 0

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
        message_type: str = "text",
        data: str = "",
        name: str = "",
        quote: Mapping[str, Any] | None = None,
        mention: bool = True,
        event: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A user writes to the bot, or ``event`` happens (enter_chat, template_card_event, ...).

        ``chat_type``: dm or group, in which the text begins with ``@name`` unless ``mention`` is false.
        ``message_type``: text, voice, image, file, video, mixed, or anything. ``data``: base64 of a file,
        which is served encrypted. ``body``: fields that override those made here.

        Returns:
            message_id, event_id (the same), req_id, chat, user, held.

        Raises:
            ValueError: no such kind of chat.
        """
        if chat_type not in CHATS:
            raise ValueError(f"chat_type is one of {', '.join(CHATS)}")
        user = user or (chat if chat_type == "dm" else "") or "alice"
        chat = chat or (user if chat_type == "dm" else CHATS["group"])
        self.said += 1
        message_id, req_id = secrets.token_hex(12), secrets.token_urlsafe(16)
        made: dict[str, Any] = {
            "msgid": message_id,
            "aibotid": self._sim.options.bot_id,
            "chattype": "single" if chat_type == "dm" else "group",
            "from": {"userid": user},
            "create_time": int(time.time()),
        }
        if chat_type == "group":
            made["chatid"] = chat
        if event:
            made |= {"msgtype": "event", "event": {"eventtype": event, **(body or {})}}
            body = None
        else:
            shown = f"@{self._sim.options.bot_name} {text}" if chat_type == "group" and mention else text
            hook = secrets.token_urlsafe(12)
            made |= self._content(message_type, shown, data, name)
            made["response_url"] = f"{self._sim.url}/response/{hook}"
            self.hooks[hook] = Origin(chat, chat_type, message_id, time.monotonic())
        if quote:
            made["quote"] = dict(quote)
        cmd = "aibot_event_callback" if event else "aibot_msg_callback"
        frame = {"cmd": cmd, "headers": {"req_id": req_id}, "body": {**made, **(body or {})}}
        said = Said(frame, chat, chat_type, message_id, req_id, event)
        goes = bool(event) or self._turns.may_go(chat, message_id, said)
        if goes:
            self._push(said)
        ids = {"message_id": message_id, "event_id": message_id, "req_id": req_id}
        return {**ids, "chat": chat, "user": user, "held": not goes}

    def arrived(self, message_id: str) -> None:
        """The bot has answered this message."""
        found = self.pending.pop(message_id, None)
        if found is not None:
            self._sim.log.add("ack", message_id=message_id, chat=found[0].chat, how="answer")
            self._next_after(found[0])

    def gone(self, link: int) -> None:
        """A link is gone: of what went over it and was not answered, nobody can tell whether it arrived."""
        for message_id, (said, over) in list(self.pending.items()):
            if over == link:
                self._sim.log.add("uncertain", message_id=message_id, chat=said.chat)
                self._forget(said)
                self._next_after(said)

    def again(self) -> None:
        """Push the last callbacks once more, as they were, but for what may have been lost."""
        for said in self._recent:
            self._sim.gate.push(said.frame)

    # -- inside

    def _forget(self, said: Said) -> None:
        self._recent = [each for each in self._recent if each is not said]

    def _content(self, kind: str, text: str, data: str, name: str) -> dict[str, Any]:
        if kind in ("text", "voice"):
            return {"msgtype": kind, kind: {"content": text}}
        if kind == "mixed":
            words = {"msgtype": "text", "text": {"content": text}}
            return {"msgtype": kind, kind: {"msg_item": [words, self._content("image", "", data, name)]}}
        return {"msgtype": kind, kind: self._serve(data, name or kind) if kind in FILES else {}}

    def _serve(self, data: str, name: str) -> dict[str, str]:
        cipher, key = encrypted(base64.b64decode(data) or b"a file")
        id, until = secrets.token_hex(12), time.monotonic() + self._sim.options.media_ttl
        self.served[id] = Served(name, cipher, until)
        host = self._sim.options.media_host or self._sim.url
        return {"url": f"{host}/media/{id}?sign={secrets.token_hex(8)}", "aeskey": key}

    def _push(self, said: Said) -> None:
        """To the link that is subscribed; without one it is lost, as on the platform."""
        sim = self._sim
        sim.desk.origins[said.req_id] = Origin(said.chat, said.chat_type, said.message_id, time.monotonic(), said.event)
        sim.desk.chats.setdefault(said.chat, said.chat_type)
        self._recent = [*self._recent, said][-REMEMBERED:]
        fields = {"chat": said.chat, "chat_type": said.chat_type, "message_id": said.message_id, "event": said.event}
        link, at = None, time.time()
        for _ in range(2 if sim.faults.take("duplicate") is not None else 1):
            link = sim.gate.push(said.frame)
        if link is None:
            sim.log.add("lost", **fields)
            self._forget(said)
            self._next_after(said)
            return
        # When it began to leave: by now it may have been read, and more.
        sim.log.add("push", t=at, link=link.id, req_id=said.req_id, **fields)
        if not said.event:
            self.pending[said.message_id] = (said, link.id)

    def _next_after(self, said: Said) -> None:
        """The chat's next message, if one waits for this one."""
        following = self._turns.over(said.chat, said.message_id)
        if isinstance(following, Said):
            self._push(following)
