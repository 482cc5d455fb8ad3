"""Stream messages on the simulated QQ: one message of a direct chat that grows, with its strict order.

Sources: public reports of ``stream_messages`` and the official Node SDK's rhythm. Not published, and assumed: the
error codes; that a number may be left out but never used again; how long an unfinished stream is waited for.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.qq_replies import BAD_SEQ, MISMATCH, Refusal

if TYPE_CHECKING:
    from hermes_green.sim.qq import QQSim

STREAM = re.compile(r"/v2/users/(?P<id>[^/]+)/stream_messages")
GROWING, DONE = 1, 10
PASSIVE_ONLY = Refusal(500, 50001, "internal error")
NO_STREAM = Refusal(400, 40034101, "stream_msg_id无效")
ENDED = Refusal(400, 40034103, "流式消息已结束")
BAD_INDEX = Refusal(400, 40034104, "请求参数index无效")
BAD_PREFIX = Refusal(400, 40034105, "已下发内容不可修改")


@dataclass(slots=True)
class Stream:
    """One growing message; ``at``: monotonic seconds of its last frame."""

    id: str
    chat: str
    msg_id: str
    seq: int
    first: str
    text: str
    at: float
    ended: bool = False


class Streams:
    """All streams of one simulator."""

    def __init__(self, sim: QQSim) -> None:
        self._sim = sim
        self.streams: dict[str, Stream] = {}
        self._numbers: dict[tuple[str, Any], int] = {}

    def consume(self, request: Request) -> bool:
        """Take the number of a request, whatever becomes of it; False when it was used before."""
        if not STREAM.fullmatch(request.path):
            return True
        try:
            body = request.json()
            index = int(body.get("index", -1))
        except (ValueError, TypeError):
            return True
        key = (str(body.get("msg_id") or body.get("event_id")), body.get("msg_seq"))
        last = self._numbers.get(key, -1)
        self._numbers[key] = max(last, index)
        if index > last:
            return True
        self._sim.violation(f"a stream's number {index} after {last}", key=list(key))
        return False

    def take(self, chat: str, body: Mapping[str, Any], fresh: bool) -> Answer | Refusal:
        """One frame. ``fresh``: its number was not used before."""
        content, seq, id = body.get("content_raw"), body.get("msg_seq"), str(body.get("stream_msg_id") or "")
        state = body.get("input_state")
        if (
            body.get("input_mode") != "replace"
            or state not in (GROWING, DONE)
            or body.get("content_type") not in ("markdown", "text")
            or not isinstance(content, str)
            or not content
        ):
            self._sim.violation("a frame that no server could take", chat=chat)
            return MISMATCH
        if type(seq) is not int or type(body.get("index")) is not int:
            return BAD_SEQ
        msg_id, event_id = str(body.get("msg_id") or ""), str(body.get("event_id") or "")
        if not msg_id and not event_id:
            return PASSIVE_ONLY
        if not fresh:
            return BAD_INDEX
        now = time.monotonic()
        if not id:
            refusal = self._sim.replies.judge("c2c", chat, msg_id, event_id, seq, now)
            if refusal is not None:
                return refusal
            id = f"ROBOT1.0_{secrets.token_urlsafe(24)}"
            self.streams[id] = Stream(id, chat, msg_id or event_id, seq, content, content, now)
            self._sim.shelf[id] = (chat, content)
            self._note("draft" if state == GROWING else "", self.streams[id])
        stream = self.streams.get(id)
        if stream is None or (stream.chat, stream.msg_id, stream.seq) != (chat, msg_id or event_id, seq):
            self._sim.violation("a frame for another stream", chat=chat, stream=id)
            return NO_STREAM
        if stream.ended:
            return ENDED
        if not content.startswith(stream.text):
            self._sim.violation("what was shown is not the beginning of the next frame", chat=chat, stream=id)
            return BAD_PREFIX
        grown, stream.text, stream.at = content != stream.text, content, now
        self._sim.shelf[id] = (chat, content)
        if state == DONE:
            stream.ended = True
            self._sim.sent += 1
            self._sim.users.arrived([stream.msg_id], "answer")
            self._note("send", stream)
        elif grown:
            self._note("stream", stream)
        return Answer(200, {"id": id, "timestamp": int(time.time()), "ext_info": {"ref_idx": secrets.token_hex(8)}})

    def recalled(self, id: str) -> None:
        """A message was taken back; if it was a stream, it takes no more."""
        stream = self.streams.get(id)
        if stream is not None:
            stream.ended = True

    def expire(self) -> None:
        """Streams that nobody ended fall back to their first frame."""
        now = time.monotonic()
        for stream in self.streams.values():
            if not stream.ended and now - stream.at > self._sim.options.stream_timeout:
                stream.ended, stream.text = True, stream.first
                self._sim.shelf[stream.id] = (stream.chat, stream.first)
                self._note("rolled_back", stream)

    def _note(self, kind: str, stream: Stream) -> None:
        if kind:
            self._sim.log.add(
                kind,
                chat=stream.chat,
                chat_type="c2c",
                text=stream.text.strip(),
                key=f"{stream.msg_id}:{stream.seq}",
                reply_to=stream.msg_id,
                msg_seq=stream.seq,
                msg_type=2,
                duplicate=False,
                message_id=stream.id,
                stream=True,
            )
