"""The HTTP side of the simulated QQ: token, gateway, sends, files, and what refuses them."""

from __future__ import annotations

import base64
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping

from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.qq_events import BOT_ID, BOT_NAME
from hermes_green.sim.qq_replies import BAD_MEDIA, BAD_SEQ, DUPLICATE, MISMATCH, OFFLINE, TOO_FAST, Refusal
from hermes_green.sim.qq_streams import STREAM
from hermes_green.sim.qq_users import stamp

if TYPE_CHECKING:
    from hermes_green.sim.qq import QQSim

TOKEN_PATH = "/app/getAppAccessToken"
SEND = re.compile(r"/v2/(?P<v2>users|groups)/(?P<id>[^/]+)/messages|/(?P<v1>channels|dms)/(?P<id1>[^/]+)/messages")
RECALL = re.compile(r"(?:/v2/(?:users|groups)|/channels|/dms)/(?P<chat>[^/]+)/messages/(?P<message>[^/]+)")
FILES = re.compile(r"/v2/(?P<kind>users|groups)/(?P<id>[^/]+)/files")
INTERACTION = re.compile(r"/interactions/(?P<id>[^/]+)")
SCENES = {"users": "c2c", "groups": "group", "channels": "guild", "dms": "direct"}
TEXT, MARKDOWN, ARK, EMBED, NOTIFY, MEDIA = 0, 2, 3, 4, 6, 7
FILE_TTL = 3600
NOT_FOUND = Refusal(404, 10001, "no such interface")
NO_MESSAGE = Refusal(404, 10008, "unknown message")
NO_BODY = Refusal(400, 11251, "the body is no JSON object")
WRONG_TYPE = Refusal(415, 11281, "Content-Type is not application/json")


@dataclass(frozen=True, slots=True)
class Draft:
    """A send as the client asks for it."""

    scene: str
    chat: str
    kind: int
    text: str
    msg_id: str
    event_id: str
    seq: int
    body: Mapping[str, Any]


class Rest:
    """Answers requests for one simulator."""

    def __init__(self, sim: QQSim) -> None:
        self._sim = sim
        self._files: dict[str, tuple[str, float]] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to any request that is no WebSocket and no control."""
        fresh = self._sim.streams.consume(request)
        told = self._sim.api_error(request.path)
        if told is not None:
            return self._refused(told)
        if request.path == TOKEN_PATH and request.method == "POST":
            return self._token(request)
        if request.path.startswith("/attachments/"):
            return self._attachment(request)
        refusal = self._unauthorised(request)
        if refusal is not None:
            return self._refused(refusal)
        handler = self._handler(request, fresh)
        return self._refused(handler) if isinstance(handler, Refusal) else handler()

    def _handler(self, request: Request, fresh: bool) -> Callable[[], Answer] | Refusal:
        """What answers an authorised request."""
        path = request.path
        if request.method == "GET":
            read = {"/gateway": self._gateway, "/gateway/bot": self._gateway_bot, "/users/@me": self._me}
            return read.get(path, NOT_FOUND)
        if request.method == "DELETE" and (match := RECALL.fullmatch(path)):
            chat, message = match["chat"], match["message"]
            return lambda: self._recall(chat, message)
        if request.method == "PUT" and (match := INTERACTION.fullmatch(path)):
            self._sim.log.add("interaction_ack", id=match["id"], body=request.body.decode("utf-8", "replace"))
            return lambda: Answer(204)
        send, files, stream = SEND.fullmatch(path), FILES.fullmatch(path), STREAM.fullmatch(path)
        if request.method != "POST" or not (send or files or stream):
            return NOT_FOUND
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            self._sim.violation("a POST that is not application/json", path=path)
            return WRONG_TYPE
        try:
            body = request.json()
        except ValueError:
            self._sim.violation("a body that is no JSON object", path=path)
            return NO_BODY
        if files:
            return lambda: self._file(SCENES[files["kind"]], body)
        if stream:
            return lambda: self._stream(stream["id"], body, fresh)
        assert send is not None
        scene = SCENES[send["v2"] or send["v1"]]
        return lambda: self._send(scene, send["id"] or send["id1"], body)

    # -- who asks

    def _token(self, request: Request) -> Answer:
        """Errors come with HTTP 200, as on the platform."""
        try:
            body = request.json()
        except ValueError:
            body = {}
        options = self._sim.options
        self._sim.log.add("token", app_id=body.get("appId"))
        if body.get("appId") != options.app_id or "accept" not in request.headers:
            return Answer(200, {"code": 100007, "message": "appid invalid"})
        if body.get("clientSecret") != options.secret:
            return Answer(200, {"code": 100016, "message": "invalid appid or secret"})
        token, left = self._sim.tokens.ask(time.monotonic())
        return Answer(200, {"access_token": token, "expires_in": str(int(left))})

    def _unauthorised(self, request: Request) -> Refusal | None:
        given = request.headers.get("authorization", "")
        if not given:
            self._sim.violation("a request without Authorization", path=request.path)
            return Refusal(401, 11241, "no authorization")
        if not given.startswith("QQBot "):
            self._sim.violation(f"Authorization of the kind {given.partition(' ')[0]!r}", path=request.path)
            return Refusal(401, 11243, "wrong kind of token")
        if not self._sim.token_is_good(given, bare=False):
            self._sim.log.add("token_refused", path=request.path)
            return Refusal(401, 11244, "token not exist or expire")
        return None

    # -- what is asked

    def _gateway(self) -> Answer:
        return Answer(200, {"url": self._sim.ws_url})

    def _gateway_bot(self) -> Answer:
        now, limit = time.monotonic(), self._sim.identifies
        start = {
            "total": limit.total,
            "remaining": limit.remaining(now),
            "reset_after": limit.reset_after(now),
            "max_concurrency": limit.concurrency,
        }
        return Answer(200, {"url": self._sim.ws_url, "shards": 1, "session_start_limit": start})

    def _me(self) -> Answer:
        return Answer(200, {"id": BOT_ID, "username": BOT_NAME, "avatar": ""})

    def _attachment(self, request: Request) -> Answer:
        found = self._sim.users.attachments.get(request.path.rpartition("/")[2])
        if found is None:
            return self._refused(NOT_FOUND)
        return Answer(200, found[1], {"Content-Type": found[0]})

    def _file(self, scene: str, body: Mapping[str, Any]) -> Answer:
        """Take a file; its ``file_info`` is good for ``FILE_TTL`` seconds, in its own scene only."""
        size = 0
        try:
            size = len(base64.b64decode(body.get("file_data") or "", validate=True))
        except ValueError:
            return self._refused(Refusal(400, 304082, "富媒体资源拉取失败，请重试"))
        if body.get("file_type") not in (1, 2, 3, 4) or not (size or body.get("url")):
            return self._refused(Refusal(400, 850019, "富媒体文件格式不支持"))
        info = secrets.token_urlsafe(48)
        self._files[info] = (scene, time.monotonic() + FILE_TTL)
        self._sim.log.add("upload", scene=scene, file_type=body["file_type"], size=size, url=body.get("url") or "")
        return Answer(200, {"file_uuid": secrets.token_hex(16), "file_info": info, "ttl": FILE_TTL})

    def _stream(self, chat: str, body: Mapping[str, Any], fresh: bool) -> Answer:
        taken = self._sim.streams.take(chat, body, fresh)
        if isinstance(taken, Answer):
            return taken
        self._sim.log.add("send_refused", chat=chat, code=taken.code, message=taken.message, body=dict(body))
        return self._refused(taken)

    def _recall(self, chat: str, message: str) -> Answer:
        found = self._sim.shelf.pop(message, None)
        if found is None or found[0] != chat:
            return self._refused(NO_MESSAGE)
        self._sim.streams.recalled(message)
        self._sim.log.add("recall", chat=chat, message_id=message)
        return Answer(200, {})

    def _send(self, scene: str, chat: str, body: Mapping[str, Any]) -> Answer:
        sent = _draft(scene, chat, body)
        refusal = sent if isinstance(sent, Refusal) else self._judge(sent)
        if isinstance(sent, Refusal):
            self._sim.violation(f"a send that no server could take: {sent.message}", chat=chat)
        elif refusal is None or refusal is DUPLICATE:
            return self._done(sent, refusal)
        assert refusal is not None
        self._sim.log.add("send_refused", chat=chat, code=refusal.code, message=refusal.message, body=dict(body))
        return self._refused(refusal)

    def _judge(self, sent: Draft) -> Refusal | None:
        now = time.monotonic()
        if sent.scene in ("guild", "direct") and not self._sim.online:
            return OFFLINE
        if sent.kind == MEDIA and not self._has_file(sent):
            return BAD_MEDIA
        if sent.scene == "guild" and not self._sim.pace.allows(sent.chat, now):
            return TOO_FAST
        counts = sent.kind != NOTIFY or not self._sim.options.free_typing
        return self._sim.replies.judge(sent.scene, sent.chat, sent.msg_id, sent.event_id, sent.seq, now, counts)

    def _done(self, sent: Draft, refusal: Refusal | None) -> Answer:
        """Note the message; a duplicate is noted too, but nobody sees it."""
        id = f"ROBOT1.0_{secrets.token_urlsafe(24)}"
        kind = "typing" if sent.kind == NOTIFY else "send"
        self._sim.log.add(
            kind,
            chat=sent.chat,
            chat_type=sent.scene,
            text=sent.text,
            key=f"{sent.msg_id or sent.event_id}:{sent.seq}" if sent.scene in ("c2c", "group") else "",
            reply_to=sent.msg_id or sent.event_id,
            msg_seq=sent.seq,
            msg_type=sent.kind,
            duplicate=refusal is not None,
            message_id="" if refusal else id,
        )
        if refusal is not None:
            return self._refused(refusal)
        if kind == "send":
            self._sim.sent += 1
            self._sim.shelf[id] = (sent.chat, sent.text)
            self._sim.users.arrived([sent.msg_id], "answer")
        at = stamp()
        if sent.scene in ("c2c", "group"):
            return self._ok({"id": id, "timestamp": at, "ext_info": {"ref_idx": f"REFIDX_{secrets.token_hex(8)}"}})
        author = {"id": BOT_ID, "username": BOT_NAME, "bot": True}
        where = {"channel_id" if sent.scene == "guild" else "guild_id": sent.chat}
        return self._ok({"id": id, **where, "content": sent.text, "timestamp": at, "author": author})

    def _has_file(self, sent: Draft) -> bool:
        media = sent.body.get("media")
        info = media.get("file_info") if isinstance(media, Mapping) else None
        scene, until = self._files.get(str(info), ("", 0.0))
        return scene == sent.scene and time.monotonic() < until

    # -- how it is answered

    def _ok(self, body: Any) -> Answer:
        return Answer(200, body, {"X-Tps-trace-Id": secrets.token_hex(16)})

    def _refused(self, refusal: Refusal) -> Answer:
        trace = secrets.token_hex(16)
        body = {"message": refusal.message, "code": refusal.code, "err_code": refusal.code, "trace_id": trace}
        return Answer(refusal.status, body, {"X-Tps-trace-Id": trace})


def _draft(scene: str, chat: str, body: Mapping[str, Any]) -> Draft | Refusal:
    """The send in one shape, or what is wrong with it. Null counts as absent (qq-botpy sends every key)."""
    markdown = body.get("markdown") or {}
    if scene in ("c2c", "group"):
        kind = body.get("msg_type")
        if kind not in (TEXT, MARKDOWN, ARK, EMBED, NOTIFY, MEDIA) or (kind == NOTIFY and scene != "c2c"):
            return MISMATCH
    else:
        kind = MARKDOWN if markdown else TEXT
    text = markdown.get("content") if kind == MARKDOWN else body.get("content")
    fits = {
        TEXT: bool(text) or (scene in ("guild", "direct") and bool(body.get("image") or body.get("embed"))),
        MARKDOWN: bool(text or markdown.get("custom_template_id")),
        ARK: bool(body.get("ark")),
        EMBED: bool(body.get("embed")),
        NOTIFY: isinstance(body.get("input_notify"), Mapping),
        MEDIA: bool(body.get("content")) and isinstance(body.get("media"), Mapping),
    }
    if not fits[kind]:
        return MISMATCH
    seq = body.get("msg_seq")
    seq = 1 if seq is None else seq
    if type(seq) is not int or not 0 < seq < 1 << 31:
        return BAD_SEQ
    msg_id, event_id = str(body.get("msg_id") or ""), str(body.get("event_id") or "")
    return Draft(scene, chat, kind, str(text or ""), msg_id, event_id, seq, body)
