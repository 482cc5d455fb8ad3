"""Conversation: what is said on one Stream connection, from the dial to its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Mapping, cast

import gevent
from gevent.event import Event

from hermes_green.adapters.dingtalk import wire
from hermes_green.adapters.dingtalk.parse import parse
from hermes_green.adapters.dingtalk.wire import Frame
from hermes_green.core.errors import BadFrame, LinkLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import DialOptions, Heartbeat, WebSocket, dial

# Our WebSocket pings, until the platform's own prove that they come (every 20 to 30 s, not always).
INTERVAL = 30.0
TIMEOUT = 20.0
# Seconds without a word of the platform's own, after it has pinged this link once. Pongs do not count:
# connections that nothing is routed to any more answer pings all the same.
SILENCE = 90.0
# Seconds from the announced end of a link until the platform cuts it.
DRAIN = 10.0
CLEAN = (None, 1000, 1001)
# The memo of a conversation is named by its id.
MEMO = "chat:"
_KEPT = ("webhook", "until", "robot")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to ping: ``interval`` and ``timeout`` (seconds); None is the platform's."""

    interval: float | None = None
    timeout: float | None = None
    silence: float = SILENCE

    @property
    def every(self) -> float:
        """Seconds between pings."""
        return INTERVAL if self.interval is None else self.interval

    @property
    def due(self) -> float:
        """Seconds in which a pong is due."""
        return TIMEOUT if self.timeout is None else self.timeout


class Conversation:
    """One link's dialogue. ``live`` is its whole life; ``leave`` ends it from outside, at any time."""

    def __init__(self, port: Port, ctx: Context, pace: Pace) -> None:
        self._port = port
        self._ctx = ctx
        self._pace = pace
        self._ws: WebSocket | None = None
        self._heart: Heartbeat | None = None
        self._ending: gevent.Greenlet | None = None
        self._left = Event()
        self._handlers: Mapping[str, Callable[[Frame, str | bytes], None]] = {
            wire.SYSTEM: self._on_system,
            wire.EVENT: self._on_event,
            wire.CALLBACK: self._on_callback,
        }

    def live(self, open: Callable[[], str], options: DialOptions, who: str) -> None:
        """Ask for an address, dial, pump until the link ends; returns on a planned or clean end.

        Raises:
            LinkError: why it ended.
        """
        url = open()
        if self._left.is_set():
            return
        ws = self._ws = dial(url, options)
        heart = self._heart = self._heartbeat(ws)
        try:
            if self._left.is_set():
                return
            ws.on_frame = self._port.beat
            ws.on_pong = heart.answered
            heart.start()
            # The accepted upgrade is all the answer there is: CONNECTED and REGISTERED do not always come.
            self._port.ready(who, ws, proof_within=self._pace.every + self._pace.due)
            self._pump(ws)
        finally:
            heart.stop()
            if self._ending is not None:
                self._ending.kill(block=False)
            ws.close()

    def leave(self) -> None:
        """Close the link politely; what is not open yet will not be."""
        self._left.set()
        if self._ws is not None:
            self._ws.close()

    def _heartbeat(self, ws: WebSocket) -> Heartbeat:
        return Heartbeat(
            ws,
            ws.ping,
            interval=self._pace.every,
            timeout=self._pace.due,
            count=cast(Callable[[str], None], self._port.heartbeat),
            name=f"dingtalk-heartbeat-{self._ctx.child}",
        )

    def _pump(self, ws: WebSocket) -> None:
        try:
            for raw in ws.frames():
                self._on_frame(raw)
        except LinkLost:
            if self._ending is None:  # an announced end may come without a close frame
                raise
        if self._left.is_set() or self._ending is not None or ws.closed is None or ws.closed.code in CLEAN:
            return
        code, reason = ws.closed.code, ws.closed.reason
        raise LinkLost(f"the platform closed the link with code {code} {reason}".rstrip(), status=code)

    def _on_frame(self, raw: str | bytes) -> None:
        assert self._heart is not None
        self._heart.heard()
        try:
            frame = wire.decode(raw)
        except BadFrame as error:
            self._port.quarantine(raw, error, self._acknowledges(wire.id_of(raw), {}, wire.UNKNOWN_TOPIC))
            return
        self._handlers[frame.type](frame, raw)

    def _on_system(self, frame: Frame, raw: str | bytes) -> None:
        assert self._heart is not None and self._ws is not None
        if frame.topic in (wire.PING, wire.KEEPALIVE):
            self._heart.watch_silence(self._pace.silence)
        if frame.topic == wire.PING:
            self._ws.send(wire.acknowledgement(frame.id, frame.data))
        elif frame.topic == wire.DISCONNECT and self._ending is None:
            reason = frame.data.get("reason") if isinstance(frame.data, dict) else frame.data
            self._ctx.log.info("the platform ends this link ({}); a second one takes over", reason)
            # Nothing is routed here any more: were the platform's own cut missing, we would be deaf.
            self._ending = gevent.spawn_later(DRAIN, self._ws.close)
            self._ending.name = f"dingtalk-drain-{self._ctx.child}"
            self._port.retire(DRAIN)

    def _on_event(self, frame: Frame, raw: str | bytes) -> None:
        """Not asked for; what comes all the same is sent again until it is acknowledged."""
        self._ctx.count("frames", "event")
        self._acknowledge(frame.id, wire.EVENT_TAKEN)

    def _on_callback(self, frame: Frame, raw: str | bytes) -> None:
        if frame.topic == wire.CARD:
            self._ctx.count("frames", "card")
            self._acknowledge(frame.id, wire.CARD_TAKEN)
            return
        try:
            if frame.topic != wire.ROBOT:
                raise BadFrame(f"a callback of unknown topic {frame.topic[:80]!r}")
            inbound = parse(frame.data, child=self._ctx.child)
        except BadFrame as error:
            self._port.quarantine(raw, error, self._acknowledges(frame.id, wire.ROBOT_TAKEN))
            return
        if inbound is None:
            self._acknowledge(frame.id, wire.ROBOT_TAKEN)
        else:
            self._port.accept(inbound, self._acknowledges(frame.id, wire.ROBOT_TAKEN), memo_of(inbound))

    def _acknowledges(self, id: str, data: Any, code: int = wire.OK) -> Callable[[bool], None] | None:
        """The acknowledgement as a continuation, on this very link; a frame without an id gets none."""
        return partial(self._later, id, data, code) if id else None

    def _later(self, id: str, data: Any, code: int, taken: bool) -> None:
        self._acknowledge(id, data, code)

    def _acknowledge(self, id: str, data: Any, code: int = wire.OK) -> None:
        if self._ws is not None and id:
            self._ws.send(wire.acknowledgement(id, data, code, "OK" if code == wire.OK else "not understood"))


def memo_of(inbound: Inbound) -> dict[str, Any]:
    """How a conversation can be written to unasked: the newest webhook, and who or what is there."""
    names = (*_KEPT, "staff") if inbound.peer.chat_type == "dm" else _KEPT
    kept = {name: inbound.reply_ref[name] for name in names if name in inbound.reply_ref}
    return {MEMO + inbound.peer.chat_id: kept}
