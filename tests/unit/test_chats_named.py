"""Chats as people name them in commands, on the platforms whose ids tell what they are."""

from __future__ import annotations

from typing import Any

import pytest

from hermes_green.adapters.slack import PLATFORM as slack
from hermes_green.adapters.telegram import PLATFORM as telegram
from hermes_green.core.model import Secret
from tests.support.port import FakeContext

SLACK = slack.Settings(bot_token=Secret("xoxb-1"), app_token=Secret("xapp-1-A0X-1-1"))
TELEGRAM = telegram.Settings(token=Secret("1:t"))


def named(platform: Any, chat: str) -> tuple[str, str, str | None] | None:
    """Type, id and person."""
    adapter = platform.create(SLACK if platform is slack else TELEGRAM, FakeContext("child"))
    try:
        peer = adapter.peer_of(chat)
        return peer and (peer.chat_type, peer.chat_id, peer.user_id)
    finally:
        adapter.close()


@pytest.mark.parametrize(
    "platform, chat, told",
    [
        (slack, "U1", ("dm", "U1", "U1")),
        (slack, " user:W1 ", ("dm", "W1", "W1")),
        (slack, "dm:D1", ("dm", "D1", None)),
        (slack, "D1", ("dm", "D1", None)),
        (slack, "C1", ("channel", "C1", None)),
        (slack, "channel:G1", ("channel", "G1", None)),
        (slack, "group:G1", ("group", "G1", None)),
        (telegram, "7", ("dm", "7", "7")),
        (telegram, "user:7", ("dm", "7", "7")),
        (telegram, "dm:7", ("dm", "7", "7")),
        (telegram, "-1001", ("group", "-1001", None)),
        (telegram, "group:-5", ("group", "-5", None)),
        (telegram, "channel:-1001", ("channel", "-1001", None)),
        (telegram, "@news", ("channel", "@news", None)),
        (telegram, "group:@talk", ("group", "@talk", None)),
    ],
)
def test_a_chat_has_its_type_by_prefix_and_id(platform: Any, chat: str, told: Any) -> None:
    assert named(platform, chat) == told


NOTHING = ["", ":", "X1", "user:C1", "user:-5", "channel:U1", "group:7", "other:7", "dm:@x", "@", "7 8"]


@pytest.mark.parametrize("chat", NOTHING)
def test_what_names_no_chat_is_none(chat: str) -> None:
    assert named(slack, chat) is None
    assert named(telegram, chat) is None
