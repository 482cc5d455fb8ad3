"""What the simulated QQ lets a bot say: tokens, reply windows, numbers used once, pace. Pure.

Times are monotonic seconds and come in by the door. Error codes: bot-docs ``openapi/error`` and
field reports; where the platform's own is not documented the choice is said at the table.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field

SCENES = ("c2c", "group", "guild", "direct")
WINDOWS = {"c2c": 3600.0, "group": 300.0, "guild": 300.0, "direct": 300.0}
REPLIES = 5
REPLYABLE = frozenset({"INTERACTION_CREATE", "FRIEND_ADD", "C2C_MSG_RECEIVE", "GROUP_ADD_ROBOT", "GROUP_MSG_RECEIVE"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A send that the platform will not do: HTTP status, its code, its words."""

    status: int
    code: int
    message: str


UNKNOWN_MSG = Refusal(400, 40034024, "请求参数msg_id无效或越权")
UNKNOWN_EVENT = Refusal(400, 40034025, "请求参数event_id无效")
WRONG_EVENT = Refusal(400, 40034027, "该事件不支持回复消息")
EXPIRED = Refusal(400, 304027, "MSG_EXPIRE 回复的消息过期")
DUPLICATE = Refusal(400, 40054005, "消息被去重，请检查请求msgseq")
EXCEEDED = Refusal(400, 40034128, "被动回复时间或次数超限")
PROACTIVE = Refusal(400, 40034102, "主动消息失败, 无权限")
TOO_FAST = Refusal(429, 1100308, "触发频率限制")
OFFLINE = Refusal(400, 304018, "机器人未连接 gateway, 无法发送消息")
MISMATCH = Refusal(400, 22006, "消息类型与内容不匹配")
BAD_SEQ = Refusal(400, 40034001, "请求参数msg_seq无效")
BAD_MEDIA = Refusal(400, 40034004, "富媒体 file_info 无效")


@dataclass(slots=True)
class Origin:
    """Something a bot may answer: a message or an event; ``seqs`` are the numbers used up."""

    scene: str
    chat: str
    at: float
    kind: str
    seqs: set[int] = field(default_factory=set)
    replies: int = 0


class Replies:
    """Passive messages: who may be answered, until when, how often, under which numbers."""

    def __init__(self, windows: dict[str, float] | None = None, limit: int = REPLIES, proactive: bool = False) -> None:
        """``windows``: seconds per scene, the rest as documented. ``proactive``: allow sends to people and
        groups that answer nothing, as before 2025-04-21."""
        self.windows = {**WINDOWS, **(windows or {})}
        self.limit = limit
        self.proactive = proactive
        self._messages: dict[str, Origin] = {}
        self._events: dict[str, Origin] = {}

    def came(self, scene: str, chat: str, kind: str, message_id: str, event_id: str, now: float) -> None:
        """A message (``message_id``) or another event can be answered from now on."""
        origin = Origin(scene, chat, now, kind)
        for known in (self._messages, self._events):
            _forget(known, now - 2 * max(self.windows.values()))
        if message_id:
            self._messages.setdefault(message_id, origin)
        if event_id:
            self._events.setdefault(event_id, origin)

    def judge(
        self, scene: str, chat: str, msg_id: str, event_id: str, seq: int, now: float, counts: bool = True
    ) -> Refusal | None:
        """Whether a reply goes out; None means yes, and its number is used up.

        The order is: is there such a message in this chat, is its window open, is the number new,
        are there replies left. ``counts``: False for what is no message (input notify).
        """
        if not msg_id and not event_id:
            free = self.proactive or scene in ("guild", "direct")
            return None if free else PROACTIVE
        origin = self._messages.get(msg_id) if msg_id else self._events.get(event_id)
        if origin is None or origin.chat != chat or origin.scene != scene:
            return UNKNOWN_MSG if msg_id else UNKNOWN_EVENT
        if not msg_id and origin.kind not in REPLYABLE:
            return WRONG_EVENT
        if now - origin.at > self.windows[scene]:
            return EXPIRED
        if scene in ("c2c", "group"):
            if seq in origin.seqs:
                return DUPLICATE
            if counts and origin.replies >= self.limit:
                return EXCEEDED
            origin.seqs.add(seq)
        if counts:
            origin.replies += 1
        return None


def _forget(known: dict[str, Origin], before: float) -> None:
    """Drop the oldest, as far as they came ``before`` that time."""
    while known:
        oldest = next(iter(known))
        if known[oldest].at >= before:
            return
        del known[oldest]


class Pace:
    """At most ``limit`` sends per ``window`` seconds in one chat."""

    def __init__(self, limit: int, window: float = 1.0) -> None:
        self.limit = limit
        self.window = window
        self._times: dict[str, deque[float]] = {}

    def allows(self, chat: str, now: float) -> bool:
        """Whether one more goes; it is counted if so."""
        times = self._times.setdefault(chat, deque())
        while times and now - times[0] >= self.window:
            times.popleft()
        if self.limit and len(times) >= self.limit:
            return False
        times.append(now)
        return True


class Tokens:
    """Access tokens: the same one while it has more than 60 s left; an old one lives out its time."""

    REUSE = 60.0

    def __init__(self, ttl: float = 7200.0) -> None:
        """``ttl``: seconds; the 60 s shrink with it, to at most its half."""
        self.ttl = ttl
        self.reuse = min(self.REUSE, ttl / 2)
        self.issued = 0
        self._until: dict[str, float] = {}
        self._current = ""

    def ask(self, now: float) -> tuple[str, float]:
        """The token to hand out, and the seconds it has left."""
        left = self._until.get(self._current, 0.0) - now
        if left <= self.reuse:
            self._current = secrets.token_urlsafe(48)
            self._until[self._current] = now + self.ttl
            self.issued += 1
            left = self.ttl
        return self._current, left

    def good(self, token: str, now: float) -> bool:
        """Whether it is known and not expired."""
        return now < self._until.get(token, -1.0)

    def revoke(self) -> None:
        """All tokens are dead, as after the secret was changed."""
        self._until.clear()
        self._current = ""
