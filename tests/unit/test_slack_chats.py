"""What Slack's chats are told of answers that grow."""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.adapters.slack.chats import Chats
from hermes_green.core.clock import ManualClock
from tests.support.port import FakeContext


class Calls:
    def __init__(self) -> None:
        self.made: list[tuple[str, Mapping[str, Any]]] = []

    def call(self, method: str, fields: Mapping[str, Any], *, form: bool = False) -> Mapping[str, Any]:
        self.made.append((method, fields))
        return {}


def test_messages_of_two_channels_may_bear_the_same_ts() -> None:
    calls: Any = Calls()
    chats = Chats(calls, FakeContext("slack"), ManualClock())
    for channel in ("C1", "C2", "C1"):
        chats.show({"channel": channel, "ts": "1.5"}, "the same words", 1)
    updated = [fields["channel"] for method, fields in calls.made if method == "chat.update"]
    assert updated == ["C1", "C2"]
