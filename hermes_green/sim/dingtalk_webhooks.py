"""The simulated DingTalk's session webhooks: one per conversation, 90 minutes, 20 messages a minute."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hermes_green.sim.kit import Answer, Request

if TYPE_CHECKING:
    from hermes_green.sim.dingtalk import DingTalkSim

PATH = "/robot/sendBySession"
MAX_BYTES = 20_000
_ROBOT = "robot"


@dataclass(slots=True)
class Pace:
    """What was sent lately by one webhook, or by the robot."""

    times: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0


class Webhooks:
    """Sessions by conversation, and their limits."""

    def __init__(self, sim: DingTalkSim) -> None:
        self._sim = sim
        self._by_chat: dict[str, str] = {}
        self._chats: dict[str, tuple[str, float]] = {}
        self._paces: dict[str, Pace] = {}

    def session(self, chat: str) -> tuple[str, float]:
        """Address and end (wall seconds) of a conversation's webhook; a message prolongs it."""
        session = self._by_chat.setdefault(chat, secrets.token_hex(16))
        until = time.time() + self._sim.options.webhook_seconds
        self._chats[session] = (chat, until)
        return f"{self._sim.url}{PATH}?session={session}", until

    def forget(self) -> None:
        """Every webhook ends now; the next message of a conversation brings another."""
        self._by_chat.clear()
        self._chats.clear()

    def answer(self, request: Request) -> Answer:
        """A message for the conversation whose webhook this is."""
        session = request.query.get("session", "")
        chat, until = self._chats.get(session, ("", 0.0))
        if until < time.time():
            return self._no(300005, "token is not exist")
        try:
            body = request.json()
        except ValueError:
            return self._no(43004, "无效的HTTP HEADER Content-Type")
        code, wrong = check(body)
        if code:
            return self._no(code, wrong)
        if self._too_fast(_ROBOT if self._sim.options.webhook_scope == "robot" else session):
            return self._no(130101, "send too fast, exceed 20 times per minute")
        msgtype = body["msgtype"]
        text = body[msgtype].get("content") or body[msgtype].get("text") or ""
        self._sim.note_send(chat, text, "webhook", msgtype=msgtype, at=body.get("at", {}).get("atUserIds", []))
        return Answer(200, {"errcode": 0, "errmsg": "ok"})

    def _too_fast(self, name: str) -> bool:
        rules, now = self._sim.options, time.monotonic()
        pace = self._paces.setdefault(name, Pace())
        if now < pace.blocked_until:
            self._sim.violation("a webhook used while it is blocked")
            return True
        while pace.times and now - pace.times[0] >= rules.webhook_window:
            pace.times.popleft()
        if len(pace.times) >= rules.webhook_count:
            pace.blocked_until = now + rules.webhook_block
            limit = f"{rules.webhook_count} messages in {rules.webhook_window:g} s"
            self._sim.violation(f"more than {limit} by one webhook")
            return True
        pace.times.append(now)
        return False

    def _no(self, code: int, text: str) -> Answer:
        self._sim.log.add("rest_refused", path=PATH, code=code, text=text)
        return Answer(200, {"errcode": code, "errmsg": text})


def check(body: dict[str, Any]) -> tuple[int, str]:
    """What is wrong with a message, as code and words; 0 where nothing is."""
    msgtype = body.get("msgtype")
    needs = {"text": ("content",), "markdown": ("title", "text"), "link": ("title", "text", "messageUrl")}
    inner = body.get(msgtype) if isinstance(msgtype, str) else None
    if not isinstance(inner, dict) or msgtype not in needs:
        return 400402, "param error: msgtype"
    for name in needs[msgtype]:
        if not isinstance(inner.get(name), str) or not inner[name].strip():
            return 400402, f"param error: {msgtype}.{name}"
    if len(str(inner.get("content") or inner.get("text")).encode()) > MAX_BYTES:
        return 460101, f"message too long, exceed {MAX_BYTES} bytes"
    at = body.get("at")
    if at is not None and not (isinstance(at, dict) and isinstance(at.get("atUserIds", []), list)):
        return 400402, "param error: at"
    return 0, ""
