"""The simulated Slack's Web API, as far as a bot needs it; errors come with HTTP 200, as on the platform."""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Mapping
from urllib.parse import parse_qsl

from hermes_green.sim import slack_events as events
from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.slack_chats import page
from hermes_green.sim.slack_events import BOT_ID, BOT_NAME, BOT_USER, TEAM, Message, unescaped
from hermes_green.sim.slack_push import Event, Post

if TYPE_CHECKING:
    from hermes_green.sim.slack import SlackSim

POST_LIMIT, EDIT_LIMIT = 40_000, 4_000
_EVENT_TYPE = re.compile(r"\w+", re.ASCII)


class Refused(Exception):
    """``{"ok": false}`` with an error's name; ``after``: HTTP 429 with the seconds to wait."""

    def __init__(self, error: str, after: float = 0.0, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.after = after
        self.more = more


class Pace:
    """At most ``count`` calls per ``seconds`` under one name; too early a repeat is noted as a fault."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._times: dict[str, deque[float]] = {}
        self._until: dict[str, float] = {}

    def ask(self, name: str) -> tuple[float, bool]:
        """Seconds to wait (0: it may go on), and whether the client was told so before."""
        now = time.monotonic()
        told = now < self._until.get(name, 0.0) - 0.05
        times = self._times.setdefault(name, deque())
        while times and times[0] <= now - self._seconds:
            times.popleft()
        if len(times) < self._count and not told:
            times.append(now)
            return 0.0, False
        wait = math.ceil(max(self._until.get(name, 0.0), times[0] + self._seconds if times else 0.0) - now) or 1
        self._until[name] = max(self._until.get(name, 0.0), now + wait)
        return float(wait), told


class Api:
    """Answers ``/api/<method>``."""

    def __init__(self, sim: SlackSim) -> None:
        options = sim.options
        self._sim = sim
        self._opens = Pace(options.opens, 60.0)
        # A channel's burst, refilled at one message a second.
        self._posts = Pace(options.posts, float(options.posts))
        self._edits = Pace(options.edits, 60.0)
        self._lookups = Pace(options.lookups, 60.0)
        self._methods: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "apps.connections.open": self._open,
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.open": self._dm,
            "assistant.threads.setStatus": self._status,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
            "files.info": self._file_info,
        }

    def answer(self, request: Request) -> Answer:
        """One call."""
        method = request.path.removeprefix("/api/")
        try:
            fields = _fields(request)
            self._authorise(method, request, fields)
            error = self._sim.api_error(method)
            if error is not None:
                raise error
            known = self._methods.get(method)
            if known is None:
                raise Refused("unknown_method", req_method=method)
            return Answer(200, {"ok": True, **known(fields)})
        except Refused as refused:
            self._sim.log.add("api_refused", method=method, error=refused.error, after=refused.after)
            return refusal(refused)

    def authorised(self, request: Request) -> bool:
        """It carries the bot token."""
        return request.headers.get("authorization", "") == f"Bearer {self._sim.options.bot_token}"

    def _authorise(self, method: str, request: Request, fields: dict[str, Any]) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or str(fields.pop("token", ""))
        fields.pop("token", None)
        options, revoked = self._sim.options, self._sim.revoked
        if not token:
            raise Refused("not_authed")
        if token in revoked:
            raise Refused("token_revoked")
        app = method == "apps.connections.open"
        if token != (options.app_token if app else options.bot_token):
            other = token in (options.app_token, options.bot_token)
            raise Refused("not_allowed_token_type" if other else "invalid_auth")

    def _slow_down(self, pace: Pace, name: str, method: str) -> None:
        wait, told = pace.ask(name)
        if wait:
            if told:
                self._sim.violation(f"{method} again before its Retry-After was over", chat=name)
            self._sim.log.add("throttled", path=f"/api/{method}", chat=name, after=wait)
            raise Refused("ratelimited", wait)

    # -- who, and where to

    def _open(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._slow_down(self._opens, "", "apps.connections.open")
        return {"url": self._sim.new_address()}

    def _auth_test(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": "https://sim.slack.com/",
            "team": "Sim",
            "user": BOT_NAME,
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT_ID,
        }

    def _dm(self, fields: dict[str, Any]) -> dict[str, Any]:
        place = self._sim.chats.place(str(fields.get("users") or ""), people=True)
        if not place:
            raise Refused("user_not_found")
        return {"channel": {"id": place}}

    # -- messages

    def _place(self, fields: dict[str, Any], name: str = "channel", people: bool = False) -> str:
        chats = self._sim.chats
        place = chats.place(str(fields.get(name) or ""), people=people)
        if not place:
            raise Refused("channel_not_found")
        if place in chats.closed:
            raise Refused(chats.closed[place])
        return place

    def _thread(self, place: str, fields: dict[str, Any]) -> str:
        thread = str(fields.get("thread_ts") or "")
        if thread and not self._sim.chats.has(place, thread):
            raise Refused("thread_not_found")
        if thread and self._sim.chats.find(place, thread).thread not in ("", thread):
            self._sim.violation("thread_ts of a reply, and not of a thread's first message", chat=place)
        return thread

    def _post(self, fields: dict[str, Any]) -> dict[str, Any]:
        place = self._place(fields, people=True)
        text, thread, metadata = _text(fields, POST_LIMIT), self._thread(place, fields), _metadata(fields)
        self._slow_down(self._posts, place, "chat.postMessage")
        message = Message(events.new_ts(), place, BOT_USER, text, thread, True, metadata)
        self.posted(message)
        return {"channel": place, "ts": message.ts, "message": message.shown(True)}

    def posted(self, message: Message) -> None:
        """The bot has put something into a chat: it is seen, and it comes back as an event."""
        sim = self._sim
        key = _key(message.metadata)
        sim.sent += 1
        sim.chats.keep(message)
        sim.log.add(
            "send",
            chat=message.chat,
            chat_type=sim.chats.kind(message.chat),
            text=unescaped(message.text),
            raw=message.text,
            message_id=message.ts,
            thread=message.thread,
            reply_to=message.thread,
            key=key,
            again=key != "" and key in sim.keys,
            duplicate=False,
            files=[each["name"] for each in message.files],
        )
        sim.keys.add(key)
        self._echo(message, events.event_of(message, sim.chats.kind(message.chat)))

    def _echo(self, message: Message, event: Mapping[str, Any]) -> None:
        if not self._sim.options.silent:
            post = Post(message.chat, message.ts)
            post.events = [Event(post, events.callback(event))]
            self._sim.courier.tell(post)

    def _own(self, fields: dict[str, Any], error: str) -> Message:
        place, ts = self._place(fields), str(fields.get("ts") or "")
        if not self._sim.chats.has(place, ts):
            raise Refused("message_not_found")
        message = self._sim.chats.find(place, ts)
        if not message.by_bot:
            raise Refused(error)
        return message

    def _update(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._slow_down(self._edits, "", "chat.update")
        message = self._own(fields, "cant_update_message")
        message.text = _text(fields, EDIT_LIMIT)
        message.metadata = _metadata(fields) or message.metadata
        message.edits += 1
        shown, key = unescaped(message.text), _key(message.metadata)
        self._sim.keys.add(key)
        self._sim.log.add("edit", chat=message.chat, message_id=message.ts, text=shown, raw=message.text, key=key)
        self._echo(message, events.changed(message, self._sim.chats.kind(message.chat)))
        return {"channel": message.chat, "ts": message.ts, "text": message.text, "message": message.shown()}

    def _delete(self, fields: dict[str, Any]) -> dict[str, Any]:
        message = self._own(fields, "cant_delete_message")
        self._sim.chats.drop(message)
        self._sim.log.add("recall", chat=message.chat, message_id=message.ts)
        self._echo(message, events.deleted(message, self._sim.chats.kind(message.chat)))
        return {"channel": message.chat, "ts": message.ts}

    def _history(self, fields: dict[str, Any]) -> dict[str, Any]:
        place = self._place(fields)
        self._slow_down(self._lookups, "history", "conversations.history")
        return page(self._sim.chats.listed(place), fields)

    def _replies(self, fields: dict[str, Any]) -> dict[str, Any]:
        place, thread = self._place(fields), str(fields.get("ts") or "")
        self._slow_down(self._lookups, "replies", "conversations.replies")
        if not self._sim.chats.has(place, thread):
            raise Refused("thread_not_found")
        return page(self._sim.chats.listed(place, thread), fields)

    def _status(self, fields: dict[str, Any]) -> dict[str, Any]:
        place = self._place(fields, "channel_id")
        if not fields.get("thread_ts") or "status" not in fields:
            raise Refused("invalid_arguments")
        self._sim.log.add("typing", chat=place, thread=fields["thread_ts"], status=fields["status"])
        return {}

    # -- files

    def _upload_url(self, fields: dict[str, Any]) -> dict[str, Any]:
        name, length = str(fields.get("filename") or ""), str(fields.get("length") or "")
        if fields.get("_json") or not name or not length.isdigit() or int(length) < 1:
            raise Refused("invalid_arguments")
        return self._sim.shelf.announce(name, int(length))

    def _complete(self, fields: dict[str, Any]) -> dict[str, Any]:
        listed = fields.get("files")
        wanted = json.loads(listed) if isinstance(listed, str) else listed or []
        files = [self._sim.shelf.files.get(str(each.get("id"))) for each in wanted if isinstance(each, dict)]
        if not files or any(file is None or file.data is None for file in files):
            raise Refused("file_not_found")
        told = [self._sim.shelf.told(file) for file in files if file is not None]
        if fields.get("channel_id"):
            place = self._place(fields, "channel_id")
            text = str(fields.get("initial_comment") or "")
            self.posted(
                Message(events.new_ts(), place, BOT_USER, text, self._thread(place, fields), True, files=told)
            )
        return {"files": told}

    def _file_info(self, fields: dict[str, Any]) -> dict[str, Any]:
        file = self._sim.shelf.files.get(str(fields.get("file") or ""))
        if file is None:
            raise Refused("file_not_found")
        return {"file": self._sim.shelf.told(file)}


def refusal(refused: Refused) -> Answer:
    """How a refusal is told."""
    body = {"ok": False, "error": refused.error, **refused.more}
    if refused.after:
        return Answer(429, body, {"Retry-After": str(math.ceil(refused.after))})
    return Answer(200, body)


def _fields(request: Request) -> dict[str, Any]:
    """The arguments, of a form, a query or JSON; ``_json`` tells the latter."""
    fields: dict[str, Any] = dict(request.query)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        try:
            return {**fields, **request.json(), "_json": True}
        except ValueError:
            raise Refused("invalid_json") from None
    if request.body and kind != "application/x-www-form-urlencoded":
        raise Refused("invalid_post_type")
    return {**fields, **dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))}


def _text(fields: Mapping[str, Any], limit: int) -> str:
    text = str(fields.get("text") or fields.get("markdown_text") or "")
    if not text.strip() and not fields.get("blocks") and not fields.get("attachments"):
        raise Refused("no_text")
    if len(text) > limit:
        raise Refused("msg_too_long")
    return text


def _metadata(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    given = fields.get("metadata")
    try:
        metadata = json.loads(given) if isinstance(given, str) and given else given
    except ValueError:
        raise Refused("invalid_metadata_format") from None
    if not metadata:
        return None
    good = isinstance(metadata, dict) and isinstance(metadata.get("event_payload"), dict)
    if not good or not _EVENT_TYPE.fullmatch(str(metadata.get("event_type") or "")):
        raise Refused("invalid_metadata_schema")
    return dict(metadata)


def _key(metadata: Mapping[str, Any] | None) -> str:
    return str(metadata["event_payload"].get("key") or "") if metadata else ""
