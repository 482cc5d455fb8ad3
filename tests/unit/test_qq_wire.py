"""The gateway's words: payloads in and out, addresses, and what each close code means."""

from __future__ import annotations

import json

import pytest

from hermes_green.adapters.qq import PLATFORM as qq, codes, wire
from hermes_green.adapters.qq.settings import DEFAULT, NARROW, Intent, Settings, intents_of
from hermes_green.adapters.qq.wire import Session
from hermes_green.core.errors import AuthRejected, BadFrame, ConfError, HermesError, LinkLost, SendRefused, Throttled
from hermes_green.core.model import Part, Peer, Secret
from hermes_green.runtime.words import Reason, Words

SESSION = Session("S", "1024", 33, 4, "5", "bot")


def settings(**keys) -> Settings:
    return Settings(**{"app_id": "1024", "client_secret": Secret("s"), **keys})


def part(chat_id="U1", chat_type="dm", kind="c2c", reply_ref=None, seq=2, **keys) -> Part:
    peer = Peer("qq", chat_id, chat_type, extra={"kind": kind} if kind else {})
    return Part("0" * 32, seq, 0, peer, {"content": "hi"}, reply_ref or {}, **keys)


def test_a_dispatch_is_decoded_with_its_sequence_number():
    frame = wire.decode('{"op":0,"s":7,"t":"READY","d":{"a":1},"id":"READY:x"}')
    assert (frame.op, frame.s, frame.t, frame.d) == (0, 7, "READY", {"a": 1})


@pytest.mark.parametrize(
    "raw", ["", "[]", "3", "{", '{"d":1}', '{"op":"0"}', '{"op":true}', b"\xff\xfe{", "[" * 100_000]
)
def test_what_is_no_payload_is_a_bad_frame(raw):
    with pytest.raises(BadFrame):
        wire.decode(raw)


def test_hello_tells_the_interval_in_milliseconds():
    assert wire.interval_of(wire.Frame(10, {"heartbeat_interval": 45000})) == 45.0
    assert wire.interval_of(wire.Frame(10, {"heartbeat_interval": "45000"})) == 45.0


@pytest.mark.parametrize("interval", [None, 0, -5, "x", True, "nan", "inf", 10**400, [1]])
def test_a_hello_without_interval_ends_the_link(interval):
    with pytest.raises(LinkLost):
        wire.interval_of(wire.Frame(10, {"heartbeat_interval": interval}))
    with pytest.raises(LinkLost):
        wire.interval_of(wire.Frame(10, interval))


def test_identify_resume_and_heartbeat_are_worded_as_documented():
    assert json.loads(wire.identify("T", 1 << 25)) == {
        "op": 2,
        "d": {"token": "QQBot T", "intents": 1 << 25, "shard": [0, 1], "properties": {}},
    }
    assert json.loads(wire.resume("T", SESSION)) == {"op": 6, "d": {"token": "QQBot T", "session_id": "S", "seq": 4}}
    assert json.loads(wire.heartbeat(None)) == {"op": 1, "d": None}
    assert json.loads(wire.heartbeat(3)) == {"op": 1, "d": 3}


@pytest.mark.parametrize(
    "memo",
    [
        None,
        "S",
        {},
        {"id": "S", "seq": 3, "app_id": "2048"},
        {"id": "", "seq": 3, "app_id": "1024"},
        {"id": "S", "seq": None, "app_id": "1024"},
        {"id": "S", "seq": 3, "app_id": "1024", "asked": 1},
    ],
)
def test_only_our_own_session_for_the_same_events_is_resumed(memo):
    assert Session.of_memo(memo, "1024", 33) == Session("", "1024", 33), "one to be begun"


def test_a_session_needs_no_more_than_id_number_and_owner():
    assert Session.of_memo({"id": "S", "seq": 3, "app_id": "1024"}, "1024", 33) == Session("S", "1024", 33, 3)


@pytest.mark.parametrize("d", [None, [], {}, {"session_id": 5}])
def test_ready_without_a_session_ends_the_link(d):
    with pytest.raises(LinkLost):
        Session("", "1024", 33).begun(d)


def test_the_memo_is_the_whole_session():
    memo = SESSION.as_memo(5)
    assert memo == {"id": "S", "seq": 5, "app_id": "1024", "asked": 33, "bot_id": "5", "bot_name": "bot"}
    assert Session.of_memo(memo, "1024", 33) == Session("S", "1024", 33, 5, "5", "bot")


@pytest.mark.parametrize(
    "chat_type, kind, path",
    [
        ("dm", "c2c", "/v2/users/U1/messages"),
        ("group", "group", "/v2/groups/U1/messages"),
        ("channel", "channel", "/channels/U1/messages"),
        ("dm", "guild_dm", "/dms/U1/messages"),
        ("group", "", "/v2/groups/U1/messages"),
    ],
)
def test_each_kind_of_chat_has_its_address(chat_type, kind, path):
    assert wire.path_of(part(chat_type=chat_type, kind=kind).peer) == path


def test_a_chat_id_cannot_leave_its_place_in_the_address():
    assert wire.path_of(part(chat_id="../../x?y#z").peer) == "/v2/users/..%2F..%2Fx%3Fy%23z/messages"


def test_a_message_without_chat_is_refused():
    with pytest.raises(SendRefused):
        wire.path_of(part(chat_id="").peer)


def test_a_reply_carries_the_rows_number_and_it_is_the_same_on_a_retry():
    first = wire.message(part(reply_ref={"msg_id": "M"}))
    again = wire.message(part(reply_ref={"msg_id": "M"}, attempt=3))
    assert first == again == {"content": "hi", "msg_type": 0, "msg_id": "M", "msg_seq": 2}


def test_a_message_that_answers_nothing_carries_no_number():
    assert wire.message(part()) == {"content": "hi", "msg_type": 0}


# bot-docs error-trace/websocket.md, botgo errs/err.go
TABLE = [
    (4001, AuthRejected, False),
    (4002, AuthRejected, False),
    (4003, LinkLost, False),
    (4004, LinkLost, True),
    (4005, LinkLost, False),
    (4006, LinkLost, False),
    (4007, LinkLost, False),
    (4008, Throttled, True),
    (4009, LinkLost, True),
    (4010, ConfError, False),
    (4011, ConfError, False),
    (4012, ConfError, False),
    (4013, ConfError, False),
    (4014, LinkLost, False),
    *[(code, LinkLost, False) for code in range(4900, 4914)],
    (4914, AuthRejected, False),
    (4915, AuthRejected, False),
    (1000, LinkLost, True),
    (1001, LinkLost, True),
    (1006, LinkLost, True),
    (4999, LinkLost, True),
    (None, LinkLost, True),
]


@pytest.mark.parametrize("code, error, keeps", TABLE)
def test_each_close_code_has_its_error_and_keeps_the_session_or_not(code, error, keeps):
    assert type(codes.closed(code, "why")) is error
    assert codes.keeps(code) is keeps


def test_a_lost_link_carries_its_close_code():
    error = codes.closed(4009, "Session timed out")
    assert error.status == 4009 and "4009" in str(error) and "Session timed out" in str(error)


def test_too_fast_waits_a_minute():
    assert codes.closed(4008).after == 60


def test_nothing_granted_is_told_in_words_of_its_own():
    error = codes.closed(codes.NOTHING_GRANTED, "why")
    assert isinstance(error, ConfError) and "qq.yaml" in error.action and "why" in error.text
    told = Words(qq.HELP, lambda: "zh")(Reason(error.code, error.text, error.action))
    assert told.text.startswith("QQ 未授予") and "qq.yaml" in told.action


def test_fatal_closings_say_what_to_do():
    for code, known in codes.CLOSES.items():
        if not issubclass(known.error, (LinkLost, Throttled)):
            assert known.action, code


def test_every_code_of_the_platform_builds_its_error():
    for number, code in qq.CODES.items():
        error = code.build(number, "said")
        assert isinstance(error, HermesError) and str(number) in str(error) and error.code == str(number)


def test_intents_default_to_messages_and_may_be_names_or_their_sum():
    assert intents_of(settings()) == DEFAULT
    assert DEFAULT & NARROW and DEFAULT & Intent.PUBLIC_GUILD_MESSAGES and DEFAULT & Intent.DIRECT_MESSAGE
    assert intents_of(settings(intents=["group_and_c2c", "INTERACTION"])) == 1 << 25 | 1 << 26
    assert intents_of(settings(intents=1 << 30)) == 1 << 30
    assert intents_of(settings(intents=["33554432"])) == 1 << 25


def test_check_names_what_is_wrong():
    assert qq.check(settings()) == []
    assert "app_id" in qq.check(settings(app_id=" "))[0]
    assert "client_secret" in qq.check(settings(client_secret=Secret("")))[0]
    assert "GROUPS" in qq.check(settings(intents=["GROUPS", "GUILDS"]))[0]
    assert "²" in qq.check(settings(intents=["²"]))[0]
    assert "no events" in qq.check(settings(intents=[]))[0]
    assert "no events" in qq.check(settings(intents=["-1"]))[0] and "no events" in qq.check(settings(intents=0))[0]


def test_the_package_says_who_it_is_without_importing_the_adapter():
    asked = settings()
    assert qq.identity(asked) == "1024"
    assert [secret.reveal() for secret in qq.secrets(asked)] == ["s"]
    assert qq.BUDGETS["identify"] == ((1, 5.0), (1000, 86400.0))
