"""What every link's life has in common: it is dialled once or never, told ready once, and says why it ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hermes_green.core.errors import BadFrame, LinkLost, Throttled
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import PlatformOptions
from hermes_green.link import dialogue
from hermes_green.link.dialogue import Dialogue
from hermes_green.link.websocket import Close, UpgradeRefused
from tests.support.port import FakeContext

MESSAGE = Inbound(keys=("k",), peer=Peer("x", "c", "dm"), message_id="m", text="hi")


class Socket:
    """Says what it is told to, then closes."""

    def __init__(self, *frames: str, close: Close | None = None) -> None:
        self.closed, self.ended, self._frames = close, False, frames

    def frames(self) -> Any:
        yield from self._frames

    def close(self, code: int = 1000) -> None:
        self.ended = True


class Port:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.ready_as: list[Any] = []
        self.taken: list[Any] = []
        self.bad: list[Any] = []

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        self.ready_as.append((who, proof_within))

    def accept(self, inbound: Inbound, ack: Any = None, memo: Any = None) -> None:
        self.taken.append((inbound, memo))

    def keep(self, raw: Any) -> None: ...

    def quarantine(self, raw: Any, error: Exception, ack: Any = None) -> None:
        self.bad.append(raw)


class Plain(Dialogue):
    """Ready with the first frame."""

    def __init__(self, ws: Socket, port: Port) -> None:
        super().__init__(port, FakeContext("x"), PlatformOptions(ping_interval=7), timeout=3)
        self.dials, self._given = 0, ws

    def _dial(self, address: Any) -> Any:
        self.dials += 1
        return self._given

    def _on_frame(self, raw: str | bytes) -> None:
        self._now_ready("bot")


@pytest.mark.parametrize(
    ("frames", "close", "status"),
    [
        (("a", "b"), Close(1000), "clean"),
        (("a",), Close(None), "clean"),
        (("a",), Close(4000), 4000),
        ((), Close(1000), 1000),
    ],
)
def test_an_end_is_clean_once_the_link_was_ready_and_the_code_says_nothing_else(
    frames: tuple[str, ...], close: Close, status: Any
) -> None:
    ws, port = Socket(*frames, close=close), Port()
    if status == "clean":
        Plain(ws, port).live("")
    else:
        with pytest.raises(LinkLost) as caught:
            Plain(ws, port).live("")
        assert caught.value.status == status
    assert ws.ended and port.ready_as == [("bot", 10)] * bool(frames)


def test_who_left_before_the_dial_does_not_dial() -> None:
    talk = Plain(Socket("a"), Port())
    talk.leave()
    talk.live("")
    assert talk.dials == 0


def test_an_upgrade_that_asks_to_wait_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise UpgradeRefused("no", status=429, headers={"Retry-After": "17"})

    monkeypatch.setattr(dialogue, "dial", refused)
    with pytest.raises(Throttled) as caught:
        Dialogue(Port(), FakeContext("x"), PlatformOptions()).live("wss://h")
    assert caught.value.after == 17


def test_what_cannot_be_read_is_kept_and_what_needs_no_commit_is_answered_at_once() -> None:
    def bad() -> None:
        raise BadFrame("no")

    port, acks = Port(), []
    talk = Plain(Socket(), port)
    talk._hand_in("raw", bad, acks.append)
    assert port.bad == ["raw"] and acks == []
    talk._hand_in("raw", lambda: None, acks.append)
    assert acks == [False]
    talk._hand_in("raw", lambda: MESSAGE, acks.append, lambda inbound: {"chat": inbound.message_id})
    assert port.taken == [(MESSAGE, {"chat": "m"})] and acks == [False]


def test_a_message_of_an_unknown_kind_is_kept_whole_and_goes_on_all_the_same() -> None:
    port, acks = Port(), []
    strange = replace(MESSAGE, text="[hologram]", strange="hologram")
    talk = Plain(Socket(), port)
    talk._hand_in("raw", lambda: strange, acks.append)
    assert port.bad == ["raw"] and port.taken == [(strange, None)] and acks == []
    assert talk._ctx.counts["frames", "unknown"] == 1


def test_what_is_said_without_a_link_is_heard_by_nobody() -> None:
    ws, said = Socket("a"), []
    ws.send = said.append
    talk = Plain(ws, Port())
    talk._say("before")
    talk.live("")
    talk._say("hello")
    assert said == ["hello"]
