"""Streams: an answer shown while it grows, in one message of a direct chat.

Sources: public reports of ``stream_messages`` (the official Node SDK's rhythm among them). Each frame holds the
whole text so far, and what was shown must stay its beginning; every request takes a number of its own, also
one that fails; the last frame has state 10. A stream without one is rolled back to its first frame, which is
therefore a blank: what a killed process leaves behind ends as an empty message, never as half a text.

Markdown is streamed as the agent writes it: as plain text, what an unclosed mark becomes would change what
was shown already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

from hermes_green.adapters.qq.render import streamed
from hermes_green.adapters.qq.rest import Rest
from hermes_green.adapters.qq.wire import C2C
from hermes_green.core.errors import SendCollision, SendError, SendRefused, SendRetry, SendUnknown
from hermes_green.core.model import Part
from hermes_green.core.ports import Context
from hermes_green.core.remembered import Remembered
from hermes_green.link.said import alone

BLANK = " "
GROWING, DONE = 1, 10
# Seconds to wait after refusals in a row; the official Node SDK's.
PAUSES = (1.0, 2.0, 4.0)
REMEMBERED = 1_000


@dataclass(slots=True)
class _Stream:
    """One stream of this process. ``shown``: the longest text that may have been seen."""

    index: int = 0
    shown: str = ""
    refusals: int = 0


class Streams:
    """The drafts of one account. Methods raise SendError, or AuthRejected for the credentials."""

    def __init__(self, rest: Rest, ctx: Context) -> None:
        self._rest = rest
        self._ctx = ctx
        self._streams: Remembered[str, _Stream] = Remembered(REMEMBERED)

    def open(self, chat: str, msg_id: str, seq: int) -> Mapping[str, Any]:
        """Begin with a blank: ``{chat, msg_id, seq, stream}``. Where its answer is lost there is no second
        try: the number is taken, and the stream's id not known."""
        handle = {"chat": chat, "msg_id": msg_id, "seq": seq, "stream": ""}
        stream = self._streams.setdefault(_name(handle), _Stream())
        try:
            id = self._frame(handle, stream, BLANK, GROWING).get("id")
        except (SendUnknown, SendCollision) as error:
            raise SendRefused(f"whether a stream is open is not known: {error}", code=error.code) from error
        if not id:
            raise SendRefused("a stream was opened without an id", code="stream")
        return {**handle, "stream": str(id)}

    def show(self, handle: Mapping[str, Any], text: str) -> None:
        """Show the text so far."""
        stream = self._streams.get(_name(handle))
        if stream is None:
            raise SendRefused("an earlier process began this stream; what it shows is not known", code="stream")
        content = BLANK + streamed(text)
        if content == stream.shown:
            return
        if not content.startswith(stream.shown):
            raise SendRefused("the text is not what was shown any more", code="prefix")
        self._frame(handle, stream, content, GROWING)

    def finish(self, handle: Mapping[str, Any], part: Part) -> str:
        """End the stream with the part's text; its message's id, or "" when the text must be sent anew.

        A text that does not continue what was shown (an apology in place of the rest) would be refused or
        shown mixed up. Then the message is taken back; where that is refused, the text follows what was
        shown. After a restart nothing is known of what was shown, and the message is taken back as well.
        """
        id, text = str(handle["stream"]), str(part.payload.get("markdown") or "")
        stream = self._streams.get(_name(handle))
        if stream is not None and text and (BLANK + text).startswith(stream.shown):
            try:
                self._frame(handle, stream, BLANK + text, DONE)
                self._streams.pop(_name(handle), None)
                return id
            except (SendRefused, SendCollision) as refused:
                self._ctx.log.info("the stream cannot be finished, its text is sent anew: {}", refused)
                stream = None
        self._ctx.count("drafts", "anew")
        self._streams.pop(_name(handle), None)
        path = C2C.address(str(handle["chat"]), "messages", id)
        if self._tried("taken back", lambda: self._rest.call("DELETE", path)) or stream is None or not text:
            return ""
        follows = f"{stream.shown}\n\n{text}"
        return id if self._tried("ended", lambda: self._frame(handle, stream, follows, DONE)) else ""

    def _tried(self, what: str, call: Callable[[], Any]) -> bool:
        """Whether the call went well; a stream that is left as it is, is rolled back by the platform."""
        try:
            call()
        except SendError as error:
            self._ctx.log.info("a stream could not be {}: {}", what, error)
            return False
        return True

    def _frame(self, handle: Mapping[str, Any], stream: _Stream, content: str, state: int) -> Mapping[str, Any]:
        body = {
            "input_mode": "replace",
            "input_state": state,
            "content_type": "markdown",
            "content_raw": content,
            "index": stream.index,
            "msg_id": handle["msg_id"],
            "msg_seq": handle["seq"],
        }
        if handle["stream"]:
            body["stream_msg_id"] = handle["stream"]
        stream.index += 1
        try:
            with alone():
                said = self._rest.call("POST", C2C.address(str(handle["chat"]), "stream_messages"), body)
        except SendRetry as error:
            error.after = max(error.after, PAUSES[min(stream.refusals, len(PAUSES) - 1)])
            stream.refusals += 1
            raise
        except SendUnknown:
            stream.shown = content
            raise
        stream.shown, stream.refusals = content, 0
        return said


def _name(handle: Mapping[str, Any]) -> str:
    """What a stream goes by before the platform has named it, and for as long as it lives."""
    return f"{handle['msg_id']} {handle['seq']}"
