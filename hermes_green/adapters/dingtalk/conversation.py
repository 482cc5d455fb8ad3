"""Conversation: what is said on one Stream connection."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Mapping

import gevent

from hermes_green.adapters.dingtalk import wire
from hermes_green.adapters.dingtalk.parse import parse
from hermes_green.adapters.dingtalk.settings import Settings
from hermes_green.adapters.dingtalk.wire import Frame
from hermes_green.core.errors import BadFrame, LinkLost
from hermes_green.core.model import Inbound
from hermes_green.core.ports import Context, Port
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import WebSocket

# Our WebSocket pings, until the platform's own prove that they come (every 20 to 30 s, not always).
INTERVAL = 30.0
TIMEOUT = 20.0
# Seconds without a word of the platform's own, after it has pinged this link once. Pongs do not count:
# connections that nothing is routed to any more answer pings all the same.
SILENCE = 90.0
# Where the operator has set a pace, silence is shorter: so many times the longest pause of a sign of life that repeats.
PAUSES = 3
# Seconds from the announced end of a link until the platform cuts it.
DRAIN = 10.0
# The memo of a conversation is named by its id.
MEMO = "chat:"
_KEPT = ("webhook", "until", "robot")


class Conversation(Dialogue):
    """One link's frames."""

    def __init__(self, port: Port, ctx: Context, settings: Settings) -> None:
        super().__init__(port, ctx, settings, INTERVAL, TIMEOUT)
        self._who = settings.client_id
        self._paced = settings.ping_interval is not None
        self._signs: dict[str, float] = {}
        self._pause = 0.0
        self._ending: gevent.Greenlet | None = None
        self._handlers: Mapping[str, Callable[[Frame, str | bytes], None]] = {
            wire.SYSTEM: self._on_system,
            wire.EVENT: self._on_event,
            wire.CALLBACK: self._on_callback,
        }

    def live(self, address: str) -> None:
        """As every dialogue; an announced end may come without a close frame."""
        try:
            super().live(address)
        except LinkLost:
            if self._ending is None:
                raise

    def _begin(self, ws: WebSocket) -> None:
        ws.on_frame, ws.on_pong = self._port.beat, self._answered
        self._beating(ws, ws.ping).start()
        # The accepted upgrade is all the answer there is: CONNECTED and REGISTERED do not always come.
        self._now_ready(self._who)

    def _on_frame(self, raw: str | bytes) -> None:
        self._heard()
        try:
            frame = wire.decode(raw)
        except BadFrame as error:
            self._port.quarantine(raw, error, self._acknowledges(wire.id_of(raw), {}, wire.UNKNOWN_TOPIC))
            return
        self._handlers[frame.type](frame, raw)

    def _on_system(self, frame: Frame, raw: str | bytes) -> None:
        assert self._heart is not None and self._ws is not None
        if frame.topic in (wire.PING, wire.KEEPALIVE):
            self._heart.watch_silence(self._silence(frame.topic))
        if frame.topic == wire.PING:
            self._say(wire.acknowledgement(frame.id, frame.data))
        elif frame.topic == wire.DISCONNECT and self._ending is None:
            reason = frame.data.get("reason") if isinstance(frame.data, dict) else frame.data
            self._ctx.log.info("the platform ends this link ({}); a second one takes over", reason)
            # Nothing is routed here any more: were the platform's own cut missing, we would be deaf.
            self._ending = self._later("drain", DRAIN, self._ws.close)
            self._port.retire(DRAIN)

    def _silence(self, sign: str) -> float:
        """Seconds without a word that cut this link, after a sign of life: never fewer than the platform's own pace
        allows, since each needless dial counts."""
        now = time.monotonic()
        before = self._signs.setdefault(sign, now)
        self._signs[sign], self._pause = now, max(self._pause, now - before)
        known = self._paced and self._pause > 0
        return min(SILENCE, max(self._interval + self._timeout, PAUSES * self._pause)) if known else SILENCE

    def _on_event(self, frame: Frame, raw: str | bytes) -> None:
        """Not asked for; what comes all the same is sent again until it is acknowledged."""
        self._ctx.count("frames", "event")
        self._acknowledge(frame.id, wire.EVENT_TAKEN)

    def _on_callback(self, frame: Frame, raw: str | bytes) -> None:
        if frame.topic == wire.CARD:
            self._ctx.count("frames", "card")
            self._acknowledge(frame.id, wire.CARD_TAKEN)
            return
        known = frame.topic == wire.ROBOT
        answer = (wire.ROBOT_TAKEN, wire.OK) if known else ({}, wire.UNKNOWN_TOPIC)
        self._hand_in(raw, lambda: self._read(frame), self._acknowledges(frame.id, *answer), memo_of)

    def _read(self, frame: Frame) -> Inbound | None:
        if frame.topic != wire.ROBOT:
            raise BadFrame(f"a callback of unknown topic {frame.topic[:80]!r}")
        return parse(frame.data, child=self._ctx.child)

    def _acknowledges(self, id: str, data: Any, code: int = wire.OK) -> Callable[[bool], None] | None:
        """The acknowledgement as a continuation; a frame without an id gets none."""
        return partial(self._acknowledge, id, data, code) if id else None

    def _acknowledge(self, id: str, data: Any, code: int = wire.OK, taken: bool = True) -> None:
        if id:
            self._say(wire.acknowledgement(id, data, code, "OK" if code == wire.OK else "not understood"))


def memo_of(inbound: Inbound) -> dict[str, Any]:
    """How a conversation can be written to unasked: the newest webhook, and who or what is there."""
    names = (*_KEPT, "staff") if inbound.peer.chat_type == "dm" else _KEPT
    kept = {name: inbound.reply_ref[name] for name in names if name in inbound.reply_ref}
    return {MEMO + inbound.peer.chat_id: kept}
