"""Conversation: what is said on one long connection, from the dial to its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Mapping, cast

from gevent.event import Event

from hermes_green.adapters.feishu import wire
from hermes_green.adapters.feishu.codes import CODES
from hermes_green.adapters.feishu.parse import Bot, parse
from hermes_green.adapters.feishu.rest import Endpoint
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame, HermesError, LinkLost
from hermes_green.core.ports import Context, Port
from hermes_green.link.websocket import DialOptions, Heartbeat, UpgradeRefused, WebSocket, dial

# The server suggests 90 to 120 s; a dead link shall not stay unnoticed as long.
SLOWEST = 20.0
TIMEOUT = 20.0
CLEAN = (None, 1000, 1001)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to beat: ``interval`` and ``timeout`` (seconds) are the operator's, None is the platform's."""

    interval: float | None = None
    timeout: float | None = None

    def every(self, config: wire.ClientConfig, current: float = SLOWEST) -> float:
        """Seconds between beats, after the server has spoken."""
        if self.interval is not None:
            return self.interval
        return current if config.ping_interval is None else min(config.ping_interval, SLOWEST)

    @property
    def due(self) -> float:
        """Seconds in which a beat's answer is due."""
        return TIMEOUT if self.timeout is None else self.timeout

    @property
    def proof_within(self) -> float:
        """Seconds within which a live platform has been heard, whatever pace it asks for."""
        return (SLOWEST if self.interval is None else self.interval) + self.due


class Conversation:
    """One link's dialogue. ``live`` is its whole life; ``leave`` ends it from outside, at any time."""

    def __init__(self, port: Port, ctx: Context, clock: Clock, pace: Pace, bot: Callable[[], Bot]) -> None:
        self._port = port
        self._ctx = ctx
        self._clock = clock
        self._pace = pace
        self._bot = bot
        self._parts = wire.Assembler(clock)
        self._ws: WebSocket | None = None
        self._heart: Heartbeat | None = None
        self._interval = SLOWEST
        self._who = ""
        self._ready = False
        self._left = Event()

    def live(self, endpoint: Endpoint, options: DialOptions, who: str) -> None:
        """Dial, beat, pump until the link ends; returns on a planned or clean end. ``who`` names the
        bot while the platform has not.

        Raises:
            LinkError: why it ended.
        """
        if self._left.is_set():
            return
        self._who = who
        ws = self._ws = open_link(endpoint, options)
        heart = self._heart = self._heartbeat(ws, endpoint)
        try:
            if self._left.is_set():
                return
            ws.on_frame = self._port.beat
            heart.start()
            for raw in ws.frames():
                self._on_frame(ws, raw)
        finally:
            heart.stop()
            ws.close()
        if not self._left.is_set():
            self._judge(ws)

    def leave(self) -> None:
        """Close the link politely; what is not open yet will not be."""
        self._left.set()
        if self._ws is not None:
            self._ws.close()

    def _heartbeat(self, ws: WebSocket, endpoint: Endpoint) -> Heartbeat:
        self._interval = self._pace.every(endpoint.config)
        return Heartbeat(
            ws,
            partial(ws.send, wire.ping(endpoint.service)),
            interval=self._interval,
            timeout=self._pace.due,
            count=cast(Callable[[str], None], self._port.heartbeat),
            first=0.0,
            name=f"feishu-heartbeat-{self._ctx.child}",
        )

    def _judge(self, ws: WebSocket) -> None:
        code = ws.closed.code if ws.closed else None
        reason = ws.closed.reason if ws.closed else ""
        if not self._ready:
            raise LinkLost(f"closed before the first pong (close code {code}) {reason}".rstrip(), status=code)
        if code not in CLEAN:
            raise LinkLost(f"the platform closed the link with code {code} {reason}".rstrip(), status=code)

    def _on_frame(self, ws: WebSocket, raw: str | bytes) -> None:
        received = self._clock.monotonic()
        try:
            frame = wire.decode(raw)
            echo = wire.echo_of(raw) if isinstance(raw, bytes) and frame.method == wire.DATA else b""
        except BadFrame as error:
            self._port.quarantine(raw, error)
            return
        if frame.method == wire.DATA:
            self._on_data(raw, frame, partial(self._acknowledge, ws, echo, received))
        elif frame.method == wire.CONTROL and wire.headers_of(frame).get("type") == wire.PONG:
            self._on_pong(frame)
        else:
            self._ctx.count("frames", "unknown")

    def _on_data(self, raw: str | bytes, frame: Any, ack: Callable[[bool], None]) -> None:
        inbound = None
        try:
            payload = self._parts.add(frame)
            if payload is None:
                return  # the whole push is acknowledged with its last part
            if wire.headers_of(frame).get("type") == wire.EVENT:
                inbound = parse(payload, child=self._ctx.child, bot=self._bot())
        except BadFrame as error:
            self._port.quarantine(raw, error, ack)
            return
        if inbound is None:
            ack(False)  # nothing to commit, and an answer still stops the platform from resending it
        else:
            self._port.accept(inbound, ack)

    def _acknowledge(self, ws: WebSocket, echo: bytes, received: float, taken: bool) -> None:
        spent = self._clock.monotonic() - received
        ws.send(wire.acknowledgement(echo, round(spent * 1000)))

    def _on_pong(self, frame: Any) -> None:
        assert self._heart is not None
        self._heart.answered()
        interval = self._pace.every(wire.client_config(frame.payload), self._interval)
        if interval != self._interval:
            self._interval = interval
            self._heart.reconfigure(interval, self._pace.due)
        if not self._ready:
            self._ready = True
            self._port.ready(self._bot().name or self._who, self._ws, proof_within=self._pace.proof_within)


def open_link(endpoint: Endpoint, options: DialOptions) -> WebSocket:
    """Dial the address.

    Raises:
        LinkError, ConfError: a refused upgrade says why in its headers.
    """
    try:
        return dial(endpoint.url, options)
    except UpgradeRefused as refused:
        raise refusal(refused.headers, refused) from refused


def refusal(headers: Mapping[str, str], refused: LinkLost) -> HermesError:
    """What a refused upgrade means (lark-oapi 1.7.5 ``ws/client.py``): 403 is final, 514 is what its
    auth code says, everything else passes."""
    status, auth = headers.get("handshake-status", ""), headers.get("handshake-autherrcode", "")
    detail = headers.get("handshake-msg", "")[:300]
    if status == "403":
        return CODES[403].build(403, detail)
    if status == "514" and auth.isascii() and auth.isdigit() and int(auth[:12]) in CODES:
        return CODES[int(auth[:12])].build(auth, detail)
    said = " ".join(part for part in (status, auth, detail) if part)
    return LinkLost(f"{refused.text} {said}".rstrip(), status=refused.status, code=auth or status or refused.code)
