"""WebSocket: one link to a platform, from dial to end; whoever cuts it says why.

The handshake, the framing and the masking are websocket-client's; dialling, deadlines, fairness
and the joining of fragments are ours. Its UTF-8 check in Python costs three quarters of the
time of a frame and is left out: every text is decoded strictly, in C, when it is whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Iterator, Mapping

import gevent
import websocket
from gevent.event import Event
from websocket import ABNF
from websocket._handshake import CookieJar

from hermes_green.core.errors import LinkLost
from hermes_green.link.dial import DialOptions, open_socket, said, split_url, step
from hermes_green.link.heartbeat import Heartbeat
from hermes_green.link.stream import NotTaken, Stream, TooBig

__all__ = ["Close", "DialOptions", "Heartbeat", "UpgradeRefused", "WebSocket", "dial"]

_HANDSHAKE = 256 * 1024  # bytes of an upgrade's answer, body of a refusal included
_HEADER = 14  # bytes of the longest frame header
_CONTROL = 125  # bytes that a control frame may carry, whatever the limit
_GOODBYE = 1.0  # seconds for a planned end
_BROKEN = (OSError, websocket.WebSocketConnectionClosedException, websocket.WebSocketTimeoutException)


class UpgradeRefused(LinkLost):
    """The HTTP answer to the upgrade was not 101. ``status``; ``headers`` in lower case."""

    def __init__(self, text: str, *, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(text, status=status, code=str(status))
        self.headers = MappingProxyType({name.lower(): value for name, value in headers.items()})


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's close frame; ``code`` is None where it gave none."""

    code: int | None
    reason: str = ""


def dial(url: str, options: DialOptions = DialOptions()) -> WebSocket:
    """Open a link to ``url`` (ws:// or wss://).

    Redirects are not followed; no Origin is sent, as the vendors' own clients send none.

    Raises:
        UpgradeRefused: the server answered, but not with 101.
        LinkLost: a step failed or was late; the text names it, and never the URL's query.
        ConfError: bad address, proxy or CA file.
    """
    parts = split_url(url)
    stream = Stream(open_socket(url, options), options.write)
    stream.allow(_HANDSHAKE)
    peer = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
    try:
        with step(f"the upgrade at {parts.hostname}", options.upgrade):
            _upgrade(peer, url, stream, options.headers)
    except websocket.WebSocketBadStatusException as error:
        raise _refused(error.status_code, error.resp_headers) from None
    except (websocket.WebSocketException, TooBig, ValueError) as error:
        answer = peer.handshake_response
        if answer is not None and answer.status != 101:
            raise _refused(answer.status, answer.headers) from None
        raise LinkLost(f"the upgrade at {parts.hostname} failed: {_why(error)}", code="upgrade") from None
    finally:
        # websocket-client keeps cookies for the whole process; two accounts must not share them
        CookieJar.jar.clear()
        if not peer.connected:
            stream.close()
    return WebSocket(peer, stream, options)


def _upgrade(peer: websocket.WebSocket, url: str, stream: Stream, headers: tuple[str, ...]) -> None:
    peer.connect(url, socket=stream, header=list(headers), suppress_origin=True, redirect_limit=0)


def _refused(status: int, headers: Mapping[str, str] | None) -> UpgradeRefused:
    return UpgradeRefused(f"the upgrade was refused with HTTP {status}", status=status, headers=headers or {})


def _why(error: Exception) -> str:
    """A sentence for an error of websocket-client; those texts that could quote the peer are not used."""
    if isinstance(error, TooBig):
        return "the answer is too long"
    if isinstance(error, _BROKEN):
        return "the server closed the connection"
    return "the server's answer is not a WebSocket's"


class WebSocket:
    """An open link. One greenlet iterates ``frames``; any may ``send``, ``close`` or ``abort``.

    ``on_frame`` is called for every frame, control frames included: the peer was heard. ``on_ping``
    for native pings, which are answered already; ``on_pong`` for native pongs. ``closed`` is set once
    the peer has sent its close frame.
    """

    def __init__(self, peer: websocket.WebSocket, stream: Stream, options: DialOptions) -> None:
        self.on_frame: Callable[[], None] | None = None
        self.on_ping: Callable[[], None] | None = None
        self.on_pong: Callable[[], None] | None = None
        self.closed: Close | None = None
        self._peer = peer
        self._stream = stream
        self._options = options
        self._error: LinkLost | None = None
        self._closing = False
        self._ended = Event()
        self._reader: gevent.Greenlet | None = None

    def frames(self) -> Iterator[str | bytes]:
        """Every message, in order: text as str, binary as bytes; native pings are answered here.

        Ends when the peer has sent a close frame (see ``closed``) or ``close`` was called. Leaving
        the loop early leaves the link open: whoever dialled ends it, with ``close`` or ``abort``.

        Raises:
            LinkLost: any other end, and the error given to ``abort``.
        """
        self._reader = gevent.getcurrent()
        try:
            yield from self._judged()
        except GeneratorExit:
            self._reader = None
            raise
        except BaseException:
            self._end()
            raise
        self._end()

    def _judged(self) -> Iterator[str | bytes]:
        try:
            yield from self._messages()
        except TooBig:
            raise self._fail("a message exceeds the limit", 1009, "too_big") from None
        except UnicodeDecodeError:
            raise self._fail("a text is not UTF-8", 1007, "utf8") from None
        except _BROKEN as error:
            if self._error is not None or not self._closing:
                raise self._error or _broken(error) from None
        except websocket.WebSocketException as error:
            raise self._fail(f"protocol error: {error}", 1002, "protocol") from None

    def _end(self) -> None:
        self._stream.close()
        self._ended.set()

    def _messages(self) -> Iterator[str | bytes]:
        stream, limit = self._stream, self._options.max_frame
        pieces: list[bytes] = []
        kind, size = 0, 0
        while True:
            stream.breathe()
            stream.allow(max(limit - size, _CONTROL) + _HEADER)
            frame = self._peer.recv_frame()
            if self.on_frame is not None:
                self.on_frame()
            opcode, data = frame.opcode, frame.data
            if opcode >= ABNF.OPCODE_CLOSE:
                if self._control(frame):
                    return
                continue
            if (opcode == ABNF.OPCODE_CONT) is not bool(kind):
                raise websocket.WebSocketProtocolException("fragments out of order")
            size += len(data)
            if size > limit:
                raise TooBig
            if not frame.fin:
                kind = kind or opcode
                if data:
                    pieces.append(data)
                continue
            if kind:
                opcode, data = kind, b"".join([*pieces, data])
                pieces, kind = [], 0
            size = 0
            yield str(data, "utf-8") if opcode == ABNF.OPCODE_TEXT else data

    def _control(self, frame: ABNF) -> bool:
        """Handle a control frame; True when it was the peer's close."""
        data = frame.data
        if not frame.fin or len(data) > _CONTROL:
            raise websocket.WebSocketProtocolException("a control frame is fragmented or too long")
        if frame.opcode == ABNF.OPCODE_PING:
            try:
                self._put(data, ABNF.OPCODE_PONG)
            except LinkLost:  # what still lies unread may say why
                if self._error is not None:
                    raise
            if self.on_ping is not None:
                self.on_ping()
        elif frame.opcode == ABNF.OPCODE_PONG:
            if self.on_pong is not None:
                self.on_pong()
        elif frame.opcode == ABNF.OPCODE_CLOSE:
            code = int.from_bytes(data[:2], "big") if data else None
            self.closed = Close(code, str(data[2:], "utf-8", "replace"))
            self._say_goodbye(data[:2])
            return True
        return False

    def send(self, data: str | bytes) -> None:
        """Send one text (str) or binary (bytes) frame; greenlets take turns.

        Raises:
            LinkLost: the link is gone, or the peer did not take it within ``options.write`` seconds;
                half a frame may be out then, so the link is cut too.
        """
        if isinstance(data, str):
            self._put(data.encode(), ABNF.OPCODE_TEXT)
        else:
            self._put(data, ABNF.OPCODE_BINARY)

    def ping(self, data: bytes = b"") -> None:
        """Send a native ping; ``on_pong`` tells of the answer. Raises LinkLost."""
        self._put(data, ABNF.OPCODE_PING)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the link on purpose: a close frame goes out, the peer may answer it, and after at most
        a second the connection is cut. A blocked ``frames`` ends without an error."""
        if self._closing or self._ended.is_set():
            if self._reader is None:  # whoever closes it may be ended before it is
                self._stream.close()
            return
        until = time.monotonic() + _GOODBYE
        self._closing = True
        try:
            self._say_goodbye(code.to_bytes(2, "big") + reason.encode()[:123])
            if self._reader is not None and self._reader is not gevent.getcurrent():
                self._ended.wait(max(0.0, until - time.monotonic()))
        finally:
            self._free()

    def abort(self, error: LinkLost) -> None:
        """Cut the link at once; ``frames`` raises ``error``. Legal from any greenlet, any time."""
        if self._error is None:
            self._error = error
        self._free()

    def _free(self) -> None:
        """Cut the connection; its descriptor is a reader's to close, where there is one."""
        if self._reader is None:
            self._stream.close()
        else:
            self._stream.cut()

    def _say_goodbye(self, payload: bytes) -> None:
        try:
            with gevent.Timeout(_GOODBYE, False):
                self._peer.send(payload, ABNF.OPCODE_CLOSE)
        except _BROKEN:
            pass  # it does not listen any more: nothing is owed

    def _put(self, data: bytes, opcode: int) -> None:
        if self._error is not None:
            raise self._error
        if self._closing or self.closed is not None:
            raise LinkLost("the link is closed", code="closed")
        try:
            self._peer.send(data, opcode)
        except NotTaken as error:
            self.abort(LinkLost(str(error), code="write"))
            raise self._error or _broken(error) from None
        except _BROKEN as error:
            raise self._error or _broken(error) from None

    def _fail(self, text: str, status: int, code: str) -> LinkLost:
        """The peer broke the protocol: tell it, and have the error to raise."""
        if self._error is None:
            self._error = LinkLost(text, status=status, code=code)
            self._say_goodbye(status.to_bytes(2, "big"))
        return self._error


def _broken(error: Exception) -> LinkLost:
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return LinkLost("the connection ended without a close frame", status=1006, code="eof")
    return LinkLost(f"the connection broke: {said(error)}", code=type(error).__name__)
