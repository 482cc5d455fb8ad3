"""Conversation: what is said on one Socket Mode link, from the dial to its end."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Callable, cast

import gevent
from gevent.event import Event

from hermes_green.adapters.slack import wire
from hermes_green.adapters.slack.codes import ENDINGS
from hermes_green.adapters.slack.parse import Bot, parse
from hermes_green.adapters.slack.settings import Settings
from hermes_green.adapters.slack.wire import Frame
from hermes_green.core.errors import BadFrame, LinkLost, Throttled
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import DialOptions, Heartbeat, UpgradeRefused, WebSocket, dial

# Seconds. slack_sdk 3.47.0 pings every 5 s and gives up after four unanswered; @slack/socket-mode 3.1.0
# gives up when Slack itself, which pings every few seconds, has not for 30.
INTERVAL, TIMEOUT, SILENCE = 5.0, 20.0, 30.0
HELLO_WITHIN = 15.0
# A link that Slack has given notice still delivers for about ten seconds.
GRACE = 10.0
CLEAN = (None, 1000, 1001)
NO_COMMANDS = "Commands are not answered here: write to me directly, or mention me in a channel."


class Conversation:
    """One link's dialogue. ``live`` is its whole life; ``leave`` ends it from outside, at any time."""

    def __init__(self, port: Port, ctx: Context, settings: Settings, bot: Callable[[], Bot]) -> None:
        self._port = port
        self._ctx = ctx
        self._bot = bot
        self._interval = settings.ping_interval or INTERVAL
        self._timeout = settings.ping_timeout or TIMEOUT
        self._ws: WebSocket | None = None
        self._heart: Heartbeat | None = None
        self._guard: gevent.Greenlet | None = None
        self._ready = False
        self._noticed = False
        self._left = Event()
        self._handlers: dict[str, Callable[[WebSocket, str | bytes, Frame], None]] = {
            wire.HELLO: self._on_hello,
            wire.DISCONNECT: self._on_disconnect,
            wire.EVENTS: self._on_event,
            wire.COMMAND: self._on_command,
        }

    def live(self, url: str, options: DialOptions) -> None:
        """Dial, beat, pump until the link ends; returns on a planned or clean end.

        Raises:
            LinkError: why it ended.
        """
        if self._left.is_set():
            return
        ws = self._ws = open_link(url, options)
        heart = self._heart = self._heartbeat(ws)
        late = LinkLost(f"no hello within {HELLO_WITHIN:g} s of the dial", code="no_hello")
        guard = self._guard = gevent.spawn_later(HELLO_WITHIN, ws.abort, late)
        guard.name = f"slack-hello-{self._ctx.child}"
        try:
            if self._left.is_set():
                return
            ws.on_ping, ws.on_pong = self._pinged, self._answered
            heart.start()
            for raw in ws.frames():
                self._on_frame(ws, raw)
        finally:
            guard.kill(block=False)
            heart.stop()
            ws.close()
        if not self._left.is_set():
            self._judge(ws)

    def leave(self) -> None:
        """Close the link politely; what is not open yet will not be."""
        self._left.set()
        if self._ws is not None:
            self._ws.close()

    def _heartbeat(self, ws: WebSocket) -> Heartbeat:
        numbers = count(1)
        return Heartbeat(
            ws,
            lambda: ws.ping(f"hermes_green:{next(numbers)}".encode()),
            interval=self._interval,
            timeout=self._timeout,
            count=cast(Callable[[str], None], self._port.heartbeat),
            name=f"slack-heartbeat-{self._ctx.child}",
        )

    def _pinged(self) -> None:
        """Slack speaks by itself, and not only in answer to us; that must go on."""
        assert self._heart is not None
        self._heart.watch_silence(SILENCE)
        self._port.beat()

    def _answered(self) -> None:
        assert self._heart is not None
        self._heart.answered()
        self._port.beat()

    def _judge(self, ws: WebSocket) -> None:
        code = ws.closed.code if ws.closed else None
        reason = ws.closed.reason if ws.closed else ""
        if self._ready and code in CLEAN:
            return
        when = "closed the link" if self._ready else "closed the link before hello"
        raise LinkLost(f"Slack {when} (code {code}) {reason}".rstrip(), status=code)

    # --- frames ----------------------------------------------------------------------------------

    def _on_frame(self, ws: WebSocket, raw: str | bytes) -> None:
        if self._heart is not None:
            self._heart.heard()
        self._port.beat()
        try:
            frame = wire.decode(raw)
        except BadFrame as error:
            self._port.quarantine(raw, error)
            return
        handler = self._handlers.get(frame.kind)
        if handler is not None:
            handler(ws, raw, frame)
            return
        self._ctx.count("frames", frame.kind if frame.kind == wire.INTERACTIVE else "unknown")
        if frame.envelope:
            self._acknowledge(ws, frame.envelope, False)

    def _on_hello(self, ws: WebSocket, raw: str | bytes, frame: Frame) -> None:
        if self._guard is not None:
            self._guard.kill(block=False)
        if not self._ready:
            self._ready = True
            self._port.ready(self._bot().name or frame.app_id, ws, proof_within=self._interval + self._timeout)

    def _on_disconnect(self, ws: WebSocket, raw: str | bytes, frame: Frame) -> None:
        ending = ENDINGS.get(frame.reason)
        if ending is not None:
            raise ending.build(frame.reason)
        self._ctx.log.info(f"Slack will end this link ({frame.reason or 'no reason'}): a successor is dialled")
        if not self._noticed:
            self._noticed = True
            self._port.retire(GRACE)

    def _on_event(self, ws: WebSocket, raw: str | bytes, frame: Frame) -> None:
        acknowledge = partial(self._acknowledge, ws, frame.envelope)
        try:
            inbound = parse(frame.payload, self._ctx.child, self._bot())
        except BadFrame as error:
            self._port.quarantine(raw, error, acknowledge)
            return
        if inbound is not None:
            self._port.accept(inbound, acknowledge)
            return
        if frame.payload.get("type") == "app_rate_limited":
            self._ctx.log.warning("Slack holds events back: more than 30,000 came within an hour")
            self._ctx.count("frames", "app_rate_limited")
        acknowledge(False)  # nothing to commit, and an answer still stops Slack from resending it

    def _on_command(self, ws: WebSocket, raw: str | bytes, frame: Frame) -> None:
        """A command has no message that could be answered; who gave it is told, by its answer."""
        self._ctx.count("frames", "command")
        ws.send(wire.acknowledgement(frame.envelope, NO_COMMANDS if frame.answerable else ""))

    def _acknowledge(self, ws: WebSocket, envelope: str, taken: bool) -> None:
        if envelope:
            ws.send(wire.acknowledgement(envelope))


def open_link(url: str, options: DialOptions) -> WebSocket:
    """Dial the address. Raises LinkError, ConfError."""
    try:
        return dial(url, options)
    except UpgradeRefused as refused:
        if refused.status == 429:
            after = refused.headers.get("retry-after", "")
            wait = float(after) if after.isascii() and after.isdigit() else 30.0
            raise Throttled("Slack asks to wait before the next dial", after=min(wait, 3600.0), code="429") from refused
        raise
