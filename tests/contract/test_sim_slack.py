"""The simulated Slack keeps its own rules: what a client does wrong is told, what the platform promises is kept."""

from __future__ import annotations

import json
import math
from typing import Any, Iterator

import gevent
import pytest
import requests
import websocket

from hermes_green.sim import slack_api
from hermes_green.sim.slack import SlackSim
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime


class Client:
    """A client as one might write it by hand: one socket, and the calls beside it."""

    sockets: list[Any] = []

    def __init__(self, sim: SlackSim) -> None:
        self.sim = sim
        self.ws: Any = None

    def call(self, method: str, token: str = "", form: bool = False, **fields: Any) -> dict[str, Any]:
        return self.http(method, token, form, **fields).json()

    def http(self, method: str, token: str = "", form: bool = False, **fields: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.sim.options.bot_token}"}
        body = {"data": fields} if form else {"json": fields}
        return requests.post(f"{self.sim.url}/api/{method}", headers=headers, timeout=PATIENCE, **body)

    def address(self) -> str:
        return self.call("apps.connections.open", self.sim.options.app_token)["url"]

    def connect(self) -> "Client":
        self.ws = dial(self.address())
        assert self.receive()["type"] == "hello"
        return self

    def receive(self) -> dict[str, Any]:
        return json.loads(self.ws.recv())

    def event(self, kind: str = "") -> dict[str, Any]:
        """The next envelope, of that kind of event."""
        while True:
            envelope = self.receive()
            if not kind or envelope["payload"].get("event", {}).get("type") == kind:
                return envelope

    def ack(self, envelope: dict[str, Any], **more: Any) -> None:
        self.ws.send(json.dumps({"envelope_id": envelope["envelope_id"], **more}))


def dial(url: str) -> Any:
    """A socket that is closed at the test's end."""
    ws = websocket.create_connection(url, timeout=PATIENCE)
    Client.sockets.append(ws)
    return ws


@pytest.fixture(autouse=True)
def sockets() -> Iterator[None]:
    yield
    while Client.sockets:
        Client.sockets.pop().close(timeout=0)


def starts(**options: Any) -> SlackSim:
    return SlackSim(**{"redelivery": "0.2,0.3", "ack_deadline": 0.4, "silent": True, **options}).start()


@pytest.fixture
def sim() -> Iterator[SlackSim]:
    with starts() as running:
        yield running


@pytest.fixture
def client(sim: SlackSim) -> Iterator[Client]:
    yield Client(sim).connect()


def faults(sim: SlackSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


# --- sockets -------------------------------------------------------------------------------------


def test_an_address_is_good_for_one_dial(sim):
    url = Client(sim).address()
    dial(url)
    with pytest.raises(websocket.WebSocketBadStatusException):
        dial(url)
    assert len(faults(sim)) == 1


def test_an_address_does_not_last():
    with starts(ticket_life=0.1) as sim:
        url = Client(sim).address()
        gevent.sleep(0.2)
        with pytest.raises(websocket.WebSocketBadStatusException):
            dial(url)


def test_tokens_are_told_apart(sim):
    client = Client(sim)
    assert client.call("apps.connections.open")["error"] == "not_allowed_token_type"
    assert client.call("auth.test", sim.options.app_token)["error"] == "not_allowed_token_type"
    assert client.call("auth.test", "xoxb-other")["error"] == "invalid_auth"
    assert requests.post(f"{sim.url}/api/auth.test", timeout=PATIENCE).json()["error"] == "not_authed"
    sim.fault("revoke", token="bot")
    assert client.call("auth.test")["error"] == "token_revoked"


def test_addresses_are_limited_and_the_answer_says_how_long():
    with starts(opens=1) as sim:
        client = Client(sim)
        client.address()
        answer = client.http("apps.connections.open", sim.options.app_token)
        assert answer.status_code == 429 and 30 <= int(answer.headers["Retry-After"]) <= 60
        assert faults(sim) == []
        client.http("apps.connections.open", sim.options.app_token)
        assert len(faults(sim)) == 1, "it came again before that time"


def test_the_eleventh_connection_is_told_so():
    with starts(max_connections=1) as sim:
        Client(sim).connect()
        late = dial(Client(sim).address())
        assert json.loads(late.recv())["reason"] == "too_many_websockets"


def test_slack_pings_and_finds_fault_with_silence():
    with starts(ping_interval=0.1, pong_within=0.5) as sim:
        dial(Client(sim).address()).recv()
        wait_for(lambda: faults(sim), what="the missing pong")


def test_a_refresh_gives_notice_and_then_closes(sim, client):
    sim.fault("refresh", reason="warning", notice=0.3)
    sim.say(text="still comes")
    assert client.receive()["reason"] == "warning"
    assert client.event()["payload"]["event"]["text"] == "still comes"
    sim.wait("close", how="server")


# --- events --------------------------------------------------------------------------------------


def test_an_event_comes_until_it_is_acknowledged(sim, client):
    said = sim.say(text="a & b")
    first = client.event()
    assert first["payload"]["event"]["text"] == "a &amp; b" and first["retry_attempt"] == 0
    second = client.event()
    assert second["payload"]["event_id"] == first["payload"]["event_id"] == said["event_id"]
    assert second["envelope_id"] != first["envelope_id"]
    assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
    client.ack(second)
    wait_for(lambda: not sim.courier.unacked(), what="the end of it")


def test_an_event_nobody_acknowledges_is_given_up_after_its_retries(sim, client):
    said = sim.say(text="hello?")
    sim.wait("given_up", event_id=said["event_id"])
    assert len(sim.record(kind="push")) == 3


def test_a_mention_is_told_twice(sim, client):
    sim.say(text="hi", chat_type="channel")
    kinds = {client.event()["payload"]["event"]["type"] for _ in range(2)}
    assert kinds == {"message", "app_mention"}
    sim.say(text="not to you", chat_type="channel", mention=False)
    assert client.event("message")["payload"]["event"]["channel_type"] == "channel"


def test_events_go_to_any_one_link(sim):
    for _ in range(3):
        Client(sim).connect()
    for number in range(30):
        sim.say(text=str(number))
    wait_for(lambda: len(sim.record(kind="push")) >= 30, what="thirty pushes")
    assert len({entry["link"] for entry in sim.record(kind="push") if entry["attempt"] == 1}) == 3


def test_users_wait_for_one_another_where_order_is_held():
    with starts(hold_order=True, ack_deadline=600) as sim:
        client = Client(sim).connect()
        assert sim.say(text="one")["held"] is False and sim.say(text="two")["held"] is True
        envelope = client.event()
        assert envelope["payload"]["event"]["text"] == "one"
        client.ack(envelope)
        assert client.event()["payload"]["event"]["text"] == "two"


@pytest.mark.parametrize("wrong", ["stranger", "twice", "payload", "nonsense"])
def test_wrong_acknowledgements_are_found(sim, client, wrong):
    sim.say(text="x")
    envelope = client.event()
    if wrong == "stranger":
        client.ack({"envelope_id": "never"})
    elif wrong == "twice":
        client.ack(envelope)
        client.ack(envelope)
    elif wrong == "payload":
        client.ack(envelope, payload={"text": "x"})
    else:
        client.ws.send("nonsense")
    wait_for(lambda: faults(sim), what="a fault")


def test_the_bot_s_own_posts_come_back():
    with starts(silent=False, ack_deadline=600) as sim:
        client = Client(sim).connect()
        said = sim.say(text="hi")
        client.ack(client.event())
        client.call("chat.postMessage", channel=said["chat"], text="hello")
        event = client.event()["payload"]["event"]
        assert (event["bot_id"], event["text"]) == ("B0SIMBOT", "hello")


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, error",
    [
        ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ({"channel": "C0SIMCHANNEL", "text": " "}, "no_text"),
        ({"channel": "C0SIMCHANNEL", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "C0SIMCHANNEL", "text": "x", "thread_ts": "1.2"}, "thread_not_found"),
        ({"channel": "C0SIMCHANNEL", "text": "x", "metadata": {"event_type": "no-dash"}}, "invalid_metadata_schema"),
    ],
)
def test_posts_that_slack_does_not_take(sim, fields, error):
    answer = Client(sim).http("chat.postMessage", **fields)
    assert answer.status_code == 200 and answer.json() == {"ok": False, "error": error}


def test_nothing_tells_one_post_from_another(sim):
    client = Client(sim)
    metadata = {"event_type": "x", "event_payload": {"key": "k"}}
    for _ in range(2):
        assert client.call("chat.postMessage", channel="C0SIMCHANNEL", text="x", metadata=metadata)["ok"]
    assert [entry["again"] for entry in sim.record(kind="send")] == [False, True]


def test_a_channel_takes_a_burst_and_then_one_a_second(monkeypatch):
    clock = StandingTime(monkeypatch, slack_api)
    with starts(posts=2) as sim:
        client = Client(sim)
        answers = [client.http("chat.postMessage", channel="C0SIMCHANNEL", text="x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert math.ceil(float(answers[-1].headers["Retry-After"])) <= 2
        assert client.call("chat.postMessage", channel="C0SIMPRIVATE", text="x")["ok"], "another channel"
        clock.advance(2)
        assert client.call("chat.postMessage", channel="C0SIMCHANNEL", text="x")["ok"]


def test_history_tells_metadata_and_threads(sim):
    client = Client(sim)
    metadata = {"event_type": "x", "event_payload": {"key": "k"}}
    root = client.call("chat.postMessage", channel="C0SIMCHANNEL", text="root", metadata=metadata)["ts"]
    for number in range(3):
        client.call("chat.postMessage", channel="C0SIMCHANNEL", text=f"reply {number}", thread_ts=root)
    asked = {"channel": "C0SIMCHANNEL", "include_all_metadata": "true", "form": True}
    (told,) = client.call("conversations.history", **asked)["messages"]
    assert told["metadata"] == metadata
    page = client.call("conversations.replies", ts=root, limit=3, **asked)
    assert [each["text"] for each in page["messages"]] == ["root", "reply 0", "reply 1"] and page["has_more"]
    rest = client.call("conversations.replies", ts=root, limit=3, cursor="3", **asked)
    assert [each["text"] for each in rest["messages"]] == ["reply 2"] and not rest["has_more"]


def test_edits_and_deletions_are_the_bot_s_own_only(sim):
    client = Client(sim)
    said = sim.say(text="mine")
    own = client.call("chat.postMessage", channel=said["chat"], text="x")["ts"]
    assert client.call("chat.update", channel=said["chat"], ts=own, text="y")["ok"]
    other = {"channel": said["chat"], "ts": said["message_id"]}
    assert client.call("chat.update", text="y", **other)["error"] == "cant_update_message"
    assert client.call("chat.delete", **other)["error"] == "cant_delete_message"
    assert client.call("chat.update", channel=said["chat"], ts=own, text="y" * 4001)["error"] == "msg_too_long"
    assert client.call("chat.delete", channel=said["chat"], ts=own)["ok"]
    assert client.call("chat.update", channel=said["chat"], ts=own, text="z")["error"] == "message_not_found"


def test_a_file_goes_up_in_three_steps_and_down_with_the_token(sim):
    client = Client(sim)
    place = client.call("files.getUploadURLExternal", form=True, filename="a.txt", length=3)
    assert client.call("files.getUploadURLExternal", filename="a.txt", length=3)["error"] == "invalid_arguments"
    files = [{"id": place["file_id"], "title": "a"}]
    shared = {"files": files, "channel_id": "C0SIMCHANNEL"}
    assert client.call("files.completeUploadExternal", **shared)["error"] == "file_not_found"
    assert requests.post(place["upload_url"], data=b"abc", timeout=PATIENCE).status_code == 200
    told = client.call("files.completeUploadExternal", **shared)["files"][0]
    assert sim.record(kind="send")[-1]["files"] == ["a.txt"]
    bearer = {"Authorization": f"Bearer {sim.options.bot_token}"}
    assert requests.get(told["url_private_download"], headers=bearer, timeout=PATIENCE).content == b"abc"
    assert "html" in requests.get(told["url_private_download"], timeout=PATIENCE).headers["Content-Type"]


def test_the_command_line_serves_with_its_options(sim):
    from argparse import ArgumentParser

    parser = ArgumentParser()
    for flag in ("--port", "--host", "--certfile", "--keyfile"):
        parser.add_argument(flag, default="")
    SlackSim.add_arguments(parser)
    made = SlackSim.from_arguments(parser.parse_args(["--port", "0", "--host", "127.0.0.1", "--hold-order"]))
    assert made.options.hold_order and made.options.bot_token in made.greeting()
