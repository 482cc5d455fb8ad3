"""Conversation: what is said on one long connection."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping

from hermes_green.adapters.feishu import wire
from hermes_green.adapters.feishu.codes import CODES
from hermes_green.adapters.feishu.parse import Bot, parse
from hermes_green.adapters.feishu.rest import Endpoint
from hermes_green.adapters.feishu.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame, HermesError, LinkLost
from hermes_green.core.loose import number_of
from hermes_green.core.ports import Ack, Context, Port
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.said import Said, undialled
from hermes_green.link.websocket import UpgradeRefused, WebSocket

# The server suggests 90 to 120 s; a dead link shall not stay unnoticed as long.
SLOWEST = 20.0
FASTEST = 0.05  # as an operator may ask for at most
TIMEOUT = 20.0


class Conversation(Dialogue):
    """One link's frames; ``bot``: who we are, as far as is known."""

    def __init__(self, port: Port, ctx: Context, settings: Settings, clock: Clock, bot: Callable[[], Bot]) -> None:
        super().__init__(port, ctx, settings, SLOWEST, TIMEOUT)
        self._settings = settings
        self._clock = clock
        self._bot = bot
        self._parts = wire.Assembler(clock)
        self._service = 0

    def _dial(self, address: Endpoint) -> WebSocket:
        """The socket at ``address``; a refused upgrade says why in its headers."""
        self._service = address.service
        # How soon a live platform is heard is told by our slowest pace, whatever it asks for.
        self._pace = pace_of(self._settings.ping_interval, address.pace, SLOWEST)
        try:
            return super()._dial(address.url)
        except UpgradeRefused as refused:
            raise refusal(refused.headers, refused) from refused

    def _begin(self, ws: WebSocket) -> None:
        ws.on_frame = self._port.beat
        self._beating(ws, partial(ws.send, wire.ping(self._service)), self._pace, first=0.0).start()

    def _on_frame(self, raw: str | bytes) -> None:
        ack: Ack | None = None
        try:
            frame = wire.decode(raw)
            if frame.method == wire.DATA:
                assert isinstance(raw, bytes), "a text is no frame"
                ack = partial(self._acknowledge, wire.echo_of(raw), self._clock.monotonic())
                self._on_data(raw, frame, ack)
            elif frame.method == wire.CONTROL and wire.headers_of(frame).get("type") == wire.PONG:
                self._on_pong(frame)
            else:
                self._keep_strange(raw, f"a frame of the unknown method {frame.method}")
        except BadFrame as error:
            self._port.quarantine(raw, error, ack)

    def _on_data(self, raw: str | bytes, frame: Any, ack: Ack) -> None:
        payload = self._parts.add(frame)
        if payload is not None:  # the whole push is acknowledged with its last part
            kind = wire.headers_of(frame).get("type")
            if kind not in (wire.EVENT, wire.CARD):
                raise BadFrame(f"a push of the unknown type {str(kind)[:40]!r}")
            read = partial(parse, payload, child=self._ctx.child, bot=self._bot())
            self._hand_in(raw, lambda: read() if kind == wire.EVENT else None, ack)

    def _acknowledge(self, echo: bytes, received: float, taken: bool) -> None:
        spent = self._clock.monotonic() - received
        self._say(wire.acknowledgement(echo, round(spent * 1000)))

    def _on_pong(self, frame: Any) -> None:
        assert self._heart is not None
        self._answered()
        self._pace = pace_of(self._settings.ping_interval, wire.pace_in(frame.payload), self._pace)
        self._heart.reconfigure(self._pace, self._timeout)
        self._now_ready(self._bot().name or self._settings.app_id)


def pace_of(own: float | None, asked: float | None, current: float) -> float:
    """Seconds between beats, after the server has spoken; ``own`` is the operator's wish."""
    if own is not None:
        return own
    return current if asked is None else max(FASTEST, min(asked, SLOWEST))


def refusal(headers: Mapping[str, str], refused: LinkLost) -> HermesError:
    """What a refused upgrade means (lark-oapi 1.7.5 ``ws/client.py``): 403 is final, 514 is what its
    auth code says, everything else passes."""
    status, auth, detail = (headers.get(f"handshake-{name}", "")[:300] for name in ("status", "autherrcode", "msg"))
    code = number_of(auth if status == "514" else status if status == "403" else "") or 0
    if code in CODES:
        return undialled("the long connection", Said(refused.status or 0, False, code, detail), CODES[code])
    said = " ".join(filter(None, (status, auth, detail)))
    return LinkLost(f"{refused.text} {said}".rstrip(), status=refused.status, code=auth or status or refused.code)
