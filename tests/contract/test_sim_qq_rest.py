"""The simulated QQ's HTTP side: tokens, what a bot may say and how often, and what a test can break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
import requests
import websocket

from hermes_green.sim import qq_gateway, qq_rest, qq_users
from hermes_green.sim.qq import QQSim
from tests.support.qqbot import (
    GUILDS,
    OPEN,
    Client,
    Closed,
    Make,
    ask_token,
    call,
    reply,
    simulators,
    token_of,
    violations,
)
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime


@pytest.fixture
def make() -> Iterator[Make]:
    yield from simulators()


@pytest.fixture
def sim(make: Make) -> QQSim:
    return make()


# --- token and gateway -------------------------------------------------------------------------


def test_a_token_is_handed_out_again_while_it_has_time_left(sim: QQSim) -> None:
    first, second = ask_token(sim), ask_token(sim)
    assert first["access_token"] == second["access_token"]
    assert isinstance(first["expires_in"], str) and 7000 <= int(first["expires_in"]) <= 7200


def test_wrong_credentials_are_told_with_http_200(sim: QQSim) -> None:
    assert ask_token(sim, clientSecret="wrong")["code"] == 100016
    assert ask_token(sim, appId="wrong")["code"] == 100007


def test_a_dead_token_is_401_with_11244_and_a_new_one_is_made(sim: QQSim) -> None:
    old = f"QQBot {token_of(sim)}"
    assert call(sim, "GET", "/users/@me", token=old).json()["username"] == "sim-bot"
    sim.fault("token")
    answer = call(sim, "GET", "/users/@me", token=old)
    assert (answer.status_code, answer.json()["code"]) == (401, 11244)
    assert call(sim, "GET", "/users/@me").status_code == 200
    assert call(sim, "GET", "/users/@me", token=old[6:]).json()["code"] == 11243
    assert call(sim, "GET", "/users/@me", token="").json()["code"] == 11241


def test_the_content_type_of_answers_is_exactly_json(sim: QQSim) -> None:
    answer = call(sim, "GET", "/gateway")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"url": sim.ws_url}


def test_session_starts_are_counted_per_identify_and_not_per_resume(sim: QQSim) -> None:
    before = call(sim, "GET", "/gateway/bot").json()["session_start_limit"]
    client = Client(sim)
    client.identify()
    Client(sim).resume(client.session, 1)
    after = call(sim, "GET", "/gateway/bot").json()["session_start_limit"]
    assert before["remaining"] - after["remaining"] == 1
    assert after["reset_after"] > 0 and after["max_concurrency"] == 100


def test_a_dial_is_counted_once_be_it_with_or_without_discovery(sim: QQSim) -> None:
    call(sim, "GET", "/gateway")
    Client(sim)
    assert sim.dials == 1
    Client(sim)
    assert sim.dials == 2


# --- sends -------------------------------------------------------------------------------------


def test_a_reply_is_recorded_once_and_its_repetition_is_a_duplicate(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    sent = reply(sim, said, "hi there").json()
    assert sent["id"] and sent["timestamp"] and sent["ext_info"]["ref_idx"]
    again = reply(sim, said, "hi there")
    assert (again.status_code, again.json()["code"]) == (400, 40054005)
    first, second = sim.record(kind="send")
    assert first["text"] == "hi there" and first["chat"] == said["chat"] and first["reply_to"] == said["message_id"]
    assert first["key"] == second["key"] == f"{said['message_id']}:1"
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert sim.state()["sent"] == 1


def test_the_number_defaults_to_one_and_null_counts_as_absent(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    assert reply(sim, said, msg_seq=None, markdown=None, event_id=None).status_code == 200
    assert reply(sim, said).json()["code"] == 40054005


def test_five_replies_are_allowed_and_a_repetition_of_the_fifth_is_still_a_duplicate(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    for seq in range(1, 6):
        assert reply(sim, said, msg_seq=seq).status_code == 200
    assert reply(sim, said, msg_seq=6).json()["code"] == 40034128
    assert reply(sim, said, msg_seq=5).json()["code"] == 40054005


@pytest.mark.parametrize("free", [True, False])
def test_typing_uses_a_number_and_one_of_the_replies_unless_it_is_free(make: Make, free: bool) -> None:
    sim = make(replies=1, free_typing=free)
    Client(sim).identify()
    said = sim.say(text="hello")
    notify = {"msg_type": 6, "input_notify": {"input_type": 1, "input_second": 60}, "content": None}
    assert reply(sim, said, **notify).status_code == 200
    assert reply(sim, said, msg_seq=1).json()["code"] == 40054005
    assert reply(sim, said, msg_seq=2).status_code == (200 if free else 400)
    assert len(sim.record(kind="typing")) == 1


def test_a_window_closes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, qq_rest, qq_users)
    sim = make()
    Client(sim).identify()
    person, group = sim.say(text="hello"), sim.say(text="hello", chat_type="group")
    clock.advance(500)
    assert reply(sim, group, path="/v2/groups").json()["code"] == 304027
    assert reply(sim, person).status_code == 200


def test_a_foreign_or_missing_msg_id_is_refused(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    foreign = reply(sim, {**said, "chat": "SOMEBODY_ELSE"})
    assert (foreign.status_code, foreign.json()["code"]) == (400, 40034024)
    assert reply(sim, said, msg_id=None).json()["code"] == 40034102
    assert len(sim.record(kind="send_refused")) == 2


def test_an_event_can_be_answered_where_the_platform_allows_it(sim: QQSim) -> None:
    Client(sim).identify()
    friend, said = sim.say(event="FRIEND_ADD", chat="U1"), sim.say(text="hello", chat="U1")
    assert reply(sim, friend, msg_id=None, event_id=friend["event_id"]).status_code == 200
    assert reply(sim, said, msg_id=None, event_id=said["event_id"]).json()["code"] == 40034027
    assert reply(sim, said, msg_id=None, event_id="nonsense").json()["code"] == 40034025


@pytest.mark.parametrize(
    "body", [{"msg_type": None}, {"msg_type": 9}, {"content": ""}, {"msg_seq": "1"}, {"msg_type": 2}]
)
def test_a_send_that_makes_no_sense_is_the_clients_fault(sim: QQSim, body: dict[str, Any]) -> None:
    Client(sim).identify()
    assert reply(sim, sim.say(text="hello"), **body).status_code == 400
    assert len(violations(sim)) == 1


def test_a_guild_is_answered_only_while_the_gateway_is_connected(make: Make) -> None:
    sim = make(channel_rate=2)
    client = Client(sim)
    client.identify(GUILDS)
    said = sim.say(text="hello", chat_type="channel")
    sent = call(sim, "POST", f"/channels/{said['chat']}/messages", {"content": "hi", "msg_id": said["message_id"]})
    assert sent.json()["channel_id"] == said["chat"]
    sim.fault("fin")
    sim.wait("close")
    down = call(sim, "POST", f"/channels/{said['chat']}/messages", {"content": "hi", "msg_id": said["message_id"]})
    assert down.json()["code"] == 304018


def test_a_channel_takes_only_so_many_messages_a_second(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, qq_rest)
    sim = make(channel_rate=2)
    Client(sim).identify(GUILDS)
    codes = [call(sim, "POST", "/channels/77/messages", {"content": "hi"}).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    clock.advance(1.1)
    assert call(sim, "POST", "/channels/77/messages", {"content": "hi"}).status_code == 200


def test_media_needs_a_file_of_the_same_scene(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    upload = {"file_type": 1, "file_data": "aGVsbG8=", "srv_send_msg": False}
    for scene, good in (("groups", False), ("users", True)):
        info = call(sim, "POST", f"/v2/{scene}/{said['chat']}/files", upload).json()["file_info"]
        answer = reply(sim, said, " ", msg_type=7, media={"file_info": info})
        assert (answer.status_code == 200) is good
    assert [entry["size"] for entry in sim.record(kind="upload")] == [5, 5]


# --- faults, and driving it from outside -------------------------------------------------------


def test_an_answer_that_is_lost_has_still_been_delivered(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    sim.fault("lose_answer", count=1)
    with pytest.raises(requests.ConnectionError):
        reply(sim, said)
    assert reply(sim, said).json()["code"] == 40054005
    assert sim.state()["sent"] == 1


def test_sends_can_be_throttled_or_refused_with_any_code(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    sim.fault("429", count=1, after=2)
    limited = reply(sim, said)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    sim.fault("api_error", status=500, code=304082, message="later", path="/messages", count=1)
    assert call(sim, "GET", "/gateway").status_code == 200
    assert (reply(sim, said).status_code, reply(sim, said).status_code) == (500, 200)
    sim.fault("api_error", status=503, code=1, message="later", path="getAppAccessToken", count=1)
    assert requests.post(f"{sim.url}/app/getAppAccessToken", json={}, timeout=PATIENCE).status_code == 503
    assert "access_token" in ask_token(sim)


def test_refused_dials_leave_sends_alone(sim: QQSim) -> None:
    Client(sim).identify()
    said = sim.say(text="hello")
    sim.fault("refuse", status=503)
    sim.fault("rst")
    assert call(sim, "GET", "/gateway").status_code == 503
    with pytest.raises(websocket.WebSocketBadStatusException):
        Client(sim)
    assert reply(sim, said).status_code == 200


def test_it_is_driven_from_another_process_over_http(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    said = requests.post(f"{sim.url}/_sim/say", json={"text": "from outside", "chat": "U7"}, timeout=PATIENCE).json()
    frame = client.read()
    assert frame["d"]["id"] == said["message_id"] and frame["id"] == said["event_id"]
    requests.post(f"{sim.url}/_sim/fault", json={"name": "op7"}, timeout=PATIENCE)
    assert client.read()["op"] == 7
    record = requests.get(f"{sim.url}/_sim/record", params={"since": 0, "kind": "push"}, timeout=PATIENCE).json()
    assert [entry["event"] for entry in record["events"]] == ["READY", "C2C_MESSAGE_CREATE"]
    state = requests.get(f"{sim.url}/_sim/state", timeout=PATIENCE).json()
    assert state["unacked"] == 1 and state["identifies"] == 1 and state["sessions"][0]["seq"] == 2


def test_a_client_that_floods_the_gateway_is_cut_with_4008(sim: QQSim, monkeypatch: pytest.MonkeyPatch) -> None:
    StandingTime(monkeypatch, qq_gateway)
    client = Client(sim)
    client.identify()
    with pytest.raises(Closed) as closed:
        for _ in range(200):
            client.beat()
    assert closed.value.args[0] == 4008


def test_it_runs_as_a_process_of_its_own_with_the_rules_of_its_command_line() -> None:
    program = "from gevent import monkey; monkey.patch_all(); from hermes_green.sim import main; exit(main('qq'))"
    command = [sys.executable, "-c", program, "--app-id", "11", "--heartbeat-interval", "3", "--hold-order"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            _, platform, url, app_id, secret = process.stdout.readline().split()
            assert (platform, app_id) == ("qq", "app_id=11")
            asked = {"appId": "11", "clientSecret": secret.partition("=")[2]}
            assert "access_token" in requests.post(f"{url}/app/getAppAccessToken", json=asked, timeout=PATIENCE).json()
            ws = websocket.create_connection(f"{url.replace('http', 'ws')}/websocket", timeout=PATIENCE)
            OPEN.append(ws)
            assert json.loads(ws.recv())["d"] == {"heartbeat_interval": 3000}
        finally:
            process.terminate()
        assert process.wait(timeout=PATIENCE) == 0
