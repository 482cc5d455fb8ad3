"""Conversation: what is said on one long connection."""

from __future__ import annotations

import time

import gevent

from hermes_green.adapters.wecom import drafts, wire
from hermes_green.adapters.wecom.codes import NOT_SUBSCRIBED, SUBSCRIBING, TAKEN
from hermes_green.adapters.wecom.drafts import Drafts
from hermes_green.adapters.wecom.exchange import Exchange
from hermes_green.adapters.wecom.parse import parse
from hermes_green.adapters.wecom.settings import Settings
from hermes_green.adapters.wecom.wire import Frame
from hermes_green.core.errors import BadFrame, Displaced, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import WebSocket

# Seconds. Both official clients beat every 30 and call a link dead after two beats without an answer.
INTERVAL = 30.0
READY_WITHIN = 15.0
# Beats go on being answered on a socket whose subscription was lost; only a command shows it. After so many
# intervals without a sign of the subscription we ask with one that does nothing: an answer to a message
# that never was is refused as that (846605), or as not subscribed (846609).
UNSURE = 1.5
QUESTION = {"msgtype": "stream", "stream": {"id": "still-subscribed", "finish": True, "content": "."}}


class Conversation(Dialogue):
    """One link's frames, and the bubbles that must be kept alive over it."""

    def __init__(self, port: Port, ctx: Context, settings: Settings, growing: Drafts) -> None:
        interval = settings.ping_interval or INTERVAL
        super().__init__(port, ctx, settings, interval, interval)
        self._settings = settings
        self._drafts = growing
        self._subscription = wire.request_id(wire.SUBSCRIBE)
        self._beats: set[str] = set()
        self._question = ""
        self._asked_at = self._sure_at = 0.0

    def _begin(self, ws: WebSocket) -> None:
        self._exchange = Exchange(ws)
        self._beating(ws, self._beat, silence=max(2.5 * self._interval, self._interval + self._timeout))
        self._ready_within(ws, READY_WITHIN, "answer to the subscription")
        self._later("drafts", 0.0, self._keep_drafts)
        ws.on_frame = self._heard
        body = {"bot_id": self._settings.bot_id, "secret": self._settings.secret.reveal()}
        ws.send(wire.encode(wire.SUBSCRIBE, self._subscription, body))

    def _end(self) -> None:
        super()._end()
        if self._heart is not None:
            self._exchange.end(LinkLost("the link has ended", code="ended"))

    def _beat(self) -> None:
        beat = wire.request_id(wire.PING)
        self._beats.add(beat)
        self._exchange.tell(wire.PING, None, beat)
        now = time.monotonic()
        if now - max(self._sure_at, self._asked_at) >= UNSURE * self._interval:
            self._question, self._asked_at = wire.request_id(wire.RESPOND), now
            self._exchange.tell(wire.RESPOND, QUESTION, self._question)

    def _keep_drafts(self) -> None:
        while True:
            gevent.sleep(drafts.LOOK)
            self._drafts.refresh(self._exchange)

    # --- frames ----------------------------------------------------------------------------------

    def _on_frame(self, raw: str | bytes) -> None:
        try:
            frame = wire.decode(raw)
            if frame.cmd in (wire.MESSAGE, wire.EVENT):
                self._sure_at = time.monotonic()
            if frame.cmd == wire.MESSAGE:
                self._on_message(frame, raw)
            elif frame.cmd == wire.EVENT:
                self._on_event(frame, raw)
            elif frame.cmd:
                self._keep_strange(raw, f"a frame of the unknown cmd {frame.cmd[:40]!r}")
            else:
                self._on_answer(frame)
        except BadFrame as error:
            self._port.quarantine(raw, error)

    def _on_message(self, frame: Frame, raw: str | bytes) -> None:
        self._hand_in(raw, lambda: parse(frame, self._ctx.child, self._settings.bot_name), None)

    def _on_event(self, frame: Frame, raw: str | bytes) -> None:
        if frame.event == wire.CHOSEN:
            self._on_message(frame, raw)
            return
        if frame.event == wire.DISPLACED:
            # The socket goes on to look healthy; whoever redials here kicks the other, for ever.
            raise Displaced("another program has subscribed with this bot", code=wire.DISPLACED, action=TAKEN)
        self._ctx.count("frames", frame.event if frame.event in wire.KNOWN_EVENTS else "unknown")
        if frame.event == wire.ENTERED and self._settings.welcome and frame.req_id:
            body = {"msgtype": "text", "text": {"content": self._settings.welcome}}
            self._exchange.tell(wire.WELCOME, body, frame.req_id)

    def _on_answer(self, frame: Frame) -> None:
        if frame.req_id == self._subscription:
            self._on_subscribed(frame)
        elif frame.req_id in self._beats:
            self._beats.discard(frame.req_id)
            self._answered()
        elif frame.req_id == self._question:
            self._question, self._sure_at = "", time.monotonic()
        elif not self._exchange.answered(frame):
            self._ctx.count("frames", "unasked")
        if frame.errcode == NOT_SUBSCRIBED:
            raise LinkLost("the subscription was lost while the socket stayed open", code=str(NOT_SUBSCRIBED))

    def _on_subscribed(self, frame: Frame) -> None:
        if frame.errcode:
            known = SUBSCRIBING.get(frame.errcode)
            if known is not None:
                raise known.build(frame.errcode, frame.errmsg)
            raise LinkLost(f"the subscription was refused: {frame.errcode} {frame.errmsg}", code=str(frame.errcode))
        if frame.errcode is None:
            raise LinkLost("the subscription was answered without errcode", code="not_ready")
        self._sure_at = time.monotonic()
        if not self._ready and self._heart is not None:
            self._heart.start()
        self._now_ready(self._settings.bot_name or self._settings.bot_id, self._exchange)
