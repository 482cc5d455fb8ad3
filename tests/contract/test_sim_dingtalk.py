"""The simulated DingTalk holds a client to the platform's rules."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import quote_plus

import gevent
import pytest
import requests
import websocket

from hermes_green.sim import dingtalk, dingtalk_gate, dingtalk_rest, dingtalk_router
from hermes_green.sim.dingtalk import CLIENT_ID, CLIENT_SECRET, DingTalkSim
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime

ROBOT = "/v1.0/im/bot/messages/get"
JSON = {"Accept": "application/json"}
TOPICS = ({"type": "CALLBACK", "topic": ROBOT}, {"type": "EVENT", "topic": "*"})


class Client:
    """A client that does exactly what it is told, and nothing by itself."""

    def __init__(self, sim: DingTalkSim, ticket: str = "") -> None:
        self.ws = websocket.create_connection(
            f"{sim.ws_url}?ticket={quote_plus(ticket or str(opened(sim).json()['ticket']))}", timeout=PATIENCE
        )
        CLIENTS.append(self)

    def frame(self, kind: str = "CALLBACK", topic: str = "") -> dict[str, Any]:
        """The next frame of that type and topic."""
        while True:
            frame = json.loads(self.ws.recv())
            if frame["type"] == kind and topic in ("", frame["headers"]["topic"]):
                assert isinstance(frame["data"], str)
                return dict(frame)

    def ack(self, frame: dict[str, Any], data: Any = None, code: int = 200, **headers: Any) -> None:
        told = {"contentType": "application/json", "messageId": frame["headers"]["messageId"], **headers}
        body = {"code": code, "headers": told, "message": "OK", "data": json.dumps(data or {"response": None})}
        self.ws.send(json.dumps(body))


CLIENTS: list[Client] = []


@pytest.fixture(autouse=True)
def clients_closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().ws.shutdown()


@pytest.fixture
def sim() -> Iterator[DingTalkSim]:
    with DingTalkSim(ping_every=0.0, keepalive_every=0.0, event_ack=0.2, event_again=0.2, ping_within=600) as running:
        yield running


def opened(
    sim: DingTalkSim, secret: str = CLIENT_SECRET, topics: Any = TOPICS, headers: Any = JSON
) -> requests.Response:
    body = {"clientId": CLIENT_ID, "clientSecret": secret, "subscriptions": list(topics), "ua": "test"}
    return requests.post(f"{sim.url}/v1.0/gateway/connections/open", json=body, headers=headers, timeout=PATIENCE)


def token(sim: DingTalkSim) -> str:
    body = {"appKey": CLIENT_ID, "appSecret": CLIENT_SECRET}
    return str(requests.post(f"{sim.url}/v1.0/oauth2/accessToken", json=body, timeout=PATIENCE).json()["accessToken"])


def call(sim: DingTalkSim, method: str, path: str, bearer: str = "", **body: Any) -> requests.Response:
    headers = {"x-acs-dingtalk-access-token": bearer or token(sim)}
    return requests.request(method, sim.url + path, json=body, headers=headers, timeout=PATIENCE)


def to_user(sim: DingTalkSim, *users: str, **more: Any) -> requests.Response:
    param = json.dumps({"content": "hello"})
    body = {"robotCode": CLIENT_ID, "userIds": list(users), "msgKey": "sampleText", "msgParam": param, **more}
    return call(sim, "POST", "/v1.0/robot/oToMessages/batchSend", **body)


def by_webhook(url: str, text: str = "hello", **body: Any) -> dict[str, Any]:
    answer = requests.post(url, json=body or {"msgtype": "text", "text": {"content": text}}, timeout=PATIENCE)
    assert answer.status_code == 200, "whatever happened"
    return dict(answer.json())


def violations(sim: DingTalkSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


# --- connections -------------------------------------------------------------------------------------


def test_a_connection_is_given_to_the_right_credentials_in_json_if_asked_for(sim: DingTalkSim) -> None:
    assert set(opened(sim).json()) == {"endpoint", "ticket"}
    assert opened(sim, secret="wrong").status_code == 401
    assert opened(sim, topics=()).status_code == 400
    assert opened(sim, headers={"Accept": "*/*"}).text.startswith("<?xml")


def test_a_ticket_opens_one_connection_within_its_time(sim: DingTalkSim) -> None:
    ticket = opened(sim).json()["ticket"]
    Client(sim, ticket)
    for bad in (ticket, "made-up"):
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            Client(sim, bad)
        assert caught.value.status_code == 401
    sim.options = replace(sim.options, ticket_seconds=0.0)
    with pytest.raises(websocket.WebSocketBadStatusException):
        Client(sim)
    assert len(violations(sim)) == 3


def test_a_connection_is_greeted_pinged_and_kept_alive(sim: DingTalkSim) -> None:
    sim.options = replace(sim.options, ping_every=0.1, keepalive_every=0.1)
    client = Client(sim)
    for topic in ("CONNECTED", "REGISTERED"):
        client.frame("SYSTEM", topic)
    client.frame("SYSTEM", "KEEPALIVE")
    ping = client.frame("SYSTEM", "ping")
    client.ack(ping, json.loads(ping["data"]))
    sim.wait("beat")
    client.ack(client.frame("SYSTEM", "ping"), {"opaque": "another"})
    sim.wait("violation")


def test_a_client_that_answers_no_pings_is_told_to_go(sim: DingTalkSim) -> None:
    sim.options = replace(sim.options, ping_every=0.1, ping_within=0.2)
    client = Client(sim)
    told = client.frame("SYSTEM", "disconnect")
    assert json.loads(told["data"]) == {"reason": "persistent connection is timeout"}
    assert violations(sim)


def test_nothing_is_routed_to_a_connection_whose_end_is_announced_and_then_it_is_cut(sim: DingTalkSim) -> None:
    client = Client(sim)
    sim.fault("disconnect", grace=0.3)
    sim.say(text="too late")
    client.frame("SYSTEM", "disconnect")
    with pytest.raises(websocket.WebSocketException):
        client.frame()
    assert sim.wait("lost")["reason"] == "no connection"


def test_a_connection_expires(sim: DingTalkSim) -> None:
    sim.options = replace(sim.options, expire_after=0.2)
    told = Client(sim).frame("SYSTEM", "disconnect")
    assert json.loads(told["data"]) == {"reason": "connection is expired"}


def test_too_many_quick_connections_make_the_platform_deaf_for_a_while(
    sim: DingTalkSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StandingTime(monkeypatch, dingtalk, dingtalk_gate, dingtalk_router)
    sim.options = replace(sim.options, stuck_opens=3, stuck_window=600.0, stuck_seconds=600.0)
    clients = [Client(sim) for _ in range(3)]
    wait_for(lambda: sim.state()["stuck"] > 0, what="stuck routing")
    sim.say(text="gone")
    assert sim.wait("lost")["reason"] == "stuck routing"
    assert to_user(sim, "alice").status_code == 200, "the rest works"
    clock.advance(601)
    assert sim.state()["stuck"] == 0, "the end of it"
    sim.say(text="heard again")
    wait_for(lambda: sim.record(kind="push"), what="a push")
    assert len(clients) == len(sim.links)


# --- pushes ------------------------------------------------------------------------------------------


def test_a_message_is_lost_once_when_its_connection_ends_in_the_middle_of_the_push(sim: DingTalkSim) -> None:
    Client(sim)
    wait_for(lambda: sim.links, what="the link")
    (link,) = sim.links

    def cut(raw: str) -> bool:
        link.rst()
        return False

    link.send = cut  # type: ignore[method-assign]
    told = sim.say(text="hello")
    assert [entry["message_id"] for entry in sim.record(kind="lost")] == [told["message_id"]]
    assert sim.state()["lost"] == 1


def test_a_message_is_pushed_once_to_one_of_the_connections_and_never_again(sim: DingTalkSim) -> None:
    clients = [Client(sim), Client(sim)]
    wait_for(lambda: len(sim.links) == 2)
    for number in range(30):
        sim.say(text=f"n{number}")
    links = {entry["link"] for entry in sim.record(kind="push")}
    assert len(links) == 2 and len(sim.record(kind="push")) == 30
    gevent.sleep(0.6)
    assert len(sim.record(kind="push")) == 30
    for client in clients:
        client.ws.shutdown()
    wait_for(lambda: sim.state()["lost"] == 30, what="un-acknowledged messages given up")


def test_a_message_looks_as_captured(sim: DingTalkSim) -> None:
    client = Client(sim)
    sim.say(text="hi", user="bob", chat_type="group")
    frame = client.frame()
    assert frame["headers"]["topic"] == ROBOT and frame["specVersion"] == "1.0"
    data = json.loads(frame["data"])
    assert (data["conversationType"], data["text"], data["senderStaffId"]) == ("2", {"content": " hi"}, "bob")
    assert data["isInAtList"] and data["sessionWebhookExpiredTime"] > data["createAt"]
    client.ack(frame)
    assert sim.wait("ack")["data"] == {"response": None}


def test_an_event_is_pushed_until_it_is_acknowledged_for_good(sim: DingTalkSim) -> None:
    client = Client(sim)
    wait_for(lambda: sim.links)
    event = sim.say(kind="event", event_type="user_add_org")["event_id"]
    first = client.frame("EVENT")
    assert first["headers"]["eventId"] == event and first["headers"]["eventType"] == "user_add_org"
    client.ack(client.frame("EVENT"), {"status": "LATER", "message": ""})
    client.ack(client.frame("EVENT"), {"status": "SUCCESS", "message": ""})
    wait_for(lambda: sim.state()["unacked"] == [], what="the event's end")


def test_what_was_not_subscribed_is_not_pushed(sim: DingTalkSim) -> None:
    Client(sim, opened(sim, topics=TOPICS[1:]).json()["ticket"])
    wait_for(lambda: sim.links)
    sim.say(text="nobody asked")
    assert sim.wait("lost")["reason"] == "no connection"


def test_what_was_lost_is_not_among_what_comes_a_second_time(sim: DingTalkSim) -> None:
    sim.say(text="nobody is there")
    client = Client(sim)
    wait_for(lambda: sim.links)
    sim.say(text="heard")
    sim.fault("redeliver")
    texts = [json.loads(client.frame("CALLBACK")["data"])["text"]["content"] for _ in range(2)]
    assert texts == ["heard", "heard"]


def test_a_chat_s_next_message_waits_for_the_one_before() -> None:
    with DingTalkSim(hold_order=True, ping_every=0.0) as sim:
        client = Client(sim)
        wait_for(lambda: sim.links)
        assert [sim.say(text=text)["held"] for text in ("one", "two")] == [False, True]
        first = client.frame()
        assert sim.state()["held"] == 1
        client.ack(first)
        assert json.loads(client.frame()["data"])["text"] == {"content": "two"}


@pytest.mark.parametrize(
    "raw, why",
    [
        ("{", "not an acknowledgement"),
        ("[]", "not a JSON object"),
        ('{"code":200,"headers":{}}', "no headers.messageId"),
        ('{"code":200,"headers":{"messageId":"x"}}', "contentType"),
        ('{"code":"200","headers":{"messageId":"x","contentType":"application/json"}}', "code"),
        ('{"code":200,"headers":{"messageId":"x","contentType":"application/json"},"data":{}}', "data"),
        ('{"code":200,"headers":{"messageId":"x","contentType":"application/json"},"data":"{}"}', "nothing"),
    ],
)
def test_a_bad_acknowledgement_is_noted(sim: DingTalkSim, raw: str, why: str) -> None:
    Client(sim).ws.send(raw)
    assert why in sim.wait("violation")["text"]


def test_an_acknowledgement_belongs_to_the_connection_of_its_push_and_comes_once(sim: DingTalkSim) -> None:
    first = Client(sim)
    wait_for(lambda: sim.links)
    sim.say(text="mine")
    frame = first.frame()
    Client(sim).ack(frame)
    assert "acknowledged on link" in sim.wait("violation")["text"]
    first.ack(frame)
    first.ack(frame)
    wait_for(lambda: any("twice" in text for text in violations(sim)), what="the second one noted")


# --- sends -------------------------------------------------------------------------------------------


def webhook_of(sim: DingTalkSim) -> str:
    client = Client(sim)
    wait_for(lambda: sim.links)
    sim.say(text="hello?")
    frame = client.frame()
    client.ack(frame)
    return str(json.loads(frame["data"])["sessionWebhook"])


def test_a_webhook_needs_no_token_and_says_what_is_wrong_in_its_errcode(sim: DingTalkSim) -> None:
    url = webhook_of(sim)
    assert by_webhook(url, "one") == {"errcode": 0, "errmsg": "ok"}
    assert by_webhook(url, "x" * 20_001)["errcode"] == 460101
    assert by_webhook(url, msgtype="markdown", markdown={"text": "no title"})["errcode"] == 400402
    assert by_webhook(url, msgtype="poem")["errcode"] == 400402
    assert by_webhook(url + "x")["errcode"] == 300005
    assert [entry["text"] for entry in sim.record(kind="send")] == ["one"]
    sim.fault("webhooks")
    assert by_webhook(url)["errcode"] == 300005


def test_more_than_twenty_messages_a_minute_block_a_webhook(sim: DingTalkSim) -> None:
    url = webhook_of(sim)
    assert [by_webhook(url)["errcode"] for _ in range(21)] == [0] * 20 + [130101]
    assert by_webhook(url)["errcode"] == 130101
    assert len(violations(sim)) == 2


def test_a_webhook_ends_with_its_time(sim: DingTalkSim) -> None:
    sim.options = replace(sim.options, webhook_seconds=0.0)
    assert by_webhook(webhook_of(sim))["errcode"] == 300005


def test_the_api_needs_a_token_and_gives_the_same_while_it_lives(sim: DingTalkSim) -> None:
    first = token(sim)
    assert token(sim) == first
    sim.fault("token")
    assert call(sim, "POST", "/v1.0/robot/oToMessages/batchSend", bearer=first).status_code == 401
    assert token(sim) != first
    old = requests.get(f"{sim.url}/gettoken?appkey={CLIENT_ID}&appsecret={CLIENT_SECRET}", timeout=PATIENCE).json()
    assert old["errcode"] == 0 and old["access_token"] == token(sim)


def test_whom_a_message_did_not_reach_stands_in_a_good_answer(sim: DingTalkSim) -> None:
    sim.say(text="hi", user="alice")
    sim.fault("flow", users=1)
    answer = to_user(sim, "alice", "nobody").json()
    assert (answer["flowControlledStaffIdList"], answer["invalidStaffIdList"]) == (["alice"], ["nobody"])
    assert to_user(sim, "alice").json()["flowControlledStaffIdList"] == []
    assert [entry["chat"] for entry in sim.record(kind="send")] == ["cid-alice=="]


@pytest.mark.parametrize("more", [{"robotCode": "x"}, {"msgKey": "x"}, {"msgParam": "{}"}, {"userIds": []}])
def test_a_message_that_is_wrong_is_refused(sim: DingTalkSim, more: dict[str, Any]) -> None:
    assert to_user(sim, "alice", **more).status_code == 400


def test_calls_beyond_the_rate_are_forbidden_for_a_second(
    sim: DingTalkSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StandingTime(monkeypatch, dingtalk_rest)
    sim.options = replace(sim.options, api_rate=2)
    statuses = [to_user(sim, "alice").status_code for _ in range(3)]
    assert statuses == [200, 200, 403]
    clock.advance(1.05)
    assert to_user(sim, "alice").status_code == 200


def test_a_file_that_was_not_uploaded_cannot_be_sent(sim: DingTalkSim) -> None:
    sim.say(text="hi", user="alice")
    files = {"media": ("a.pdf", b"%PDF", "application/pdf")}
    url = f"{sim.url}/media/upload?access_token={token(sim)}&type=file"
    media_id = requests.post(url, files=files, timeout=PATIENCE).json()["media_id"]
    for id in (media_id, "@made-up"):
        param = json.dumps({"mediaId": id, "fileName": "a.pdf", "fileType": "pdf"})
        assert to_user(sim, "alice", msgKey="sampleFile", msgParam=param).status_code == 200
    assert [entry["size"] for entry in sim.record(kind="send")] == [4, 0] and len(violations(sim)) == 1
    refused = requests.post(url.replace("access_token=", "access_token=x"), files=files, timeout=PATIENCE).json()
    assert refused["errcode"] == 40014


def test_a_card_is_made_once_streamed_by_name_and_ends_for_good(sim: DingTalkSim) -> None:
    sim.say(text="hi", user="alice")
    card = {"outTrackId": "t1", "cardTemplateId": "x.schema", "cardData": {"cardParamMap": {"content": ""}}}
    where = {"openSpaceId": "dtv1.card//IM_ROBOT.alice", "imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT"}}
    for _ in range(2):
        made = call(sim, "POST", "/v1.0/card/instances/createAndDeliver", **card, **where).json()
        assert made["result"]["deliverResults"][0]["success"]
    assert len(sim.record(kind="card")) == 1

    def stream(guid: str, content: str, last: bool = False) -> int:
        body = {"outTrackId": "t1", "guid": guid, "key": "content", "content": content, "isFull": True}
        return call(sim, "PUT", "/v1.0/card/streaming", **body, isFinalize=last, isError=False).status_code

    assert [stream("1", "a"), stream("1", "a"), stream("2", "ab", last=True), stream("2", "ab", last=True)] == [200] * 4
    assert stream("3", "abc") == 400, "it has ended"
    assert [entry["duplicate"] for entry in sim.record(kind="stream")] == [False, True]
    assert [(entry["text"], entry["duplicate"]) for entry in sim.record(kind="send")] == [("ab", False), ("ab", True)]
    bad = {**card, "outTrackId": "t2", "cardData": {"cardParamMap": {"content": 7}}}
    assert call(sim, "POST", "/v1.0/card/instances/createAndDeliver", **bad, **where).status_code == 400


def test_a_card_s_values_are_replaced_unless_updated_by_key(sim: DingTalkSim) -> None:
    card = {"outTrackId": "t1", "cardTemplateId": "x.schema", "cardData": {"cardParamMap": {"a": "1", "b": "2"}}}
    call(sim, "POST", "/v1.0/card/instances", **card)
    change = {"outTrackId": "t1", "cardData": {"cardParamMap": {"a": "3"}}}
    call(sim, "PUT", "/v1.0/card/instances", **change, cardUpdateOptions={"updateCardDataByKey": True})
    assert sim.cards.cards["t1"].values == {"a": "3", "b": "2"}
    call(sim, "PUT", "/v1.0/card/instances", **change)
    assert sim.cards.cards["t1"].values == {"a": "3"}


# --- as a process ------------------------------------------------------------------------------------


def test_it_runs_by_itself_and_is_controlled_over_http(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hermes_green", "sim", "dingtalk", "--stuck-opens", "2", "--hold-order"]
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert child.stdout is not None
        kind, platform, url, *words = child.stdout.readline().split()
        assert (kind, platform) == ("sim", "dingtalk") and words[0] == f"client_id={CLIENT_ID}"
        said = requests.post(f"{url}/_sim/say", json={"text": "hi"}, timeout=PATIENCE).json()
        assert said["chat"] == "cid-alice==" and not said["held"]
        requests.post(f"{url}/_sim/fault", json={"name": "stuck", "for": 600}, timeout=PATIENCE)
        state = requests.get(f"{url}/_sim/state", timeout=PATIENCE).json()
        assert state["lost"] == 1 and 500 < state["stuck"] <= 600
        child.terminate()
        assert child.wait(timeout=PATIENCE) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
