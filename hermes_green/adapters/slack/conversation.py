"""Conversation: what is said on one Socket Mode link.

Sources: slack_sdk 3.47.0 ``socket_mode/request.py`` and ``socket_mode/client.py``, @slack/socket-mode 3.1.0,
docs.slack.dev/apis/events-api/using-socket-mode.
"""

from __future__ import annotations

import json
from functools import partial
from itertools import count
from typing import Any, Callable, Mapping

from hermes_green.adapters.slack.codes import ENDINGS
from hermes_green.adapters.slack.parse import Bot, parse
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import dict_of, object_in, text_at
from hermes_green.core.ports import Context, Port
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import WebSocket

# Seconds. slack_sdk 3.47.0 pings every 5 s and gives up after four unanswered; @slack/socket-mode 3.1.0
# gives up when Slack itself, which pings every few seconds, has not for 30.
INTERVAL, TIMEOUT, SILENCE = 5.0, 20.0, 30.0
HELLO_WITHIN = 15.0
# A link that Slack has given notice still delivers for about ten seconds.
GRACE = 10.0
CLICK = "interactive"
# Slack's client keeps what begins with a slash for itself; with a blank before it, it is a message.
NO_COMMANDS = (
    "Slack's commands are not answered here: write to me with a blank before the slash, or mention me before it."
    " / 这里不回应 Slack 的斜杠命令：请在斜杠前加一个空格，或先 @我。"
)
Frame = Mapping[str, Any]


class Conversation(Dialogue):
    """One link's frames; ``bot``: who we are, as far as is known."""

    def __init__(self, port: Port, ctx: Context, settings: Settings, bot: Callable[[], Bot]) -> None:
        super().__init__(port, ctx, settings, INTERVAL, TIMEOUT)
        self._bot = bot
        self._noticed = False
        self._handlers: dict[str, Callable[[str | bytes, Frame], None]] = {
            "hello": self._on_hello,
            "disconnect": self._on_disconnect,
            "events_api": self._on_event,
            "slash_commands": self._on_command,
        }

    def _begin(self, ws: WebSocket) -> None:
        self._ready_within(ws, HELLO_WITHIN, "hello")
        ws.on_ping, ws.on_pong = self._pinged, self._answered
        numbers = count(1)
        self._beating(ws, lambda: ws.ping(f"hermes_green:{next(numbers)}".encode())).start()

    def _pinged(self) -> None:
        """Slack speaks by itself, and not only in answer to us; that must go on."""
        assert self._heart is not None
        self._heart.watch_silence(SILENCE)
        self._port.beat()

    def _on_frame(self, raw: str | bytes) -> None:
        self._heard()
        try:
            frame = object_in(raw)
        except BadFrame as error:
            self._port.quarantine(raw, error)
            return
        kind = text_at(frame, "type")
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(raw, frame)
            return
        if kind == CLICK:
            self._ctx.count("frames", kind)
        else:
            self._keep_strange(raw, f"an envelope of the unknown type {kind[:40]!r}")
        self._acknowledge(frame, False)

    def _on_hello(self, raw: str | bytes, frame: Frame) -> None:
        self._now_ready(self._bot().name or text_at(dict_of(frame.get("connection_info")), "app_id"))

    def _on_disconnect(self, raw: str | bytes, frame: Frame) -> None:
        reason = text_at(frame, "reason")
        ending = ENDINGS.get(reason)
        if ending is not None:
            raise ending.build(reason)
        self._ctx.log.info(f"Slack will end this link ({reason or 'no reason'}): a successor is dialled")
        if not self._noticed:
            self._noticed = True
            self._port.retire(GRACE)

    def _on_event(self, raw: str | bytes, frame: Frame) -> None:
        payload = dict_of(frame.get("payload"))
        if payload.get("type") == "app_rate_limited":
            self._ctx.log.warning("Slack holds events back: more than 30,000 came within an hour")
            self._ctx.count("frames", "app_rate_limited")
        acknowledge = partial(self._acknowledge, frame)
        self._hand_in(raw, lambda: parse(payload, self._ctx.child, self._bot()), acknowledge)

    def _on_command(self, raw: str | bytes, frame: Frame) -> None:
        """A command has no message that could be answered; who gave it is told, by its answer."""
        self._ctx.count("frames", "command")
        self._acknowledge(frame, False, NO_COMMANDS if frame.get("accepts_response_payload") is True else "")

    def _acknowledge(self, frame: Frame, taken: bool, text: str = "") -> None:
        """The answer that stops Slack from sending an envelope again; ``text`` is shown to who gave a command."""
        answer: dict[str, Any] = {"envelope_id": text_at(frame, "envelope_id")}
        if text:
            answer["payload"] = {"text": text}
        if answer["envelope_id"]:
            self._say(json.dumps(answer))
