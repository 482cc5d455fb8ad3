"""Conversation: what is said on one long connection, from the dial to its end."""

from __future__ import annotations

import time
from typing import Callable, cast

import gevent
from gevent.event import Event

from hermes_green.adapters.wecom import drafts, wire
from hermes_green.adapters.wecom.codes import NOT_SUBSCRIBED, SUBSCRIBING, TAKEN
from hermes_green.adapters.wecom.drafts import Drafts
from hermes_green.adapters.wecom.exchange import Exchange
from hermes_green.adapters.wecom.parse import parse
from hermes_green.adapters.wecom.settings import Settings
from hermes_green.adapters.wecom.wire import Frame
from hermes_green.core.errors import BadFrame, Displaced, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import DialOptions, Heartbeat, WebSocket, dial

# Seconds. Both official clients beat every 30 and call a link dead after two beats without an answer.
INTERVAL = 30.0
READY_WITHIN = 15.0
CLEAN = (None, 1000, 1001)
# Beats go on being answered on a socket whose subscription was lost; only a command shows it. After so many
# intervals without a sign of the subscription we ask with one that does nothing: an answer to a message
# that never was is refused as that (846605), or as not subscribed (846609).
UNSURE = 1.5
QUESTION = {"msgtype": "stream", "stream": {"id": "still-subscribed", "finish": True, "content": "."}}


class Conversation:
    """One link's dialogue. ``live`` is its whole life; ``leave`` ends it from outside, at any time."""

    def __init__(self, port: Port, ctx: Context, settings: Settings, growing: Drafts) -> None:
        self._port = port
        self._ctx = ctx
        self._settings = settings
        self._drafts = growing
        self._interval = settings.ping_interval or INTERVAL
        self._timeout = settings.ping_timeout or self._interval
        self._subscription = wire.request_id(wire.SUBSCRIBE)
        self._beats: set[str] = set()
        self._question = ""
        self._sure_at = 0.0
        self._ws: WebSocket | None = None
        self._ready = False
        self._left = Event()

    def live(self, url: str, options: DialOptions) -> None:
        """Dial, subscribe, beat, pump until the link ends; returns on a planned or clean end.

        Raises:
            LinkError: why it ended.
        """
        if self._left.is_set():
            return
        ws = self._ws = dial(url, options)
        self._exchange = Exchange(ws)
        self._heart = self._heartbeat(ws)
        late = LinkLost(f"the subscription was not answered within {READY_WITHIN:g} s", code="not_ready")
        self._guard = gevent.spawn_later(READY_WITHIN, ws.abort, late)
        self._guard.name = f"wecom-ready-{self._ctx.child}"
        keeper = gevent.spawn(self._keep_drafts)
        keeper.name = f"wecom-drafts-{self._ctx.child}"
        try:
            if self._left.is_set():
                return
            ws.on_frame = self._heard
            self._subscribe(ws)
            for raw in ws.frames():
                self._on_frame(raw)
        finally:
            gevent.killall([self._guard, keeper], block=False)
            self._heart.stop()
            self._exchange.end(LinkLost("the link has ended", code="ended"))
            ws.close()
        if not self._left.is_set():
            self._judge(ws)

    def leave(self) -> None:
        """Close the link politely; what is not open yet will not be."""
        self._left.set()
        if self._ws is not None:
            self._ws.close()

    def _heartbeat(self, ws: WebSocket) -> Heartbeat:
        return Heartbeat(
            ws,
            self._beat,
            interval=self._interval,
            timeout=self._timeout,
            count=cast(Callable[[str], None], self._port.heartbeat),
            silence=max(2.5 * self._interval, self._interval + self._timeout),
            name=f"wecom-heartbeat-{self._ctx.child}",
        )

    def _beat(self) -> None:
        beat = wire.request_id(wire.PING)
        self._beats.add(beat)
        self._exchange.tell(wire.PING, None, beat)
        if not self._question and time.monotonic() - self._sure_at >= UNSURE * self._interval:
            self._question = wire.request_id(wire.RESPOND)
            self._exchange.tell(wire.RESPOND, QUESTION, self._question)

    def _subscribe(self, ws: WebSocket) -> None:
        settings = self._settings
        body = {"bot_id": settings.bot_id, "secret": settings.secret.reveal()}
        ws.send(wire.encode(wire.SUBSCRIBE, self._subscription, body))

    def _keep_drafts(self) -> None:
        while True:
            gevent.sleep(drafts.LOOK)
            self._drafts.refresh(self._exchange)

    def _heard(self) -> None:
        self._heart.heard()
        self._port.beat()

    def _judge(self, ws: WebSocket) -> None:
        code = ws.closed.code if ws.closed else None
        reason = ws.closed.reason if ws.closed else ""
        if not self._ready or code not in CLEAN:
            when = "" if self._ready else " before the subscription"
            raise LinkLost(f"WeCom closed the link{when} (close code {code}) {reason}".rstrip(), status=code)

    # --- frames ----------------------------------------------------------------------------------

    def _on_frame(self, raw: str | bytes) -> None:
        try:
            frame = wire.decode(raw)
            if frame.cmd in (wire.MESSAGE, wire.EVENT):
                self._sure_at = time.monotonic()
            if frame.cmd == wire.MESSAGE:
                self._on_message(frame)
            elif frame.cmd == wire.EVENT:
                self._on_event(frame)
            elif frame.cmd:
                self._ctx.count("frames", "unknown")
            else:
                self._on_answer(frame)
        except BadFrame as error:
            self._port.quarantine(raw, error)

    def _on_message(self, frame: Frame) -> None:
        inbound = parse(frame, self._ctx.child, self._settings.bot_name)
        if inbound is not None:
            self._port.accept(inbound)

    def _on_event(self, frame: Frame) -> None:
        if frame.event == wire.DISPLACED:
            # The socket goes on to look healthy; whoever redials here kicks the other, for ever.
            raise Displaced("another program has subscribed with this bot", code=wire.DISPLACED, action=TAKEN)
        self._ctx.count("frames", frame.event if frame.event in wire.KNOWN_EVENTS else "unknown")
        if frame.event == wire.ENTERED and self._settings.welcome:
            body = {"msgtype": "text", "text": {"content": self._settings.welcome}}
            self._exchange.tell(wire.WELCOME, body, frame.req_id)

    def _on_answer(self, frame: Frame) -> None:
        if frame.req_id == self._subscription:
            self._on_subscribed(frame)
        elif frame.req_id in self._beats:
            self._beats.discard(frame.req_id)
            self._heart.answered()
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
        self._guard.kill(block=False)
        self._sure_at = time.monotonic()
        if not self._ready:
            self._ready = True
            self._heart.start()
            who = self._settings.bot_name or self._settings.bot_id
            self._port.ready(who, self._exchange, proof_within=self._interval + self._timeout)
