"""The simulated WeCom keeps to what is known of the platform, also where that hurts a client."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any, Callable, Iterator

import gevent
import pytest
import requests
import websocket

from hermes_green.sim import kit_ws, wecom, wecom_desk, wecom_gate, wecom_media, wecom_users
from hermes_green.sim.wecom import WeComSim
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime

Make = Callable[..., WeComSim]
OPEN: list[websocket.WebSocket] = []


class Client:
    """A bot, by hand."""

    def __init__(self, sim: WeComSim, subscribe: bool = True) -> None:
        self.sim = sim
        self.ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE)
        OPEN.append(self.ws)
        self.ids = 0
        if subscribe:
            assert self.subscribe()["errcode"] == 0

    def subscribe(self, **more: Any) -> dict[str, Any]:
        options = self.sim.options
        return self.ask("aibot_subscribe", {"bot_id": options.bot_id, "secret": options.secret, **more})

    def put(self, cmd: str, body: Any = None, req_id: str = "") -> str:
        self.ids += 1
        req_id = req_id or f"{cmd}-{self.ids}"
        self.ws.send(json.dumps({"cmd": cmd, "headers": {"req_id": req_id}, "body": body}))
        return req_id

    def read(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.ws.recv())
        return frame

    def ask(self, cmd: str, body: Any = None, req_id: str = "") -> dict[str, Any]:
        wanted = self.put(cmd, body, req_id)
        while True:
            frame = self.read()
            if frame["headers"]["req_id"] == wanted and "cmd" not in frame:
                return frame

    def hear(self, **what: Any) -> dict[str, Any]:
        self.sim.say(**what)
        return self.read()

    def stream(self, req_id: str, content: str, finish: bool = True, id: str = "s") -> int:
        body = {"msgtype": "stream", "stream": {"id": id, "finish": finish, "content": content}}
        return int(self.ask("aibot_respond_msg", body, req_id)["errcode"])

    def write(self, chat: str, text: str = "hi", **more: Any) -> int:
        body = {"chatid": chat, "msgtype": "markdown", "markdown": {"content": text}, **more}
        return int(self.ask("aibot_send_msg", body)["errcode"])


@pytest.fixture
def make() -> Iterator[Make]:
    running: list[WeComSim] = []

    def started(**options: Any) -> WeComSim:
        running.append(WeComSim(**{"answer_delay": 0.001, **options}).start())
        return running[-1]

    yield started
    while OPEN:
        OPEN.pop().shutdown()
    for sim in running:
        sim.stop()


@pytest.fixture
def sim(make: Make) -> WeComSim:
    return make()


def violations(sim: WeComSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


def sends(sim: WeComSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="send") if not entry["duplicate"]]


# --- subscriptions ---------------------------------------------------------------------------------


def test_a_wrong_secret_is_refused_and_the_socket_stays(sim: WeComSim) -> None:
    client = Client(sim, subscribe=False)
    assert client.subscribe(secret="wrong")["errcode"] == 853000
    assert client.ask("ping")["errcode"] == 0 and sim.state()["subscribed"] is None
    assert client.subscribe()["errcode"] == 0 and sim.state()["subscribed"] == 1
    assert violations(sim) == []


def test_whatever_comes_before_a_subscription_is_a_fault(sim: WeComSim) -> None:
    client = Client(sim, subscribe=False)
    assert client.ask("ping")["errcode"] == 846609
    assert len(violations(sim)) == 1


@pytest.mark.parametrize("raw", ["x", "[]", "{}", '{"cmd":"ping"}', '{"cmd":"ping","headers":{}}'])
def test_what_is_no_frame_is_a_fault(sim: WeComSim, raw: str) -> None:
    client = Client(sim)
    client.ws.send(raw)
    client.ask("ping")
    assert len(violations(sim)) == 1


def test_a_second_subscriber_wins_and_the_first_dies_without_a_close_frame(make: Make) -> None:
    sim = make(kick_after=600)
    first, second = Client(sim), Client(sim)
    kicked = first.read()
    assert (kicked["cmd"], kicked["body"]["event"]) == ("aibot_event_callback", {"eventtype": "disconnected_event"})
    assert first.ask("ping")["errcode"] == 0, "it looks healthy"
    assert second.hear(text="hello")["body"]["text"]["content"] == "hello"
    sim.options = replace(sim.options, kick_after=0.2)
    third = Client(sim)
    assert second.read()["body"]["event"] == {"eventtype": "disconnected_event"}
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        second.ws.recv()
    assert third.hear(text="hello")["body"]["text"]["content"] == "hello"


def test_a_lost_subscription_is_told_by_sends_only(sim: WeComSim) -> None:
    client = Client(sim)
    client.hear(text="hello")
    sim.fault("unsubscribe")
    assert client.ask("ping")["errcode"] == 0
    assert client.write("alice") == 846609
    sim.say(text="nobody hears this")
    assert sim.record(kind="lost")


def test_too_many_subscriptions_a_minute_are_refused(make: Make) -> None:
    sim = make(subscribes=2)
    client = Client(sim)
    assert client.subscribe()["errcode"] == 0
    assert client.subscribe()["errcode"] == 45009


def test_a_silent_client_is_cut(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, wecom_gate, kit_ws)
    sim = make(silence=0.3)
    client = Client(sim)
    for _ in range(3):
        clock.advance(0.2)
        gevent.sleep(0.1)  # it looks every 0.03 s whether somebody is silent
        client.ask("ping")
    assert violations(sim) == []
    clock.advance(0.5)
    sim.wait("close")
    assert "nothing came" in violations(sim)[0]


# --- streams and replies ---------------------------------------------------------------------------


def test_a_stream_grows_is_finished_once_and_its_last_frame_may_come_again(sim: WeComSim) -> None:
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    assert [client.stream(req_id, text, finish=False) for text in ("a", "ab")] == [0, 0]
    assert client.stream(req_id, "abc") == 0 and client.stream(req_id, "abc") == 0
    assert sends(sim) == ["abc"] and len(sim.record(kind="draft")) == 2
    assert client.stream(req_id, "abcd", finish=False) == 40058, "not after the last frame"
    assert client.stream(req_id, "another", id="t") == 0
    assert sends(sim) == ["abc", "another"]


def test_a_stream_without_news_expires_and_a_finished_one_does_not(sim: WeComSim) -> None:
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    client.stream(req_id, "open", finish=False, id="open")
    client.stream(req_id, "done", id="done")
    sim.fault("expire_streams")
    assert client.stream(req_id, "open", id="open") == 846608
    assert client.stream(req_id, "done", id="done") == 0
    assert sim.state()["streams"] == 1


def test_a_req_id_is_good_for_its_window_and_events_have_their_own_answers(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StandingTime(monkeypatch, wecom_desk, wecom_users)
    sim = make(window=0.3, event_window=0.3)
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    entered = client.hear(event="enter_chat")["headers"]["req_id"]
    welcome = {"msgtype": "text", "text": {"content": "welcome"}}
    assert client.stream(entered, "no") == 846605
    assert client.ask("aibot_respond_welcome_msg", welcome, entered)["errcode"] == 0
    assert client.ask("aibot_respond_welcome_msg", welcome, req_id)["errcode"] == 846605
    clock.advance(0.35)
    assert client.stream(req_id, "late") == 846605
    assert client.ask("aibot_respond_welcome_msg", welcome, entered)["errcode"] == 846605
    assert client.stream("unheard of", "x") == 846605
    assert violations(sim) == []


def test_the_next_frame_of_a_req_id_must_wait_for_the_answer(make: Make) -> None:
    sim = make(answer_delay=0.2, patience=0.6)
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    stream = {"msgtype": "stream", "stream": {"id": "s", "finish": False, "content": "x"}}
    client.put("aibot_respond_msg", stream, req_id)
    client.put("aibot_send_msg", {"chatid": "alice", "msgtype": "markdown", "markdown": {"content": "y"}})
    assert client.read()["errcode"] == client.read()["errcode"] == 0
    assert violations(sim) == []
    client.put("aibot_respond_msg", stream, req_id)
    client.put("aibot_respond_msg", stream, req_id)
    client.read()
    assert len(violations(sim)) == 1
    sim.fault("lose_answer", count=1)
    client.put("aibot_respond_msg", stream, req_id)
    gevent.sleep(0.7)
    client.stream(req_id, "done")
    assert len(violations(sim)) == 1, "an answer that does not come is not waited for for ever"


@pytest.mark.parametrize(
    "body",
    [
        {"msgtype": "stream"},
        {"msgtype": "stream", "stream": {"id": "", "content": 7, "finish": 1}},
        {"msgtype": "stream", "stream": {"id": "s", "content": "中" * 6827, "finish": True}},
        {"msgtype": "image", "image": {"media_id": "none"}},
        {"msgtype": "news"},
        {},
    ],
)
def test_replies_of_a_wrong_shape_are_faults(sim: WeComSim, body: dict[str, Any]) -> None:
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    assert client.ask("aibot_respond_msg", body, req_id)["errcode"] in (40058, 40007)
    assert len(violations(sim)) == 1 and sends(sim) == []


# --- messages that answer nothing ------------------------------------------------------------------


def test_only_chats_that_have_written_can_be_written_to(sim: WeComSim) -> None:
    client = Client(sim)
    assert client.write("alice") == 93006
    client.hear(text="hello")
    client.hear(text="hello", chat="wr1", chat_type="group")
    assert client.write("alice", chat_type=1) == 0 and client.write("wr1") == 0
    assert violations(sim) == []
    assert client.write("wr1", chat_type=1) == 40058
    stream = {"chatid": "alice", "msgtype": "text", "text": {"content": "x"}}
    assert client.ask("aibot_send_msg", stream)["errcode"] == 40058
    assert len(violations(sim)) == 2


def test_messages_are_counted_by_chat_and_refreshing_a_bubble_is_free(make: Make) -> None:
    sim = make(rate_minute=3)
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    client.hear(text="hello", chat="bob")
    assert [client.stream(req_id, "x" * n, finish=n == 9) for n in range(1, 10)] == [0] * 9
    assert [client.write("alice") for _ in range(3)] == [0, 0, 45009]
    assert client.write("bob") == 0


# --- files -----------------------------------------------------------------------------------------


def test_an_upload_is_checked_at_each_step(sim: WeComSim) -> None:
    client = Client(sim)
    req_id = client.hear(text="hello")["headers"]["req_id"]
    data = b"0123456789" * 60_000
    begun = {"type": "file", "filename": "a", "total_size": len(data), "total_chunks": 2}
    assert client.ask("aibot_upload_media_init", {**begun, "total_chunks": 3})["errcode"] == 40058
    assert client.ask("aibot_upload_media_init", {**begun, "type": "image", "total_size": 3 << 20})["errcode"] == 40058
    upload_id = client.ask("aibot_upload_media_init", begun)["body"]["upload_id"]
    chunks = [data[: wecom_media.CHUNK], data[wecom_media.CHUNK :]]
    assert client.ask("aibot_upload_media_finish", {"upload_id": upload_id})["errcode"] == 40058
    for index in (1, 0, 1):
        body = {"upload_id": upload_id, "chunk_index": index, "base64_data": base64.b64encode(chunks[index]).decode()}
        assert client.ask("aibot_upload_media_chunk", body)["errcode"] == 0
    assert client.ask("aibot_upload_media_chunk", {**body, "chunk_index": 2})["errcode"] == 40058
    media_id = client.ask("aibot_upload_media_finish", {"upload_id": upload_id})["body"]["media_id"]
    image = {"msgtype": "image", "image": {"media_id": media_id}}
    assert client.ask("aibot_respond_msg", image, req_id)["errcode"] == 40007
    file = {"msgtype": "file", "file": {"media_id": media_id}}
    assert client.ask("aibot_respond_msg", file, req_id)["errcode"] == 0
    assert sim.record(kind="send")[0]["size"] == len(data)


def test_a_file_s_address_is_good_for_a_while_and_its_bytes_for_the_key_only(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StandingTime(monkeypatch, wecom, wecom_users)
    sim = make()
    client = Client(sim)
    body = client.hear(message_type="file", data=base64.b64encode(b"secret").decode(), name="报告.pdf")["body"]
    answer = requests.get(body["file"]["url"], timeout=PATIENCE)
    assert answer.status_code == 200 and b"secret" not in answer.content and len(answer.content) % 32 == 0
    assert "filename*=UTF-8''" in answer.headers["Content-Disposition"]
    assert len(base64.b64decode(body["file"]["aeskey"])) == 32
    clock.advance(sim.options.media_ttl + 1)
    assert requests.get(body["file"]["url"], timeout=PATIENCE).status_code == 403


# --- what users see --------------------------------------------------------------------------------


def test_nothing_is_pushed_again_to_a_client_that_comes_back(sim: WeComSim) -> None:
    sim.say(text="too early")
    client = Client(sim)
    assert [entry["event"] for entry in sim.record(kind="lost")] == [""]
    assert client.hear(text="in time")["body"]["text"]["content"] == "in time"
    sim.fault("redeliver")
    assert client.read()["body"]["text"]["content"] == "in time", "not even when what was heard comes a second time"


def test_in_order_means_that_the_next_waits_for_the_answer_or_the_end_of_the_link(make: Make) -> None:
    sim = make(hold_order=True)
    client = Client(sim)
    req_id = client.hear(text="one")["headers"]["req_id"]
    assert sim.say(text="two")["held"] and sim.say(text="three")["held"]
    client.stream(req_id, "done")
    assert sim.record(kind="ack")[0]["how"] == "answer"
    assert sim.state()["held"] == 1
    client.ws.close()
    sim.wait("uncertain")
    sim.wait("lost")
    assert sim.state()["held"] == 0


def test_the_response_url_takes_one_answer(sim: WeComSim) -> None:
    client = Client(sim)
    url = client.hear(text="hello")["body"]["response_url"]
    markdown = {"msgtype": "markdown", "markdown": {"content": "late"}}
    assert [requests.post(url, json=markdown, timeout=PATIENCE).json()["errcode"] for _ in range(2)] == [0, 846605]


def test_faults_of_its_own_are_told_over_http(sim: WeComSim) -> None:
    client = Client(sim)
    client.hear(text="hello")
    told = {"name": "errcode", "code": 846601, "cmd": "aibot_send_msg"}
    requests.post(f"{sim.url}/_sim/fault", json=told, timeout=PATIENCE)
    assert [client.write("alice"), client.write("alice")] == [846601, 0]
    assert requests.get(f"{sim.url}/_sim/state", timeout=PATIENCE).json()["subscribed"] == 1
    with pytest.raises(ValueError):
        sim.say(text="x", chat_type="channel")
