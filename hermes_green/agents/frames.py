"""Frames: what the gateway and the processes outside of it tell each other, four bytes of length and JSON.

Used on both sides, so it imports neither gevent nor anything that the gateway alone needs.
"""

from __future__ import annotations

import json
import socket
import struct
from array import array
from collections import deque
from typing import Any, Iterator, Mapping

from hermes_green.core.model import EMPTY, Attachment, Delta, Message, Quote, Turn

LARGEST = 64 * 1024 * 1024  # bytes of one frame; a turn with its history is the largest there is
# Where the system can, descriptors that arrive are closed in whatever is started later.
_CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_DESCRIPTORS = 8  # most that come with one frame
MEDIA = 1_000  # of one delta; an answer may have fewer, and to look at very many would hold up every link


class BadFrames(Exception):
    """The other side does not speak this protocol."""


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


# ASCII only: a lone surrogate out of a platform's JSON survives the way.
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=_plain).encode


def pack(frame: Mapping[str, Any]) -> bytes:
    """One frame as bytes."""
    body = _encode(frame).encode("ascii")
    return struct.pack("!I", len(body)) + body


def send(sock: socket.socket, frame: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Write one frame whole, with copies of ``descriptors``. Raises OSError."""
    data = pack(frame)
    if descriptors:
        sent = sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))])
        data = data[sent:]
    if data:
        sock.sendall(data)


def receive(sock: socket.socket, most: int = 65536) -> tuple[bytes, list[int]]:
    """Bytes and the descriptors that came with them; no bytes: the other side is gone. Raises OSError."""
    size = array("i").itemsize
    data, extra, _, _ = sock.recvmsg(most, socket.CMSG_SPACE(_DESCRIPTORS * size), _CLOSED_ON_EXEC)
    found = array("i")
    for level, kind, value in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(value[: len(value) - len(value) % size])
    return data, list(found)


class Unpacker:
    """Collects bytes; iterating gives the frames that are complete. Raises BadFrames, also for a frame of more than
    ``most`` bytes."""

    def __init__(self, most: int = LARGEST) -> None:
        self._most = most
        self._data = bytearray()
        self._at = 0
        self.descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: list[int] | None = None) -> None:
        """More of what was received; descriptors keep their order."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data
        self.descriptors.extend(descriptors or ())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while len(self._data) - self._at >= 4:
            (size,) = struct.unpack_from("!I", self._data, self._at)
            if size > self._most:
                raise BadFrames(f"a frame of {size} bytes")
            end = self._at + 4 + size
            if len(self._data) < end:
                return
            try:
                frame = json.loads(self._data[self._at + 4 : end])
            except ValueError as error:
                raise BadFrames(f"a frame that is no JSON: {error}") from None
            if not isinstance(frame, dict):
                raise BadFrames("a frame that is no object")
            self._at = end
            yield frame


# --- turns and deltas as JSON values ---------------------------------------------------------------

_TURN = tuple(name for name in Turn.__dataclass_fields__ if name not in ("attachments", "history", "quote"))
_QUOTE = ("author", "text", "message_id")


def turn_out(turn: Turn) -> dict[str, Any]:
    """A turn as one JSON object."""
    plain: dict[str, Any] = {name: getattr(turn, name) for name in _TURN}
    plain["attachments"] = [media_out(each) for each in turn.attachments]
    plain["history"] = [{"role": line.role, "text": line.text} for line in turn.history]
    plain["quote"] = None if turn.quote is None else {name: getattr(turn.quote, name) for name in _QUOTE}
    return plain


def turn_in(plain: Mapping[str, Any]) -> Turn:
    """What ``turn_out`` made."""
    return Turn(
        **{name: plain[name] for name in _TURN},
        attachments=tuple(media_in(each) for each in plain["attachments"]),
        history=tuple(Message(line["role"], line["text"]) for line in plain["history"]),
        quote=None if plain["quote"] is None else Quote(**plain["quote"]),
    )


def media_out(media: Attachment) -> dict[str, Any]:
    """An attachment as one JSON object."""
    return {name: getattr(media, name) for name in Attachment.__dataclass_fields__}


def media_in(plain: Mapping[str, Any]) -> Attachment:
    """An attachment, ours or one that foreign code describes. Raises BadFrames."""
    kind, path, size = plain.get("kind", "file"), plain.get("path"), plain.get("size")
    if kind not in ("image", "file", "audio", "video"):
        raise BadFrames(f"media of the kind {kind!r}: it must be image, file, audio or video")
    ref = plain.get("ref")
    return Attachment(
        kind,
        ref if isinstance(ref, dict) else EMPTY,
        str(plain.get("name") or ""),
        str(plain.get("mime") or ""),
        size if isinstance(size, int) else None,
        str(path) if path is not None else None,
    )


def delta_out(delta: Delta) -> dict[str, Any]:
    """A delta as one JSON object, without what is empty."""
    plain: dict[str, Any] = {}
    if delta.text:
        plain["text"] = delta.text
    if delta.media:
        plain["media"] = [media_out(each) for each in delta.media]
    if delta.usage is not None:
        plain["usage"] = delta.usage
    return plain


def delta_in(plain: Mapping[str, Any]) -> Delta:
    """A delta, ours or one that foreign code wrote. Raises BadFrames."""
    text, media, usage = plain.get("text", ""), plain.get("media", ()), plain.get("usage")
    if not isinstance(text, str):
        raise BadFrames("the text of a delta must be a string")
    if not isinstance(media, (list, tuple)) or not all(isinstance(each, dict) for each in media):
        raise BadFrames("the media of a delta must be a list of objects")
    if len(media) > MEDIA:
        raise BadFrames(f"a delta has {len(media)} media: that is too many")
    return Delta(text, tuple(media_in(each) for each in media), usage if isinstance(usage, dict) else None)
