"""The simulated Feishu holds a client to the platform's rules."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import parse_qs, urlsplit

import gevent
import pytest
import requests
import websocket

from hermes_green.sim import feishu_frames as frames, kit_courier
from hermes_green.sim.feishu import APP_ID, APP_SECRET, FeishuSim
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime

SCHEDULE = (0.2, 0.4, 0.6, 0.8)


class Client:
    """A client that does exactly what it is told, and nothing by itself."""

    def __init__(self, sim: FeishuSim) -> None:
        self.sim = sim
        answer = discover(sim)
        self.url = answer["data"]["URL"]
        self.config = answer["data"]["ClientConfig"]
        self.service = int(parse_qs(urlsplit(self.url).query)["service_id"][0])
        self.ws = websocket.create_connection(self.url, timeout=PATIENCE)

    def ping(self, service: int | None = None) -> None:
        frame = frames.build(self.service if service is None else service, 0, [("type", "ping")], b"")
        self.ws.send_binary(frame.SerializeToString())

    def frame(self) -> Any:
        frame = frames.Frame()
        frame.ParseFromString(self.ws.recv())
        return frame

    def ack(self, frame: Any, code: int = 200) -> None:
        frame.payload = json.dumps({"code": code, "headers": None, "data": None}).encode()
        header = frame.headers.add()
        header.key, header.value = "biz_rt", "1"
        self.ws.send_binary(frame.SerializeToString())

    def event(self) -> tuple[Any, dict[str, Any]]:
        frame = self.frame()
        return frame, json.loads(frame.payload)

    def silent(self, seconds: float) -> bool:
        """Nothing but control frames comes for so long."""
        self.ws.settimeout(seconds)
        try:
            self.ws.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(PATIENCE)
        return False


def discover(sim: FeishuSim, app_id: str = APP_ID, secret: str = APP_SECRET) -> dict[str, Any]:
    body = {"AppID": app_id, "AppSecret": secret}
    answer = requests.post(f"{sim.url}/callback/ws/endpoint", json=body, timeout=PATIENCE)
    assert answer.status_code == 200
    return dict(answer.json())


def token(sim: FeishuSim, secret: str = APP_SECRET) -> dict[str, Any]:
    body = {"app_id": APP_ID, "app_secret": secret}
    path = f"{sim.url}/open-apis/auth/v3/tenant_access_token/internal"
    return dict(requests.post(path, json=body, timeout=PATIENCE).json())


def call(sim: FeishuSim, method: str, path: str, bearer: str = "", **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {bearer or token(sim)['tenant_access_token']}"}
    url = f"{sim.url}/open-apis{path}"
    return requests.request(method, url, json=body or None, headers=headers, timeout=PATIENCE)


def send(sim: FeishuSim, text: str, chat: str = "oc_1", key: str = "", bearer: str = "") -> requests.Response:
    content = json.dumps({"text": text})
    path = "/im/v1/messages?receive_id_type=chat_id"
    return call(sim, "POST", path, bearer, receive_id=chat, msg_type="text", content=content, uuid=key)


@pytest.fixture
def sim() -> Iterator[FeishuSim]:
    """It waits for acknowledgements for longer than a busy machine may hold them up."""
    with FeishuSim(ping_interval=600, redelivery=SCHEDULE, ack_deadline=600) as running:
        yield running


@contextmanager
def hurried(sim: FeishuSim) -> Iterator[None]:
    """What is pushed meanwhile is to be acknowledged in half a second."""
    before, sim.courier._deadline = sim.courier._deadline, 0.5
    yield
    sim.courier._deadline = before


CLIENTS: list[Client] = []


@pytest.fixture(autouse=True)
def clients_closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().ws.shutdown()


def connect(sim: FeishuSim) -> Client:
    client = Client(sim)
    CLIENTS.append(client)
    return client


def violations(sim: FeishuSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


def test_discovery_knows_its_credentials_and_says_what_is_wrong(sim: FeishuSim) -> None:
    assert discover(sim)["code"] == 0
    assert discover(sim, secret="wrong")["code"] == 514
    assert discover(sim, app_id="cli_other")["code"] == 514
    assert discover(sim, secret="")["code"] == 1000040344
    assert sim.state()["dials"] == 4


def test_a_socket_url_opens_once(sim: FeishuSim) -> None:
    client = connect(sim)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(client.url, timeout=PATIENCE)
    assert refused.value.resp_headers["handshake-status"] == "403"
    assert violations(sim) == ["socket URL used twice, or too late, or changed"]


def test_the_51st_connection_is_one_too_many() -> None:
    with FeishuSim(max_connections=1) as sim:
        spare = discover(sim)["data"]["URL"]
        connect(sim)
        assert discover(sim)["code"] == 1000040350
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(spare, timeout=PATIENCE)
        assert refused.value.resp_headers["handshake-status"] == "514"
        assert refused.value.resp_headers["handshake-autherrcode"] == "1000040350"


def test_a_ping_is_answered_with_the_client_s_configuration(sim: FeishuSim) -> None:
    client = connect(sim)
    client.ping()
    pong = client.frame()
    assert (pong.method, frames.headers_of(pong)) == (0, {"type": "pong"})
    assert json.loads(pong.payload) == client.config
    assert client.config["PingInterval"] == 600
    sim.fault("mute_acks")
    client.ping()
    assert client.silent(0.2)
    assert [entry["answered"] for entry in sim.record(kind="beat")] == [True, False]
    assert violations(sim) == []


def test_a_client_without_heartbeats_is_cut() -> None:
    with FeishuSim(ping_interval=0.1) as sim:
        connect(sim)
        assert sim.wait("close")["reason"] == "heartbeat timeout"
        assert violations(sim) == ["no ping for 0.3 s"]


def test_frames_without_their_required_fields_are_refused(sim: FeishuSim) -> None:
    client = connect(sim)
    frame = frames.Frame()
    frame.method = 0
    client.ws.send_binary(frame.SerializePartialToString())
    assert "required fields missing: SeqID, LogID, service" in sim.wait("violation")["text"]
    assert sim.wait("close")["code"] == 1002


def test_native_pings_come_and_must_be_answered() -> None:
    with FeishuSim(native_ping=0.1) as sim:
        client = connect(sim)
        opcode, _ = client.ws.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_PING


def test_a_direct_message_is_pushed_and_its_ack_ends_it(sim: FeishuSim) -> None:
    client = connect(sim)
    said = sim.say(text="hello", user="ou_alice")
    frame, event = client.event()
    assert event["header"]["event_type"] == "im.message.receive_v1"
    assert event["header"]["event_id"] == said["event_id"]
    message = event["event"]["message"]
    assert (message["chat_type"], message["message_id"]) == ("p2p", said["message_id"])
    assert json.loads(message["content"]) == {"text": "hello"}
    assert "mentions" not in message and "thread_id" not in message
    assert event["event"]["sender"]["sender_id"]["user_id"] is None
    client.ack(frame)
    ack = sim.wait("ack")
    assert (ack["event_id"], ack["code"], ack["late"]) == (said["event_id"], 200, False)
    wait_for(lambda: sim.state()["unacked"] == [], what="the end of it")
    assert client.silent(0.3)
    assert violations(sim) == []


@pytest.mark.parametrize("how", ["missing", "code 500", "late", "link lost"])
def test_what_was_not_acked_well_comes_again_with_the_same_ids(
    sim: FeishuSim, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(sim)
    with hurried(sim) if how == "missing" else nullcontext():
        sim.say(text="again")
        frame, first = client.event()
    if how == "code 500":
        client.ack(frame, code=500)
    elif how == "late":
        clock = StandingTime(monkeypatch, kit_courier)
        clock.advance(601)
        client.ack(frame)
        assert sim.wait("ack")["late"]
        clock.advance(-601)
    elif how == "link lost":
        sim.fault("rst")
        client = connect(sim)
    frame2, second = client.event()
    assert second == first
    assert frames.headers_of(frame2)["message_id"] != frames.headers_of(frame)["message_id"]
    client.ack(frame2)
    sim.wait("ack", link=sim.links[0].id, code=200, late=False)
    wait_for(lambda: sim.state()["unacked"] == [], what="the end of it")
    assert client.silent(0.3)
    assert violations(sim) == []


def test_after_the_last_pause_of_the_schedule_an_event_is_given_up() -> None:
    with FeishuSim(redelivery=(0.05, 0.05), ack_deadline=0.1) as sim:
        said = sim.say(text="to nobody")
        assert sim.wait("given_up")["event_id"] == said["event_id"]
        assert [entry["attempt"] for entry in sim.record(kind="push")] == [1, 2, 3]
        assert sim.state()["unacked"] == []


def test_an_event_in_parts_is_whole_again_in_any_order(sim: FeishuSim) -> None:
    client = connect(sim)
    sim.say(text="long " * 200, parts=3, shuffled=True)
    got = [client.frame() for _ in range(3)]
    headers = [frames.headers_of(frame) for frame in got]
    assert [header["seq"] for header in headers] == ["2", "1", "0"]
    assert {header["sum"] for header in headers} == {"3"}
    whole = json.loads(b"".join(frame.payload for frame in reversed(got)))
    assert json.loads(whole["event"]["message"]["content"])["text"] == "long " * 200
    client.ack(got[-1])
    sim.wait("ack")
    assert violations(sim) == []


def test_acks_that_are_not_the_frame_itself_are_faults(sim: FeishuSim) -> None:
    client = connect(sim)
    with hurried(sim):
        sim.say(text="one")
        frame, _ = client.event()
    frame.SeqID += 1
    client.ack(frame)
    sim.wait("violation")
    frame, _ = client.event()
    client.ack(frame)
    sim.wait("ack")
    client.ack(frame)
    sim.wait("violation", since=sim.log.last)
    assert "SeqID/LogID" in violations(sim)[0]
    assert "twice" in violations(sim)[1]


def test_each_event_goes_to_one_of_the_connections(sim: FeishuSim) -> None:
    first, second = connect(sim), connect(sim)
    for number in range(20):
        sim.say(text=str(number), chat=f"oc_{number}")
    wait_for(lambda: len(sim.record(kind="push")) >= 20, what="all of them")
    pushes = [entry["link"] for entry in sim.record(kind="push") if entry["attempt"] == 1]
    assert len(pushes) == 20
    assert set(pushes) == {link.id for link in sim.links}
    assert first.service == second.service


def test_held_order_keeps_a_chat_s_next_message_until_the_ack() -> None:
    with FeishuSim(hold_order=True, redelivery=SCHEDULE, ack_deadline=600) as sim:
        client = connect(sim)
        for text in ("a1", "a2"):
            sim.say(text=text, chat="oc_a")
        sim.say(text="b1", chat="oc_b")
        got = [client.event() for _ in range(2)]
        texts = [json.loads(event["event"]["message"]["content"])["text"] for _, event in got]
        assert sorted(texts) == ["a1", "b1"]
        assert sim.state()["held"] == 1
        client.ack(got[texts.index("a1")][0])
        assert json.loads(client.event()[1]["event"]["message"]["content"])["text"] == "a2"


def test_duplicates_and_redeliveries_carry_the_same_event(sim: FeishuSim) -> None:
    client = connect(sim)
    sim.fault("duplicate", count=1)
    sim.say(text="twice")
    frame1, one = client.event()
    frame2, two = client.event()
    assert one == two
    client.ack(frame1)
    client.ack(frame2)
    sim.wait("ack", since=sim.wait("ack")["n"], timeout=PATIENCE)
    sim.fault("redeliver")
    frame3, three = client.event()
    assert three == one
    client.ack(frame3)
    assert client.silent(0.3)
    assert violations(sim) == []


def test_the_ack_of_a_forced_redelivery_counts_too() -> None:
    with FeishuSim(ping_interval=600, redelivery=(600,), ack_deadline=600) as sim:
        client = connect(sim)
        with hurried(sim):
            sim.say(text="first push is ignored")
            client.frame()
        sim.fault("redeliver")
        frame, _ = client.event()
        client.ack(frame)
        sim.wait("ack")
        wait_for(lambda: sim.state()["unacked"] == [], what="the end of it")
        assert client.silent(0.3)


def test_groups_mention_the_bot_and_threads_carry_their_root(sim: FeishuSim) -> None:
    client = connect(sim)
    root = sim.say(text="hello", chat="oc_g", chat_type="group")
    _, event = client.event()
    message = event["event"]["message"]
    assert message["chat_type"] == "group"
    assert json.loads(message["content"])["text"] == "@_user_1 hello"
    assert message["mentions"][0]["mentioned_type"] == "bot"
    bot = call(sim, "GET", "/bot/v3/info").json()["bot"]
    assert message["mentions"][0]["id"]["open_id"] == bot["open_id"]
    ask = "ask @<2> and @<1>"
    sim.say(text=ask, chat="oc_g", chat_type="group", mentions=["bot", "all"], reply_to=root["message_id"])
    message = client.event()[1]["event"]["message"]
    assert json.loads(message["content"])["text"] == "ask @_all and @_user_1"
    assert (message["root_id"], message["parent_id"]) == (root["message_id"], root["message_id"])
    assert "thread_id" not in message
    sim.say(text="deeper", chat="oc_g", chat_type="group", reply_to=root["message_id"], thread=True)
    message = client.event()[1]["event"]["message"]
    assert message["thread_id"].startswith("omt_")
    assert message["root_id"] == message["parent_id"] == root["message_id"]


@pytest.mark.parametrize(
    ("what", "event_type"),
    [
        ({"message_type": "post", "text": "a\nb"}, "im.message.receive_v1"),
        ({"message_type": "image"}, "im.message.receive_v1"),
        ({"message_type": "file", "text": "r.pdf"}, "im.message.receive_v1"),
        ({"message_type": "sticker"}, "im.message.receive_v1"),
        ({"message_type": "hologram"}, "im.message.receive_v1"),
        ({"kind": "entered"}, "im.chat.access_event.bot_p2p_chat_entered_v1"),
        ({"kind": "added"}, "im.chat.member.bot.added_v1"),
        ({"kind": "removed"}, "im.chat.member.bot.deleted_v1"),
        ({"kind": "reaction", "message_id": "om_1", "user": "bot"}, "im.message.reaction.created_v1"),
        ({"kind": "card_action", "message_id": "om_1", "value": {"a": 1}}, "card.action.trigger"),
        ({"kind": "raw", "event_type": "contact.user.created_v3", "event": {}}, "contact.user.created_v3"),
    ],
)
def test_everything_users_do_is_an_event(sim: FeishuSim, what: dict[str, Any], event_type: str) -> None:
    client = connect(sim)
    requests.post(f"{sim.url}/_sim/say", json=what, timeout=PATIENCE).raise_for_status()
    frame, event = client.event()
    assert event["header"]["event_type"] == event_type
    client.ack(frame)
    sim.wait("ack")


def test_edits_and_recalls_name_the_message(sim: FeishuSim) -> None:
    client = connect(sim)
    said = sim.say(text="typo")
    client.ack(client.event()[0])
    sim.say(kind="edit", message_id=said["message_id"], text="type")
    sim.say(kind="recall", message_id=said["message_id"])
    got = {event["header"]["event_type"]: event["event"] for _, event in (client.event(), client.event())}
    assert got["im.message.recalled_v1"]["message_id"] == said["message_id"]
    assert got["im.message.updated_v1"]["message_id"] == said["message_id"]
    path = f"/im/v1/messages/{said['message_id']}/reply"
    assert call(sim, "POST", path, msg_type="text", content='{"text":"x"}').json()["code"] == 230011


def test_callbacks_come_once_and_their_answer_is_read_from_the_ack(sim: FeishuSim) -> None:
    client = connect(sim)
    with hurried(sim):
        sim.say(kind="card_action", message_id="om_1")
        client.frame()
    assert client.silent(1.2)
    assert sim.wait("given_up")["message_id"] == "om_1"


def test_tokens_expire_are_checked_and_can_be_revoked(sim: FeishuSim) -> None:
    assert token(sim, secret="wrong")["code"] == 10014
    first = token(sim)
    assert (first["code"], first["expire"]) == (0, 7200)
    assert token(sim)["tenant_access_token"] == first["tenant_access_token"]
    assert send(sim, "x", bearer="t-unknown").json()["code"] == 99991663
    requests.post(f"{sim.url}/_sim/revoke", json={}, timeout=PATIENCE).raise_for_status()
    assert send(sim, "x", bearer=first["tenant_access_token"]).json()["code"] == 99991663
    assert requests.get(f"{sim.url}/open-apis/bot/v3/info", timeout=PATIENCE).json()["code"] == 99991661
    with FeishuSim(token_seconds=0.2) as short:
        bearer = token(short)["tenant_access_token"]
        gevent.sleep(0.3)
        assert send(short, "x", bearer=bearer).json()["code"] == 99991663


def test_the_same_uuid_sends_once(sim: FeishuSim) -> None:
    key = uuid.uuid4().hex
    first, second = send(sim, "hi", key=key).json(), send(sim, "hi", key=key).json()
    assert first["data"]["message_id"] == second["data"]["message_id"]
    assert [(entry["text"], entry["duplicate"]) for entry in sim.record(kind="send")] == [("hi", False), ("hi", True)]
    assert sim.state()["sent"] == 1
    assert violations(sim) == []
    send(sim, "something else", key=key)
    assert violations(sim) == ["a uuid was used again for another message"]
    assert send(sim, "x", key="k" * 51).json()["code"] == 99992402


def test_a_send_whose_answer_was_lost_is_found_again_by_its_uuid(sim: FeishuSim) -> None:
    bearer = token(sim)["tenant_access_token"]
    sim.fault("lose_answer", count=1)
    with pytest.raises(requests.ConnectionError):
        send(sim, "hi", key="k1", bearer=bearer)
    assert send(sim, "hi", key="k1", bearer=bearer).json()["code"] == 0
    assert sim.state()["sent"] == 1


def test_replies_know_their_message_and_thread(sim: FeishuSim) -> None:
    said = sim.say(text="q", chat="oc_g", chat_type="group")
    path = f"/im/v1/messages/{said['message_id']}/reply"
    content = json.dumps({"text": "a"})
    plain = call(sim, "POST", path, msg_type="text", content=content).json()["data"]
    assert (plain["parent_id"], plain["chat_id"]) == (said["message_id"], "oc_g")
    threaded = call(sim, "POST", path, msg_type="text", content=content, reply_in_thread=True).json()["data"]
    assert threaded["thread_id"].startswith("omt_")
    assert [entry["in_thread"] for entry in sim.record(kind="send")] == ["", threaded["thread_id"]]
    unknown = call(sim, "POST", "/im/v1/messages/om_none/reply", msg_type="text", content=content)
    assert unknown.json()["code"] == 99992354


def test_posts_and_cards_are_read_as_text(sim: FeishuSim) -> None:
    path = "/im/v1/messages?receive_id_type=chat_id"
    post = {"zh_cn": {"title": "T", "content": [[{"tag": "md", "text": "**a**"}], [{"tag": "text", "text": "b"}]]}}
    call(sim, "POST", path, receive_id="oc_1", msg_type="post", content=json.dumps(post)).raise_for_status()
    card = {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": "c"}]}}
    answer = call(sim, "POST", path, receive_id="oc_1", msg_type="interactive", content=json.dumps(card)).json()
    assert [entry["text"] for entry in sim.record(kind="send")] == ["T\n**a**\nb", "c"]
    card["body"] = {"elements": [{"tag": "markdown", "content": "d"}]}
    message_id = answer["data"]["message_id"]
    assert call(sim, "PATCH", f"/im/v1/messages/{message_id}", content=json.dumps(card)).json()["code"] == 0
    assert sim.record(kind="patch")[0]["text"] == "d"


@pytest.mark.parametrize(
    ("msg_type", "content", "code"),
    [
        ("text", {"text": ""}, 230001),
        ("text", {"text": "\u4e2d" * 51_200}, 230025),
        ("post", {"zh_cn": {"content": [[{"tag": "text", "text": "x" * 31_000}]]}}, 230025),
        ("post", {"zh_cn": {"content": [[{"tag": "blink", "text": "x"}]]}}, 230001),
        ("interactive", {"config": {}}, 230099),
        ("telepathy", {"text": "x"}, 230001),
    ],
)
def test_bad_content_is_refused(sim: FeishuSim, msg_type: str, content: dict[str, Any], code: int) -> None:
    path = "/im/v1/messages?receive_id_type=chat_id"
    answer = call(sim, "POST", path, receive_id="oc_1", msg_type=msg_type, content=json.dumps(content))
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_edits_are_for_own_texts_twenty_times(sim: FeishuSim) -> None:
    message_id = send(sim, "v0").json()["data"]["message_id"]
    bearer = token(sim)["tenant_access_token"]
    path = f"/im/v1/messages/{message_id}"
    for number in range(20):
        content = json.dumps({"text": f"v{number + 1}"})
        assert call(sim, "PUT", path, bearer, msg_type="text", content=content).json()["code"] == 0
    assert call(sim, "PUT", path, bearer, msg_type="text", content=content).json()["code"] == 230072
    theirs = sim.say(text="mine")["message_id"]
    foreign = call(sim, "PUT", f"/im/v1/messages/{theirs}", bearer, msg_type="text", content=content)
    assert foreign.json()["code"] == 230071
    assert call(sim, "DELETE", path, bearer).json()["code"] == 0
    assert call(sim, "PUT", path, bearer, msg_type="text", content=content).json()["code"] == 230011


def test_rates_are_limited_when_asked(sim: FeishuSim) -> None:
    with FeishuSim(chat_rate=(2, 600)) as limited:
        codes = [send(limited, str(number)).json()["code"] for number in range(3)]
        assert codes == [0, 0, 230020]
        assert send(limited, "elsewhere", chat="oc_2").json()["code"] == 0
    with FeishuSim(app_rate=(1, 600)) as limited:
        send(limited, "one")
        answer = send(limited, "two")
        assert (answer.status_code, answer.json()["code"]) == (429, 99991400)
        assert 500 <= int(answer.headers["x-ogw-ratelimit-reset"]) <= 600
    sim.fault("429", after=3)
    answer = send(sim, "x")
    assert (answer.status_code, answer.json()["code"]) == (429, 99991400)
    assert answer.headers["x-ogw-ratelimit-reset"] == "3"


def test_a_chat_the_bot_was_removed_from_takes_nothing(sim: FeishuSim) -> None:
    sim.say(kind="removed", chat="oc_g")
    assert send(sim, "x", chat="oc_g").json()["code"] == 230002
    assert send(sim, "x", chat="nonsense").json()["code"] == 230001


@pytest.mark.parametrize(("status", "http", "code"), [(503, 503, 1), (1000040350, 200, 1000040350), (514, 200, 514)])
def test_refused_dials_speak_http_or_the_platform_s_codes(sim: FeishuSim, status: int, http: int, code: int) -> None:
    url = discover(sim)["data"]["URL"]
    sim.fault("refuse", status=status)
    answer = requests.post(f"{sim.url}/callback/ws/endpoint", json={}, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (http, code)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(url, timeout=PATIENCE)
    assert refused.value.resp_headers["handshake-status"] in (str(status), "514")


def test_the_command_line_serves_until_it_is_told_to_stop() -> None:
    code = (
        "from gevent import monkey; monkey.patch_all(); import sys, hermes_green.sim as sim; "
        "sys.exit(sim.main(sys.argv[1], sys.argv[2:]))"
    )
    argv = [sys.executable, "-c", code, "feishu", "--redelivery", "1,3", "--ping-interval", "7", "--hold-order"]
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert child.stdout is not None
        line = child.stdout.readline().split()
        assert line[:2] == ["sim", "feishu"]
        assert line[3:] == [f"app_id={APP_ID}", f"app_secret={APP_SECRET}"]
        body = {"AppID": APP_ID, "AppSecret": APP_SECRET}
        answer = requests.post(f"{line[2]}/callback/ws/endpoint", json=body, timeout=PATIENCE).json()
        assert answer["data"]["ClientConfig"]["PingInterval"] == 7
        assert requests.get(f"{line[2]}/_sim/state", timeout=PATIENCE).json()["dials"] == 1
        child.terminate()
        assert child.wait(timeout=PATIENCE) == 0
    finally:
        child.kill()
        child.wait()


def test_times_are_strings_of_milliseconds(sim: FeishuSim) -> None:
    client = connect(sim)
    sim.say(text="now")
    created = client.event()[1]["event"]["message"]["create_time"]
    assert isinstance(created, str) and abs(int(created) / 1000 - time.time()) < 60
