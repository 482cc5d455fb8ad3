"""The people on the simulated DingTalk: they write, click, leave; and the files they send."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from hermes_green.sim import dingtalk_frames as frames
from hermes_green.sim.dingtalk_router import Push

if TYPE_CHECKING:
    from hermes_green.sim.dingtalk import DingTalkSim

GROUP = "cidSimGroup=="


class Users:
    """Turns what a user does into a push. ``dms``: staff id -> conversation with the robot."""

    def __init__(self, sim: DingTalkSim) -> None:
        self._sim = sim
        self.dms: dict[str, str] = {}
        self.gone: set[str] = set()
        self.files: dict[str, tuple[str, bytes]] = {}
        self._kinds: Mapping[str, Callable[..., dict[str, Any]]] = {
            "message": self._message,
            "event": self._event,
            "card_click": self._card_click,
            "left": self._left,
            "raw": self._raw,
        }

    def act(self, kind: str = "message", **what: Any) -> dict[str, Any]:
        """Do one thing; the answer names ``message_id``, ``event_id`` and ``chat``.

        ``message``: text, chat, user (a staff id), chat_type (``dm`` or ``group``), msgtype (text, picture,
        richText, audio, video, file or any other), content (in place of what text makes), data (base64,
        the file's bytes), mentions (``bot`` or staff ids; in groups the bot unless said otherwise), outside
        (the user has no staff id), message_id, quote (what a message says that a text answers). ``event``:
        event_type, data. ``card_click``: track, user, value. ``left``: user leaves the organisation.
        ``raw``: frame (text as it is), or data of a robot message.

        Raises:
            ValueError: no such kind.
        """
        if kind not in self._kinds:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(self._kinds)}")
        return self._kinds[kind](**what)

    def _message(
        self,
        text: str = "hello",
        chat: str = "",
        user: str = "",
        chat_type: str = "dm",
        msgtype: str = "text",
        content: dict[str, Any] | None = None,
        data: str = "",
        mentions: Sequence[str] = ("bot",),
        outside: bool = False,
        message_id: str = "",
        quote: str = "",
    ) -> dict[str, Any]:
        if chat_type not in ("dm", "group"):
            raise ValueError(f"chat_type is dm or group, not {chat_type!r}")
        group = chat_type == "group"
        user = user or ("alice" if group or not chat else chat)
        chat = chat or (GROUP if group else f"cid-{user}==")
        if not group and not outside:
            self.dms[user] = chat
        code = self._file(text if msgtype == "file" else msgtype, data)
        body = {"content": content} if content is not None else frames.body_of(msgtype, text, group, code)
        if quote and msgtype == "text":
            body["text"] |= frames.replying(quote)
        webhook, until = self._sim.webhooks.session(chat)
        message_id = message_id or frames.new_id()
        said = frames.robot_message(
            client_id=self._sim.options.client_id,
            message_id=message_id,
            chat=chat,
            user=user,
            group=group,
            msgtype=msgtype,
            body=body,
            webhook=webhook,
            webhook_until=until,
            outside=outside,
            mentions=mentions,
        )
        self._sim.log.add("said", chat=chat, chat_type=chat_type, text=text, message_id=message_id)
        return self._push(Push("CALLBACK", frames.ROBOT, said, chat, message_id))

    def _push(self, push: Push) -> dict[str, Any]:
        went = self._sim.router.take(push)
        return {"message_id": push.message_id, "event_id": push.event_id, "chat": push.chat, "held": not went}

    def _file(self, name: str, data: str) -> str:
        code = frames.new_id("file")
        self.files[code] = (name, base64.b64decode(data) if data else b"bytes of " + name.encode())
        return code

    def _event(self, event_type: str = "user_add_org", data: Any = None) -> dict[str, Any]:
        event_id = frames.new_id("evt")
        headers = frames.event_headers(event_type, event_id)
        body = data if data is not None else {"timeStamp": frames.millis(), "userId": ["alice"]}
        return self._push(Push("EVENT", event_type, body, event_id=event_id, headers=headers))

    def _card_click(self, track: str, user: str = "alice", value: Any = None) -> dict[str, Any]:
        content = json.dumps({"cardPrivateData": {"actionIds": ["go"], "params": value or {}}})
        data = {"outTrackId": track, "corpId": frames.CORP, "userId": user, "content": content}
        return self._push(Push("CALLBACK", frames.CARD, data, event_id=frames.new_id("click")))

    def _left(self, user: str) -> dict[str, Any]:
        self.gone.add(user)
        return {"user": user, "t": time.time()}

    def _raw(self, frame: str | None = None, data: Any = None) -> dict[str, Any]:
        if frame is not None:
            for link in self._sim.links:
                link.send(frame)
            return {"links": len(self._sim.links)}
        return self._push(Push("CALLBACK", frames.ROBOT, data, event_id=frames.new_id("raw")))
