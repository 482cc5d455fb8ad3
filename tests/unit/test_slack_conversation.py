"""One link's frames, without a socket: what is read of them, and how envelopes are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hermes_green.adapters.slack import PLATFORM as slack
from hermes_green.adapters.slack.conversation import NO_COMMANDS, Conversation
from hermes_green.adapters.slack.parse import Bot
from hermes_green.core.errors import AuthRejected, Throttled
from hermes_green.core.model import Secret
from tests.support.port import FakeContext, FakePort

SETTINGS = slack.Settings(bot_token=Secret("xoxb-1"), app_token=Secret("xapp-1-A0X-1-1"))


class Socket:
    """Writes down what is said."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, data: str) -> None:
        self.said.append(json.loads(data))


class Talk(Conversation):
    """On an open link that nobody reads from."""

    def __init__(self, bot: Bot = Bot()) -> None:
        self.port, self.ctx, self.socket = FakePort(), FakeContext("slack"), Socket()
        super().__init__(self.port, self.ctx, SETTINGS, lambda: bot)
        self._ws = self.socket  # type: ignore[assignment]

    def hear(self, *frames: Any) -> Talk:
        for frame in frames:
            self._on_frame(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))
        return self


@pytest.mark.parametrize("bot, who", [(Bot(), "A1"), (Bot("U0", "B0", "greenie"), "greenie")])
def test_hello_names_the_app_where_the_bot_is_not_known(bot: Bot, who: str) -> None:
    hello = {"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}
    talk = Talk(bot).hear(hello, hello)
    assert [name for name, _ in talk.port.readies] == [who] and talk.port.quarantined == []


def test_a_notice_is_told_once_and_other_ends_are_errors() -> None:
    notice = {"type": "disconnect", "reason": "warning", "debug_info": {"host": "x"}}
    assert len(Talk().hear({"type": "hello"}, notice, notice).port.retired) == 1
    for reason, error in (("link_disabled", AuthRejected), ("too_many_websockets", Throttled)):
        with pytest.raises(error):
            Talk().hear({"type": "disconnect", "reason": reason})


def test_envelopes_without_a_message_are_answered_at_once_and_a_command_says_where_to_write() -> None:
    command = {"type": "slash_commands", "envelope_id": "e", "payload": {}}
    talk = Talk().hear({**command, "accepts_response_payload": True}, command)
    assert "blank" in NO_COMMANDS and "空格" in NO_COMMANDS, "whoever reads it may read one of them alone"
    assert talk.socket.said == [{"envelope_id": "e", "payload": {"text": NO_COMMANDS}}, {"envelope_id": "e"}]
    click = {"type": "interactive", "envelope_id": "c"}
    talk.hear(click, {"type": "of tomorrow", "envelope_id": "t"}, {"type": "of tomorrow"}, {"type": 7})
    assert talk.socket.said[2:] == [{"envelope_id": "c"}, {"envelope_id": "t"}]
    assert (talk.ctx.counts["frames", "interactive"], talk.ctx.counts["frames", "unknown"]) == (1, 3)


@pytest.mark.parametrize("raw", ["", "x", "[]", "7", b"\xff", "[" * 100_000])
def test_what_is_no_frame_is_kept(raw: Any) -> None:
    talk = Talk().hear(raw)
    assert len(talk.port.quarantined) == 1 and talk.socket.said == []
