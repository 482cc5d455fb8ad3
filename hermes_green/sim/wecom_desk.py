"""What the simulated WeCom lets a bot say: replies to callbacks, streams, messages of its own, uploads.

Sources: wecom-aibot-sdk 1.0.8, @wecom/aibot-node-sdk 1.0.7 and field measurements of streams. Not
published, and assumed: the rates, that refreshing a stream is free, that a finished stream's last frame
may come again within the window, that only chats which have written can be written to.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping

from hermes_green.sim.wecom_media import Refused, Uploads

if TYPE_CHECKING:
    from hermes_green.sim.wecom import WeComSim

LIMIT = 20_480
MEDIA = ("image", "voice", "video", "file")
RESPOND, WELCOME, UPDATE, SEND = (
    "aibot_respond_msg",
    "aibot_respond_welcome_msg",
    "aibot_respond_update_msg",
    "aibot_send_msg",
)


@dataclass(slots=True)
class Origin:
    """A callback that may be answered. ``event``: its kind, "" for a message; ``at`` is monotonic."""

    chat: str
    chat_type: str
    message_id: str
    at: float
    event: str = ""


@dataclass(slots=True)
class Stream:
    """One bubble."""

    chat: str
    content: str
    at: float
    finished: bool = False
    frames: int = 0


class Desk:
    """Takes the bot's commands, one after the other; `Refused` says why not."""

    def __init__(self, sim: WeComSim) -> None:
        self._sim = sim
        self.origins: dict[str, Origin] = {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self.chats: dict[str, str] = {}
        self.uploads = Uploads()
        self._times: dict[str, deque[float]] = {}
        self._commands: dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
            RESPOND: self._respond,
            WELCOME: self._welcome,
            UPDATE: self._update,
            SEND: self._send,
            "aibot_upload_media_init": lambda req_id, body: self.uploads.init(body, time.monotonic()),
            "aibot_upload_media_chunk": lambda req_id, body: self.uploads.chunk(body, time.monotonic()),
            "aibot_upload_media_finish": lambda req_id, body: self._finish_upload(body),
        }

    def knows(self, cmd: str) -> bool:
        """Whether there is such a command."""
        return cmd in self._commands

    def do(self, cmd: str, req_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry a command out; the body of its answer. Raises Refused."""
        return self._commands[cmd](req_id, body)

    def open_streams(self) -> int:
        """Bubbles that nobody has finished."""
        return sum(not stream.finished for stream in self.streams.values())

    def age(self, seconds: float) -> None:
        """Let everything be older by ``seconds``."""
        for origin in self.origins.values():
            origin.at -= seconds
        for stream in self.streams.values():
            stream.at -= seconds

    # -- replies

    def _origin(self, req_id: str, event: str = "") -> Origin:
        found, now = self.origins.get(req_id), time.monotonic()
        options = self._sim.options
        limit = options.event_window if event else options.window
        if found is None or found.event != event or now - found.at > limit:
            raise Refused(846605, "invalid req_id")
        return found

    def _respond(self, req_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        origin = self._origin(req_id)
        self._sim.users.arrived(origin.message_id)
        kind = body.get("msgtype")
        if kind in ("stream", "stream_with_template_card"):
            self._stream(req_id, origin, body.get("stream"))
        elif kind in ("markdown", "text", "template_card", *MEDIA):
            self._message(origin.chat, origin.chat_type, body, "respond", origin.message_id)
        else:
            raise Refused(40058, f"msgtype {kind!r}", wrong=True)
        return {}

    def _stream(self, req_id: str, origin: Origin, given: Any) -> None:
        fields = given if isinstance(given, dict) else {}
        stream_id, content, finish = fields.get("id"), fields.get("content", ""), fields.get("finish", False)
        well = isinstance(stream_id, str) and isinstance(content, str) and isinstance(finish, bool)
        if not well or not stream_id:
            raise Refused(40058, "a stream is {id, finish, content}", wrong=True)
        _fits(content)
        now, key = time.monotonic(), (req_id, stream_id)
        stream = self.streams.get(key)
        if stream is None:
            self._count(origin.chat, now)
            stream = self.streams[key] = Stream(origin.chat, "", now)
        elif not stream.finished and now - stream.at > self._sim.options.stream_ttl:
            raise Refused(846608, "stream message update expired (>6 minutes)")
        again = stream.finished
        if again and not finish:
            raise Refused(40058, "a frame after the stream's last", wrong=True)
        changed = again and stream.content != content
        stream.content, stream.at, stream.finished, stream.frames = content, now, finish, stream.frames + 1
        shown = {"chat": origin.chat, "text": content, "key": stream_id, "reply_to": origin.message_id}
        if not finish:
            self._sim.log.add("draft", frames=stream.frames, **shown)
            return
        self._sim.sent += not again
        more = {"chat_type": origin.chat_type, "msgtype": "stream", "via": "respond", "frames": stream.frames}
        self._sim.log.add("send", duplicate=again, changed=changed, **more, **shown)

    def _welcome(self, req_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        origin = self._origin(req_id, "enter_chat")
        if body.get("msgtype") not in ("text", "template_card"):
            raise Refused(40058, f"msgtype {body.get('msgtype')!r}", wrong=True)
        text = _content(body, "text") if body.get("msgtype") == "text" else "[card]"
        self._sim.log.add("welcome", chat=origin.chat, text=text)
        return {}

    def _update(self, req_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        origin = self._origin(req_id, "template_card_event")
        if body.get("response_type") != "update_template_card" or not isinstance(body.get("template_card"), dict):
            raise Refused(40058, "an update is {response_type, template_card}", wrong=True)
        self._sim.log.add("card_update", chat=origin.chat)
        return {}

    # -- messages that answer nothing

    def _send(self, req_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        chat, kind = body.get("chatid"), body.get("msgtype")
        if not isinstance(chat, str) or kind not in ("markdown", "template_card", *MEDIA):
            raise Refused(40058, f"chatid {chat!r}, msgtype {kind!r}", wrong=True)
        if chat not in self.chats:
            raise Refused(93006, "invalid chatid")
        chat_type = self.chats[chat]
        if body.get("chat_type") not in (None, {"dm": 1, "group": 2}[chat_type]):
            raise Refused(40058, f"chat_type {body.get('chat_type')!r} of a {chat_type}", wrong=True)
        self._message(chat, chat_type, body, "send", "")
        return {}

    def _message(self, chat: str, chat_type: str, body: Mapping[str, Any], via: str, reply_to: str) -> None:
        kind, now = str(body["msgtype"]), time.monotonic()
        more: dict[str, Any] = {}
        if kind in MEDIA:
            given = body.get(kind)
            medium = self.uploads.medium(kind, given.get("media_id") if isinstance(given, dict) else None, now)
            text, md5 = "", hashlib.md5(medium.data).hexdigest()
            more = {"name": medium.name, "size": len(medium.data), "md5": md5}
        elif kind == "template_card":
            text = json.dumps(body.get("template_card"), ensure_ascii=False)
        else:
            text = _content(body, kind)
        self._count(chat, now)
        self._sim.sent += 1
        fields = {"chat": chat, "chat_type": chat_type, "text": text, "key": "", "msgtype": kind, "via": via}
        self._sim.log.add("send", duplicate=False, reply_to=reply_to, **fields, **more)

    def _finish_upload(self, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.uploads.finish(body, time.monotonic())
        medium = self.uploads.media[answer["media_id"]]
        self._sim.log.add("upload", type=medium.kind, name=medium.name, size=len(medium.data))
        return answer

    # -- limits

    def _count(self, chat: str, now: float) -> None:
        """Book a message; refreshing a bubble is none."""
        options = self._sim.options
        times = self._times.setdefault(chat, deque())
        while times and now - times[0] >= 3600:
            times.popleft()
        minute = sum(now - at < 60 for at in times)
        if (options.rate_minute and minute >= options.rate_minute) or (
            options.rate_hour and len(times) >= options.rate_hour
        ):
            self._sim.log.add("throttled", chat=chat, minute=minute, hour=len(times))
            raise Refused(45009, "api freq out of limit")
        times.append(now)


def _content(body: Mapping[str, Any], kind: str) -> str:
    given = body.get(kind)
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, str) or not content:
        raise Refused(40058, f"{kind} without content", wrong=True)
    return _fits(content)


def _fits(content: str) -> str:
    if len(content.encode()) > LIMIT:
        raise Refused(40058, f"content of {len(content.encode())} bytes", wrong=True)
    return content
