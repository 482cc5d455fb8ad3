"""Conversation: what is said on one link, from hello to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.cursor import Cursor, Session
from hermes_green.adapters.qq.parse import parse
from hermes_green.adapters.qq.settings import NARROW, Settings, intents_of
from hermes_green.adapters.qq.wire import Frame, Op
from hermes_green.core.errors import BadFrame, HermesError, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import Close, WebSocket

# Seconds from the open socket to READY or RESUMED; the official Node SDK's handshake timeout.
READY_WITHIN = 30.0
# The platform's drain: an end like any other, once the link was READY.
DRAINED = (1000, 1001)


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
        self,
        port: Port,
        ctx: Context,
        settings: Settings,
        standing: Standing,
        session: Session | None,
        token: str,
        drop_token: Callable[[str], None],
    ) -> None:
        super().__init__(port, ctx, settings)
        self._settings = settings
        self._standing = standing
        self._token = token
        self._drop_token = drop_token
        self._asked = intents_of(settings)
        self._intents = NARROW if standing.narrow else self._asked
        self._cursor = Cursor(port, session)
        self._handlers: dict[int, Callable[[Frame], None]] = {
            Op.HELLO: self._on_hello,
            Op.DISPATCH: self._on_dispatch,
            Op.HEARTBEAT_ACK: self._on_beat,
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
        try:
            frame = wire.decode(raw)
        except BadFrame as error:
            self._port.quarantine(raw, error)
            return
        handler = self._handlers.get(frame.op)
        if handler is None:
            self._ctx.count("frames", "unknown")
            return
        try:
            handler(frame)
        except BadFrame as error:
            # It is kept, and the sequence goes on behind it: else it would be replayed for ever.
            self._port.quarantine(raw, error)
            self._cursor.skip(frame.s)

    def _on_hello(self, frame: Frame) -> None:
        if self._heart is not None:
            return  # said before
        given = wire.interval_of(frame)
        session = self._cursor.session
        if session is not None:
            self._say(wire.resume(self._token, session.id, session.seq))
        else:
            # Not before hello: a session start is only spent when one can be asked for.
            self._port.spend("identify")
            self._say(wire.identify(self._token, self._intents))
        self._interval = self._settings.ping_interval or given
        self._timeout = min(self._interval, self._settings.ping_timeout or self._interval)
        assert self._ws is not None
        self._beating(self._ws, lambda: self._say(wire.heartbeat(self._cursor.committed))).start()

    def _say(self, text: str) -> None:
        assert self._ws is not None
        self._ws.send(text)

    def _on_beat(self, frame: Frame) -> None:
        self._answered()

    def _on_dispatch(self, frame: Frame) -> None:
        if frame.t == "READY":
            session = Session.of_ready(frame.d, self._settings.app_id, self._asked)
            if session is None:
                raise LinkLost("READY without session_id", code="bad_answer")
            self._cursor.open(session, frame.s)
            self._on_ready(session)
            return
        if frame.t == "RESUMED":
            self._cursor.skip(frame.s)
            self._on_ready(self._cursor.session)
            return
        session = self._cursor.session
        inbound = parse(frame, self._ctx.child, session.bot_id if session else "")
        if inbound is None:
            self._cursor.skip(frame.s)
        else:
            self._cursor.take(frame.s, inbound)

    def _on_ready(self, session: Session | None) -> None:
        self._standing.refusals = 0
        self._port.beat()
        self._now_ready((session.bot_name if session else "") or self._settings.app_id)

    def _on_reconnect(self, frame: Frame) -> None:
        self._ctx.log.info("the gateway asks to reconnect; leaving to resume")
        self._done = True

    def _on_invalid_session(self, frame: Frame) -> None:
        if frame.d is True and self._cursor.session is not None and self._standing.refusals == 0:
            self._standing.refusals += 1
            raise LinkLost("the session was interrupted and may be resumed", code="op9")
        self._standing.refusals = 0
        self._drop_token(self._token)
        self._cursor.forget()
        raise LinkLost("the session is not valid any more; a new one is needed", code="op9")

    def _judge(self, close: Close | None) -> None:
        if close is None:
            return
        meaning = wire.closing(close.code)
        error: HermesError = wire.closed(close.code, close.reason)
        if meaning.drop_token:
            self._drop_token(self._token)
        if meaning.narrow:
            if self._intents == NARROW:
                error = wire.NOTHING_GRANTED.build(close.code or 0, close.reason)
            else:
                self._ctx.log.warning("QQ does not grant all events asked for; going on with group and direct chats")
                self._standing.narrow = True
        if not meaning.keeps:
            try:
                self._cursor.forget()
            except LinkLost:
                pass  # not written: the next run resumes in vain, and forgets then
        if close.code in DRAINED and self._ready:
            return
        raise error
