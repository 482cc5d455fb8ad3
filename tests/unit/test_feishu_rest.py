"""What the platform answers is turned into the policy it stands for."""

import json

import pytest

from hermes_green.adapters.feishu import PLATFORM as feishu, conversation
from hermes_green.adapters.feishu.adapter import FeishuAdapter
from hermes_green.adapters.feishu.cards import Cards
from hermes_green.adapters.feishu.chats import receive_id_type
from hermes_green.adapters.feishu.codes import CODES
from hermes_green.adapters.feishu.conversation import SLOWEST, pace_of, refusal
from hermes_green.adapters.feishu.parse import Bot
from hermes_green.adapters.feishu.rest import Endpoint, dial_error, endpoint_of, send_error, take
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import (
    AuthRejected,
    HermesError,
    LinkLost,
    SendRefused,
    SendRetry,
    SendUnknown,
    TextRefused,
    Throttled,
)
from hermes_green.core.model import Part, Peer, Secret
from hermes_green.link import dialogue
from hermes_green.link.http import Answer
from hermes_green.link.websocket import DialOptions, UpgradeRefused
from tests.support.port import FakeContext, FakePort


def said(status=200, headers=None, **body):
    return take(Answer(status, headers or {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    "status, code, error",
    [
        (200, 1, LinkLost),
        (200, 1000040343, LinkLost),
        (200, 1000040350, Throttled),
        (200, 403, AuthRejected),
        (200, 514, AuthRejected),
        (200, 1000040344, AuthRejected),
        (200, 10014, AuthRejected),
        (200, 424242, AuthRejected),
        (500, 424242, LinkLost),
        (429, 99991400, Throttled),
        (502, None, LinkLost),
        (200, None, LinkLost),
        (200, 0, LinkLost),
    ],
)
def test_a_refused_endpoint_says_wait_or_halt(status, code, error):
    got = dial_error("it", said(status, **({} if code is None else {"code": code, "msg": "m"})))
    assert type(got) is error
    if error is AuthRejected:
        assert "app_id" in got.action and "app_secret" in got.action and "feishu.yaml" in got.action


@pytest.mark.parametrize(
    "status, code, error, scope",
    [
        (429, None, SendRetry, "account"),
        (400, 99991400, SendRetry, "account"),
        (400, 230020, SendRetry, "chat"),
        (200, 230049, SendUnknown, None),
        (500, None, SendUnknown, None),
        (504, 300120, SendUnknown, None),
        (500, 12345, SendUnknown, None),
        (400, 230002, SendRefused, None),
        (400, 230025, TextRefused, None),
        (200, 777777, SendRefused, None),
        (200, None, SendUnknown, None),
        (403, None, SendRetry, "account"),
    ],
)
def test_a_refused_send_is_retried_given_up_or_unknown(status, code, error, scope):
    got = send_error(said(status, **({} if code is None else {"code": code, "msg": "m"})))
    assert type(got) is error
    if scope:
        assert got.scope == scope


def test_the_platforms_own_waiting_time_is_obeyed():
    got = send_error(said(429, headers={"x-ogw-ratelimit-reset": "7"}, code=99991400))
    assert got.after == 7
    assert send_error(said(429, headers={"x-ogw-ratelimit-reset": "soon"}, code=99991400)).after == 1


@pytest.mark.parametrize(
    "headers, error",
    [
        ({"handshake-status": "403", "handshake-msg": "no"}, AuthRejected),
        ({"handshake-status": "514", "handshake-autherrcode": "1000040350"}, Throttled),
        ({"handshake-status": "514", "handshake-autherrcode": "1000040343"}, LinkLost),
        ({"handshake-status": "514", "handshake-autherrcode": "77"}, LinkLost),
        ({"handshake-status": "500"}, LinkLost),
        ({}, LinkLost),
        ({"handshake-status": "514", "handshake-autherrcode": "²"}, LinkLost),
    ],
)
def test_a_refused_upgrade_says_why_in_its_headers(headers, error):
    assert type(refusal(headers, LinkLost("refused", status=500))) is error


def test_a_refused_handshake_that_asks_to_wait_is_no_crash() -> None:
    headers = {"handshake-status": "514", "handshake-autherrcode": "99991400", "handshake-msg": "too fast"}
    error = refusal(headers, LinkLost("refused", status=200))
    assert isinstance(error, Throttled) and error.after > 0


def test_an_upgrade_that_is_refused_with_429_waits_as_long_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str, options: DialOptions) -> None:
        raise UpgradeRefused("no", status=429, headers={"Retry-After": "17"})

    monkeypatch.setattr(dialogue, "dial", refused)
    context = FakeContext()
    settings = feishu.Settings(app_id="a", app_secret=Secret("b"))
    talk = conversation.Conversation(FakePort(context), context, settings, ManualClock(), Bot)
    with pytest.raises(Throttled) as asked:
        talk.live(Endpoint("wss://h/ws?service_id=1", 1, None))
    assert asked.value.after == 17.0


def test_every_code_builds_its_error_with_the_number_in_it():
    for number, code in CODES.items():
        error = code.build(number, "detail")
        assert isinstance(error, HermesError) and str(number) in str(error)
        if isinstance(error, AuthRejected):
            assert "feishu.yaml" in error.action


def test_the_address_keeps_its_ticket_when_the_operator_moves_the_socket():
    url = "wss://msg-frontier.feishu.cn/ws/v2?fpid=493&device_id=7&service_id=33554678&ticket=t"
    assert endpoint_of(url, "", {"PingInterval": 90}).service == 33554678
    moved = endpoint_of(url, "ws://127.0.0.1:9", None).url
    assert moved == "ws://127.0.0.1:9/ws/v2?fpid=493&device_id=7&service_id=33554678&ticket=t"
    assert endpoint_of(url, "ws://h:9/other", None).url.startswith("ws://h:9/other?fpid")
    assert endpoint_of("ws://h/x", "", None).service == 0
    largest = 2**31 - 1  # it goes into a frame's int32
    services = [endpoint_of(f"ws://h/x?service_id={number}", "", None).service for number in (largest, largest + 1)]
    assert services == [largest, 0]
    assert "ticket" not in repr(endpoint_of(url, "", None))


def test_the_operators_pace_wins_over_the_servers_and_ours_is_never_slower_than_20_s():
    assert pace_of(None, 120, SLOWEST) == SLOWEST == 20
    assert pace_of(None, 5, SLOWEST) == 5
    assert pace_of(None, 1e-9, SLOWEST) == 0.05, "a server's nonsense must not keep the hub busy"
    assert pace_of(None, None, 7) == 7
    assert pace_of(50, 5, SLOWEST) == 50


class Answers:
    """Stands in for Rest: answers or raises what it was given, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def call(self, method, path, body=None, params=None):
        self.asked.append((path, dict(params or {}), dict(body)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def an_adapter(*answers):
    settings = feishu.Settings(app_id="cli_1", app_secret=Secret("s"), api_base="http://127.0.0.1:1")
    adapter = FeishuAdapter(settings, FakeContext("feishu"))
    adapter._rest = Answers(*answers)
    adapter._chats = Cards(adapter._rest, adapter._ctx, adapter._clock)
    return adapter


def a_part(text="hi", markdown=False, chat="oc_1", **ref):
    peer = Peer(child="feishu", chat_id=chat, chat_type="dm")
    payload = {"rows": [text]} if markdown else {"text": text}
    return Part(key="k" * 32, reply_seq=1, ordinal=0, peer=peer, payload=payload, reply_ref=ref)


def test_a_reply_goes_to_its_message_and_stays_in_its_thread():
    adapter = an_adapter({"message_id": "om_9"}, {"message_id": "om_8"})
    assert adapter.send(a_part(message_id="om_1", in_thread=True), None).id == "om_9"
    adapter.send(a_part(message_id="om_1"), None)
    (path, params, body), (_, _, second) = adapter._rest.asked
    assert path == "/open-apis/im/v1/messages/om_1/reply" and params == {}
    assert body == {"msg_type": "text", "content": '{"text":"hi"}', "uuid": "k" * 32, "reply_in_thread": True}
    assert second["reply_in_thread"] is False


@pytest.mark.parametrize(
    "chat, kind",
    [("oc_1", "chat_id"), ("ou_1", "open_id"), ("on_1", "union_id"), ("a@b.c", "email"), ("9f", "user_id")],
)
def test_without_a_message_to_reply_to_it_goes_to_the_chat(chat, kind):
    adapter = an_adapter({"message_id": "om_9"})
    adapter.send(a_part(chat=chat), None)
    path, params, body = adapter._rest.asked[0]
    assert (path, params, body["receive_id"]) == ("/open-apis/im/v1/messages", {"receive_id_type": kind}, chat)
    assert receive_id_type(chat) == kind


def test_a_recalled_message_is_answered_by_a_new_one_with_the_same_key():
    refused = CODES[230011].build(230011)
    adapter = an_adapter(refused, {"message_id": "om_9"})
    assert adapter.send(a_part(message_id="om_1"), None).id == "om_9"
    assert [ask[0] for ask in adapter._rest.asked][1] == "/open-apis/im/v1/messages"
    assert {ask[2]["uuid"] for ask in adapter._rest.asked} == {"k" * 32}


def test_a_refused_post_is_sent_as_plain_text_once():
    adapter = an_adapter(CODES[230001].build(230001), CODES[230001].build(230001))
    with pytest.raises(SendRefused):
        adapter.send(a_part("**b**", markdown=True), None)
    assert [ask[2]["msg_type"] for ask in adapter._rest.asked] == ["post", "text"]


def test_credentials_refused_during_a_send_halt_the_child_and_keep_the_message():
    adapter = an_adapter(AuthRejected("no", action="check app_secret"))
    with pytest.raises(SendRetry) as caught:
        adapter.send(a_part(), None)
    assert (caught.value.scope, caught.value.after) == ("account", 60)
    assert isinstance(adapter._ctx.rejected[0], AuthRejected)


@pytest.mark.parametrize(
    "chat, expected",
    [
        ("ou_1", ("ou_1", "dm", "ou_1")),
        ("dm:ou_1", ("ou_1", "dm", "ou_1")),
        ("user:9f86", ("9f86", "dm", "9f86")),
        ("ann@x.test", ("ann@x.test", "dm", "ann@x.test")),
        ("dm:oc_1", ("oc_1", "dm", None)),
        ("group:oc_1", ("oc_1", "group", None)),
        ("oc_1", ("oc_1", "group", None)),
        ("zzz", None),
        ("group:ou_1", None),
        ("channel:oc_1", None),
        ("room:oc_1", None),
        ("dm:", None),
        ("", None),
        ("dm:a b", None),
        ("ou_1:x", None),
        ("dm:a/b", None),
        ("group:oc_1?x", None),
        (" on_1 ", ("on_1", "dm", "on_1")),
    ],
)
def test_a_chat_given_by_hand_is_told_by_its_form_or_its_prefix(chat, expected):
    peer = an_adapter().peer_of(chat)
    assert (peer and (peer.chat_id, peer.chat_type, peer.user_id)) == expected


def test_settings_that_cannot_work_are_named_and_secrets_stay_hidden():
    settings = feishu.Settings(app_id=" ", app_secret=Secret(""))
    assert ["app_id" in line or "app_secret" in line for line in feishu.check(settings)] == [True, True]
    good = feishu.Settings(app_id="cli_1", app_secret=Secret("hush"))
    assert feishu.check(good) == [] and feishu.identity(good) == "cli_1"
    assert "hush" not in repr(good) and feishu.secrets(good)[0].reveal() == "hush"


def test_bot_info_and_tokens_are_read_beside_the_code():
    assert said(code=0, bot={"open_id": "ou_b", "app_name": "G"}).data["open_id"] == "ou_b"
    assert said(code=0, tenant_access_token="t", expire=7200).data["expire"] == 7200
    assert Bot("ou_b").is_me({"id": {"open_id": "ou_b"}})
