"""One link's dialogue, with a scripted socket: what is said, when, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hermes_green.adapters.qq import PLATFORM as qq, codes
from hermes_green.adapters.qq.conversation import Conversation, Standing
from hermes_green.adapters.qq.settings import DEFAULT, NARROW
from hermes_green.adapters.qq.wire import Session
from hermes_green.core.errors import AuthRejected, ConfError, LinkLost, Throttled
from hermes_green.core.model import Secret
from hermes_green.link.websocket import Close
from tests.support.port import FakeContext

SETTINGS = qq.Settings(app_id="1024", client_secret=Secret("s"))
SESSION = Session("S", "1024", DEFAULT, 7, "5", "bot")
NEW = Session("", "1024", DEFAULT)
HELLO = {"op": 10, "d": {"heartbeat_interval": 45000}}
READY = {"op": 0, "s": 1, "t": "READY", "d": {"session_id": "S2", "user": {"id": "5", "username": "bot"}}}
RESUMED = {"op": 0, "s": 9, "t": "RESUMED", "d": ""}
TEXT = {"id": "M", "author": {"user_openid": "U"}, "content": "hi"}
MESSAGE = {"op": 0, "s": 8, "t": "C2C_MESSAGE_CREATE", "d": TEXT}


class Script:
    """A socket that says its lines and hears ours."""

    def __init__(self, *frames: Any, close: Close | None = None) -> None:
        self.lines = frames
        self.closed: Close | None = None
        self.said: list[dict] = []
        self.ended = False
        self._close = close

    def frames(self):
        for line in self.lines:
            yield line if isinstance(line, str) else json.dumps(line)
        self.closed = self._close

    def send(self, data: str) -> None:
        self.said.append(json.loads(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.ended = True

    def abort(self, error: LinkLost) -> None:
        raise AssertionError(f"nothing here is late: {error}")


class Port:
    """Takes everything at once, in order."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.bad: list[Any] = []
        self.memo: Any = "unwritten"
        self.who: str | None = None
        self.full = False
        self.poor = False
        self.slow: list[Any] | None = None  # what waits for its commit, where a commit takes its time

    def accept(self, inbound, ack=None, memo=None) -> None:
        if self.full:
            raise LinkLost("intake full")
        if inbound is not None:
            self.taken.append(inbound)
        if memo:
            self.memo = memo["session"]
        if self.slow is not None:
            self.slow.append(ack)
        elif ack is not None:
            ack(True)

    def quarantine(self, raw, error, ack=None) -> None:
        self.bad.append((raw, self.memo))

    def ready(self, who, link=None, *, proof_within=None) -> None:
        self.who, self.proof_within = who, proof_within

    def beat(self) -> None: ...

    def heartbeat(self, outcome) -> None: ...

    def spend(self, kind) -> None:
        if self.poor:
            raise Throttled("spent", after=5)


def talk(*frames: Any, session: Session = SESSION, close: Close | None = None, **more: Any) -> tuple:
    """The conversation over ``frames`` is held; (port, socket, standing, dropped tokens, its end)."""
    port, ws = more.pop("port", None) or Port(), Script(*frames, close=close)
    standing, dropped, ctx = more.pop("standing", None) or Standing(), [], FakeContext("qq")
    held = Conversation(port, ctx, more.pop("settings", SETTINGS), standing, session, "T", dropped.append)
    held._dial = lambda address: ws
    end: Exception | None = None
    try:
        held.live("")
    except Exception as error:
        end = error
    return port, ws, standing, dropped, end


def test_with_a_session_it_is_resumed_and_without_one_identified():
    assert talk(HELLO)[1].said == [{"op": 6, "d": {"token": "QQBot T", "session_id": "S", "seq": 7}}]
    assert talk(HELLO, session=NEW)[1].said[0]["d"]["intents"] == DEFAULT


def test_nothing_is_said_before_hello_and_hello_counts_once():
    assert talk()[1].said == []
    assert len(talk(HELLO, HELLO, HELLO)[1].said) == 1


def test_a_hello_without_an_interval_is_enough_for_whoever_has_one_of_their_own():
    vague = {"op": 10, "d": {}}
    assert isinstance(talk(vague)[4], LinkLost)
    port, ws, *_ = talk(vague, RESUMED, settings=replace(SETTINGS, ping_interval=30.0))
    assert (port.who, port.proof_within, ws.said[0]["op"]) == ("bot", 60, 6)


def test_without_budget_nothing_is_identified():
    port = Port()
    port.poor = True
    _, ws, _, _, end = talk(HELLO, session=NEW, port=port)
    assert isinstance(end, Throttled) and ws.said == []


def test_what_is_replayed_before_resumed_is_handed_in():
    port = talk(HELLO, MESSAGE, RESUMED)[0]
    assert [inbound.message_id for inbound in port.taken] == ["M"]
    assert port.who == "bot" and port.proof_within == 90 and port.memo["seq"] == 9


def test_ready_opens_a_new_session_and_keeps_it():
    port = talk(HELLO, READY, session=NEW)[0]
    assert (port.memo["id"], port.memo["seq"], port.memo["app_id"]) == ("S2", 1, "1024")


def test_ready_without_a_session_is_a_lost_link():
    assert isinstance(talk(HELLO, {**READY, "d": {}}, session=NEW)[4], LinkLost)


def test_what_nobody_understands_is_kept_before_its_place_is_passed():
    bad = {"op": 0, "s": 8, "t": "C2C_MESSAGE_CREATE", "d": None}
    port = talk(HELLO, "nonsense", bad)[0]
    assert [memo for _, memo in port.bad] == ["unwritten", "unwritten"] and port.memo["seq"] == 8


def test_an_event_sent_again_or_without_a_number_is_handed_in_and_moves_nothing_back():
    again, unnumbered = {**MESSAGE, "s": 5}, {**MESSAGE, "s": None}
    port = talk(HELLO, MESSAGE, again, unnumbered)[0]
    assert len(port.taken) == 3 and port.memo["seq"] == 8


def test_a_session_that_is_forgotten_is_not_written_again_by_what_was_on_its_way():
    port, other = Port(), {"op": 0, "s": 8, "t": "FRIEND_ADD", "d": {}}
    port.slow = []
    talk(HELLO, other, {**other, "s": 9}, {"op": 9, "d": False}, port=port)
    for ack in port.slow[:]:
        if ack is not None:
            ack(True)
    assert port.memo is None and len(port.slow) == 2


def test_opcodes_of_tomorrow_are_passed_over():
    assert talk(HELLO, {"op": 42, "d": {}}, RESUMED)[0].who == "bot"


def test_after_op_7_nothing_more_is_taken():
    port, _, _, _, end = talk(HELLO, RESUMED, {"op": 7, "d": None}, MESSAGE)
    assert end is None and port.taken == [] and port.memo["id"] == "S"


def test_op_9_true_is_believed_once_in_a_row():
    standing = Standing()
    interrupted = {"op": 9, "d": True}
    port, _, _, dropped, end = talk(HELLO, interrupted, standing=standing)
    assert isinstance(end, LinkLost) and port.memo == "unwritten" and dropped == []
    port, _, _, dropped, end = talk(HELLO, interrupted, standing=standing)
    assert isinstance(end, LinkLost) and port.memo is None and dropped == ["T"]
    talk(HELLO, interrupted, standing=standing)
    talk(HELLO, RESUMED, standing=standing)
    assert talk(HELLO, interrupted, standing=standing)[0].memo == "unwritten"


@pytest.mark.parametrize("d", [False, None, 1, "yes"])
def test_op_9_otherwise_forgets_the_session(d):
    port, _, _, dropped, end = talk(HELLO, {"op": 9, "d": d})
    assert isinstance(end, LinkLost) and port.memo is None and dropped == ["T"]


def test_op_9_to_an_identify_forgets_whatever_was_kept():
    assert talk(HELLO, {"op": 9, "d": True}, session=NEW)[0].memo is None


def test_a_token_called_invalid_is_dropped_and_the_session_kept():
    port, _, _, dropped, end = talk(HELLO, close=Close(4004))
    assert isinstance(end, LinkLost) and dropped == ["T"] and port.memo == "unwritten"


@pytest.mark.thorough
@pytest.mark.parametrize("code", [*sorted(set(codes.CLOSES) - {4014, codes.NOTHING_GRANTED}), 1001, 4999])
def test_no_other_close_takes_the_token_or_the_events(code):
    _, _, standing, dropped, end = talk(HELLO, close=Close(code))
    assert isinstance(end, Exception) and not standing.narrow and (dropped == ["T"]) == (code == 4004)


def test_refused_events_narrow_the_next_identify_and_then_need_a_human():
    standing = Standing()
    assert isinstance(talk(HELLO, session=NEW, close=Close(4014), standing=standing)[4], LinkLost)
    _, ws, _, _, end = talk(HELLO, session=NEW, close=Close(4014), standing=standing)
    assert ws.said[0]["d"]["intents"] == NARROW and isinstance(end, ConfError) and end.action


def test_a_drain_before_ready_is_a_lost_link_and_after_it_a_clean_end():
    assert isinstance(talk(HELLO, close=Close(1000))[4], LinkLost)
    assert talk(HELLO, RESUMED, close=Close(1000))[4] is None
    assert isinstance(talk(HELLO, RESUMED, close=Close(None))[4], LinkLost)


def test_a_full_intake_does_not_hide_why_the_platform_closed():
    port = Port()
    port.full = True
    assert isinstance(talk(HELLO, close=Close(4915), port=port)[4], AuthRejected)


def test_our_own_settings_pace_the_heart():
    settings = qq.Settings(app_id="1024", client_secret=Secret("s"), ping_interval=10, ping_timeout=30)
    assert talk(HELLO, RESUMED, settings=settings)[0].proof_within == 20
