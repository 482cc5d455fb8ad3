"""Conversation: what is said on one link, from hello to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, cast

import gevent

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.cursor import Cursor, Session
from hermes_green.adapters.qq.parse import parse
from hermes_green.adapters.qq.settings import NARROW, Settings, intents_of
from hermes_green.adapters.qq.wire import Frame, Op
from hermes_green.core.errors import BadFrame, HermesError, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import Close, Heartbeat, WebSocket

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


class Conversation:
    """One link's dialogue. ``live`` is its whole life; ``leave`` ends it from outside."""

    def __init__(
        self,
        port: Port,
        ws: WebSocket,
        ctx: Context,
        settings: Settings,
        standing: Standing,
        session: Session | None,
        token: str,
        drop_token: Callable[[str], None],
    ) -> None:
        self._port = port
        self._ws = ws
        self._ctx = ctx
        self._settings = settings
        self._standing = standing
        self._token = token
        self._drop_token = drop_token
        self._asked = intents_of(settings)
        self._intents = NARROW if standing.narrow else self._asked
        self._cursor = Cursor(port, session)
        self._heart: Heartbeat | None = None
        self._guard: gevent.Greenlet | None = None
        self._proof_within: float | None = None
        self._ready = False
        self._leaving = False
        self._handlers: dict[int, Callable[[Frame], None]] = {
            Op.HELLO: self._on_hello,
            Op.DISPATCH: self._on_dispatch,
            Op.HEARTBEAT_ACK: self._on_beat,
            Op.RECONNECT: self._on_reconnect,
            Op.INVALID_SESSION: self._on_invalid_session,
        }

    def live(self) -> None:
        """Pump until the link ends; returns on a planned or clean end. Whoever dialled closes the link.

        Raises:
            LinkError, ConfError, ProtocolFault: why it ended.
        """
        late = LinkLost(f"no READY within {READY_WITHIN:g} s of the dial", code="not_ready")
        guard = self._guard = gevent.spawn_later(READY_WITHIN, self._ws.abort, late)
        guard.name = f"qq-ready-{self._ctx.child}"
        try:
            for raw in self._ws.frames():
                if not self._leaving:
                    self._on_frame(raw)
                if self._leaving:
                    break
        finally:
            guard.kill(block=False)
            if self._heart is not None:
                self._heart.stop()
            self._cursor.end()
        if not self._leaving and self._ws.closed is not None:
            self._on_closed(self._ws.closed)

    def leave(self) -> None:
        """Close the link politely, in such a way that the session can be resumed."""
        self._leaving = True
        self._ws.close(wire.LEAVING)

    def _on_frame(self, raw: str | bytes) -> None:
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
            self._ws.send(wire.resume(self._token, session.id, session.seq))
        else:
            # Not before hello: a session start is only spent when one can be asked for.
            self._port.spend("identify")
            self._ws.send(wire.identify(self._token, self._intents))
        interval = given if self._settings.ping_interval is None else self._settings.ping_interval
        timeout = min(interval, self._settings.ping_timeout or interval)
        self._proof_within = interval + timeout
        self._heart = Heartbeat(
            self._ws,
            lambda: self._ws.send(wire.heartbeat(self._cursor.committed)),
            interval=interval,
            timeout=timeout,
            count=cast(Callable[[str], None], self._port.heartbeat),
            name=f"qq-heartbeat-{self._ctx.child}",
        )
        self._heart.start()

    def _on_beat(self, frame: Frame) -> None:
        if self._heart is not None:
            self._heart.answered()
        self._port.beat()

    def _on_dispatch(self, frame: Frame) -> None:
        if frame.t == "READY":
            session = Session.of_ready(frame.d, self._settings.app_id, self._asked)
            if session is None:
                raise LinkLost("READY without session_id", code="ready")
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
        if self._guard is not None:
            self._guard.kill(block=False)
        self._standing.refusals = 0
        self._port.beat()
        if not self._ready:
            self._ready = True
            who = session.bot_name if session else ""
            self._port.ready(who or self._settings.app_id, self._ws, proof_within=self._proof_within)

    def _on_reconnect(self, frame: Frame) -> None:
        self._ctx.log.info("the gateway asks to reconnect; leaving to resume")
        self._leaving = True

    def _on_invalid_session(self, frame: Frame) -> None:
        if frame.d is True and self._cursor.session is not None and self._standing.refusals == 0:
            self._standing.refusals += 1
            raise LinkLost("the session was interrupted and may be resumed", code="op9")
        self._standing.refusals = 0
        self._drop_token(self._token)
        self._cursor.forget()
        raise LinkLost("the session is not valid any more; a new one is needed", code="op9")

    def _on_closed(self, close: Close) -> None:
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


__all__ = ["Conversation", "Standing"]
