"""The simulated DingTalk's APIs: tokens, robots' messages, files; cards and webhooks have files of their own."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections import deque
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, Mapping
from urllib.parse import quote

from hermes_green.sim import dingtalk_cards as cards, dingtalk_webhooks as webhooks
from hermes_green.sim.dingtalk_gate import refused
from hermes_green.sim.kit import Answer, Request

if TYPE_CHECKING:
    from hermes_green.sim.dingtalk import DingTalkSim

TOKEN = "/v1.0/oauth2/accessToken"
OLD_TOKEN = "/gettoken"
TO_USER = "/v1.0/robot/oToMessages/batchSend"
TO_GROUP = "/v1.0/robot/groupMessages/send"
DOWNLOAD = "/v1.0/robot/messageFiles/download"
UPLOAD = "/media/upload"
FILES = "/_files/"
QPS = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
# What msgParam must hold, by msgKey, and what of it people read.
KEYS: Mapping[str, tuple[str, ...]] = {
    "sampleText": ("content",),
    "sampleMarkdown": ("title", "text"),
    "sampleImageMsg": ("photoURL",),
    "sampleFile": ("mediaId", "fileName", "fileType"),
}
MAX_FILE = 20 * 1024 * 1024


class Rest:
    """Answers everything but dials. ``flow``: the next so many users of a batch are flow-controlled."""

    def __init__(self, sim: DingTalkSim) -> None:
        self._sim = sim
        self._tokens: dict[str, float] = {}
        self._newest = ""
        self._calls: dict[str, deque[float]] = {}
        self._media: dict[str, tuple[str, int]] = {}
        self.flow = 0

    def is_send(self, request: Request) -> bool:
        """It makes a message, or changes a card."""
        return request.path in (webhooks.PATH, TO_USER, TO_GROUP, cards.CREATE, cards.STREAM)

    def revoke(self) -> None:
        """Make every token invalid."""
        self._tokens.clear()

    def answer(self, request: Request) -> Answer:
        """The answer to any request that is no dial."""
        path = request.path
        try:
            if path in (TOKEN, OLD_TOKEN):
                return self._token(request)
            if path == webhooks.PATH:
                return self._sim.webhooks.answer(request)
            if path == UPLOAD:
                return self._upload(request)
            if path.startswith(FILES):
                name, content = self._sim.users.files.get(request.query.get("code", ""), ("", b""))
                return Answer(200 if name else 404, content, {"Content-Type": "application/octet-stream"})
            return self._api(request)
        except ValueError as error:
            return refused(400, "invalidParameter", str(error))

    def _api(self, request: Request) -> Answer:
        told = self._sim.api_error(request.path)
        if told is not None:
            return told
        if not self._good(request.headers.get("x-acs-dingtalk-access-token", "")):
            return refused(401, "InvalidAuthentication", "不合法的access_token")
        if self._too_fast(request.path):
            return refused(403, QPS, "调用的频率超过了限制")
        if request.path.startswith("/v1.0/card/"):
            return self._sim.cards.answer(request)
        if request.path == DOWNLOAD:
            return self._download(request.json())
        if request.path in (TO_USER, TO_GROUP) and request.method == "POST":
            return self._send(request.path, request.json())
        return refused(404, "InvalidAction.NotFound", "no such API")

    # -- tokens and limits

    def _token(self, request: Request) -> Answer:
        old = request.path == OLD_TOKEN
        given = dict(request.query) if old else request.json()
        key, secret = given.get("appkey" if old else "appKey"), given.get("appsecret" if old else "appSecret")
        if key != self._sim.options.client_id or secret != self._sim.options.client_secret:
            if old:
                return Answer(200, {"errcode": 40089, "errmsg": "不合法的corpid或corpsecret"})
            return refused(400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        now = time.monotonic()
        left = self._tokens.get(self._newest, 0.0) - now
        if left < 1.0:  # while one is valid it is the one that is given
            self._newest, left = uuid.uuid4().hex, self._sim.options.token_seconds
            self._tokens[self._newest] = now + left
        self._sim.log.add("token", expire=int(left))
        if old:
            return Answer(200, {"errcode": 0, "errmsg": "ok", "access_token": self._newest, "expires_in": int(left)})
        return Answer(200, {"accessToken": self._newest, "expireIn": math.floor(left)})

    def _good(self, token: str) -> bool:
        return self._tokens.get(token, 0.0) > time.monotonic()

    def _too_fast(self, path: str) -> bool:
        rate, now = self._sim.options.api_rate, time.monotonic()
        if not rate:
            return False
        times = self._calls.setdefault(path, deque())
        while times and now - times[0] >= 1.0:
            times.popleft()
        if len(times) >= rate:
            self._sim.log.add("throttled", path=path)
            return True
        times.append(now)
        return False

    # -- messages

    def _send(self, path: str, body: dict[str, Any]) -> Answer:
        if body.get("robotCode") != self._sim.options.client_id:
            return refused(400, "invalidParameter.robotCode", "robotCode")
        key = str(body.get("msgKey"))
        if key not in KEYS or not isinstance(body.get("msgParam"), str):
            return refused(400, "invalidParameter.msgKey", "msgKey, msgParam")
        param = json.loads(body["msgParam"])
        for name in KEYS[key]:
            if not isinstance(param, dict) or not isinstance(param.get(name), str) or not param[name]:
                return refused(400, "invalidParameter.msgParam", f"msgParam.{name}")
        if path == TO_GROUP:
            chat = body.get("openConversationId")
            if not isinstance(chat, str) or not chat:
                return refused(400, "invalidParameter.openConversationId", "openConversationId")
            self._note(chat, key, param, "group")
            return Answer(200, {"processQueryKey": cards.query_key()})
        return self._to_users(body.get("userIds"), key, param)

    def _to_users(self, users: Any, key: str, param: Mapping[str, str]) -> Answer:
        if not isinstance(users, list) or not 0 < len(users) <= 20:
            return refused(400, "invalidParameter.userIds", "userIds")
        known = self._sim.users
        unknown = [user for user in users if user not in known.dms or user in known.gone]
        slow = [user for user in users if user not in unknown][: self.flow]
        self.flow -= len(slow)
        for user in users:
            if user not in unknown and user not in slow:
                self._note(known.dms[user], key, param, "user")
        body = {"invalidStaffIdList": unknown, "flowControlledStaffIdList": slow}
        return Answer(200, {"processQueryKey": cards.query_key(), **body})

    def _note(self, chat: str, key: str, param: Mapping[str, str], via: str) -> None:
        media_id = param.get("photoURL") or param.get("mediaId") or ""
        if media_id and media_id not in self._media:
            self._sim.violation(f"a file that was not uploaded: {media_id[:60]}")
        name, size = self._media.get(media_id, ("", 0))
        text = param.get("content") or param.get("text") or f"[{param.get('fileName') or name}]"
        self._sim.note_send(chat, text, via, msgtype=key, media_id=media_id, size=size)

    # -- files

    def _download(self, body: dict[str, Any]) -> Answer:
        code = str(body.get("downloadCode"))
        if body.get("robotCode") != self._sim.options.client_id or code not in self._sim.users.files:
            return refused(400, "invalidParameter.downloadCode", "downloadCode")
        return Answer(200, {"downloadUrl": f"{self._sim.url}{FILES}get?code={quote(code, safe='')}"})

    def _upload(self, request: Request) -> Answer:
        if not self._good(request.query.get("access_token", "")):
            return Answer(200, {"errcode": 40014, "errmsg": "不合法的access_token"})
        kind, content_type = "Content-Type", request.headers.get("content-type", "")
        whole = BytesParser(policy=HTTP).parsebytes(f"{kind}: {content_type}\r\n\r\n".encode() + request.body)
        parts = {part.get_param("name", header="content-disposition"): part for part in whole.iter_parts()}
        media, form = parts.get("media"), parts.get("type")
        sort = request.query.get("type") or (str(form.get_payload()).strip() if form is not None else "")
        if media is None or sort not in ("image", "file", "voice", "video"):
            return Answer(200, {"errcode": 40035, "errmsg": "media and type are needed"})
        content = media.get_payload(decode=True) or b""
        if len(content) > MAX_FILE:
            return Answer(200, {"errcode": 40009, "errmsg": "file too large"})
        media_id = "@lAD" + uuid.uuid4().hex
        name = media.get_filename() or ""
        self._media[media_id] = (name, len(content))
        self._sim.log.add("upload", type=sort, name=name, size=len(content), media_id=media_id)
        answer = {"errcode": 0, "errmsg": "ok", "media_id": media_id, "type": sort, "created_at": int(time.time())}
        return Answer(200, answer)
