"""Conversation: what is said on one link, from hello to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from hermes_green.adapters.qq import codes, wire
from hermes_green.adapters.qq.parse import parse
from hermes_green.adapters.qq.settings import NARROW, Settings
from hermes_green.adapters.qq.wire import Frame, Op, Session
from hermes_green.core.errors import BadFrame, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.cursor import Cursor
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import Close, WebSocket

# The memo that holds the session, with how far it is committed: heartbeats and RESUME tell no more than that.
MEMO = "session"
# Seconds from the open socket to READY or RESUMED; the official Node SDK's handshake timeout.
READY_WITHIN = 30.0
# With one of these events a link works: a new session's first, or the one behind all that was missed.
BEGUN = ("READY", "RESUMED")
# The platform's drain: an end like any other, once the link was READY.
DRAINED = (1000, 1001)
Drop = Callable[[str], None]  # a token that the gateway refused


@dataclass(slots=True)
class Standing:
    """What the end of one run teaches the next.

    narrow: events were refused (4014), ask for the least. refusals: op 9 with "may be resumed", since
    the last READY or RESUMED; the second one in a row is not believed.
    """

    narrow: bool = False
    refusals: int = 0


class Conversation(Dialogue):
    """One link's frames; ended in such a way that the session can be resumed."""

    closes_with = wire.LEAVING
    waits = 60.0

    def __init__(
        self, port: Port, ctx: Context, settings: Settings, standing: Standing, session: Session, token: str, drop: Drop
    ) -> None:
        super().__init__(port, ctx, settings)
        self._settings = settings
        self._standing = standing
        self._token = token
        self._drop = drop
        self._intents = NARROW if standing.narrow else session.asked
        self._session = session
        self._cursor = self._cursor_of(session)
        self._handlers: dict[int, Callable[[Frame, str | bytes], None]] = {
            Op.HELLO: self._on_hello,
            Op.DISPATCH: self._on_dispatch,
            Op.HEARTBEAT_ACK: lambda frame, raw: self._answered(),
            Op.RECONNECT: self._on_reconnect,
            Op.INVALID_SESSION: self._on_invalid_session,
        }

    def _begin(self, ws: WebSocket) -> None:
        self._ready_within(ws, READY_WITHIN, "READY")

    def _end(self) -> None:
        super()._end()
        self._cursor.end()

    def _on_frame(self, raw: str | bytes) -> None:
        if self._left.is_set():
            return
        to = self._cursor.received
        try:
            frame = wire.decode(raw)
            to = self._to(frame)
            self._handlers.get(frame.op, self._on_unknown)(frame, raw)
        except BadFrame as error:
            # It is kept, and the sequence goes on behind it: else it would be replayed for ever.
            self._port.quarantine(raw, error)
            self._cursor.take(None, to)

    def _on_unknown(self, frame: Frame, raw: str | bytes) -> None:
        self._keep_strange(raw, f"a payload of the unknown opcode {frame.op}")

    def _cursor_of(self, session: Session) -> Cursor:
        """The position in a session; what comes before there is one leaves nothing to be resumed."""
        return Cursor(self._port, lambda seq: {MEMO: session.as_memo(seq)} if session.id else {}, session.seq)

    def _to(self, frame: Frame) -> int:
        # Never backwards: an event sent twice must not undo the one after it.
        return max(self._cursor.received, frame.s or 0)

    def _on_hello(self, frame: Frame, raw: str | bytes) -> None:
        if self._heart is not None:
            return  # said before
        interval = self._settings.ping_interval or wire.interval_of(frame)
        if self._session.id:
            self._say(wire.resume(self._token, self._session))
        else:
            # Not before hello: a session start is only spent when one can be asked for.
            self._port.spend("identify")
            self._say(wire.identify(self._token, self._intents))
        self._interval, self._timeout = interval, min(interval, self._settings.ping_timeout or interval)
        assert self._ws is not None
        self._beating(self._ws, lambda: self._say(wire.heartbeat(self._cursor.committed))).start()

    def _on_dispatch(self, frame: Frame, raw: str | bytes) -> None:
        if frame.t == "READY":
            self._session = self._session.begun(frame.d)
            self._cursor.end()
            self._cursor = self._cursor_of(self._session)
        inbound = parse(frame, self._ctx.child, self._session.bot_id)
        if inbound is not None and inbound.strange:
            self._keep_strange(raw, f"a message of the unknown kind {inbound.strange!r}")
        self._cursor.take(inbound, self._to(frame))
        if frame.t in BEGUN:
            self._standing.refusals = 0
            self._port.beat()
            self._now_ready(self._session.bot_name or self._settings.app_id)

    def _on_reconnect(self, frame: Frame, raw: str | bytes) -> None:
        self._ctx.log.info("the gateway asks to reconnect; leaving to resume")
        self._done = True

    def _on_invalid_session(self, frame: Frame, raw: str | bytes) -> None:
        if frame.d is True and self._session.id and self._standing.refusals == 0:
            self._standing.refusals += 1
            raise LinkLost("the session was interrupted and may be resumed", code="op9")
        self._standing.refusals = 0
        self._drop(self._token)
        self._forget()
        raise LinkLost("the session is not valid any more; a new one is needed", code="op9")

    def _forget(self) -> None:
        """The platform does not know the session any more: the next run identifies anew."""
        self._cursor.end()
        self._port.accept(None, memo={MEMO: None})

    def _judge(self, close: Close | None) -> None:
        if close is None:
            return
        code: int | str | None = close.code
        if code == codes.BAD_TOKEN:
            self._drop(self._token)
        elif code == codes.NOT_GRANTED and self._intents == NARROW:
            code = codes.NOTHING_GRANTED
        elif code == codes.NOT_GRANTED:
            self._ctx.log.warning("QQ does not grant all events asked for; going on with group and direct chats")
            self._standing.narrow = True
        if not codes.keeps(close.code):
            try:
                self._forget()
            except LinkLost:
                pass  # not written: the next run resumes in vain, and forgets then
        if close.code in DRAINED and self._ready:
            return
        raise codes.closed(code, close.reason)
