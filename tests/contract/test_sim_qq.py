"""The simulated QQ's gateway keeps to the platform's documents, also where that hurts a client."""

from __future__ import annotations

from typing import Any, Iterator

import gevent
import pytest
import requests
import websocket

from hermes_green.sim import qq_gateway
from hermes_green.sim.qq import QQSim
from tests.support.qqbot import C2C, GUILDS, Client, Make, reply, simulators, token_of, violations
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime


@pytest.fixture
def make() -> Iterator[Make]:
    yield from simulators()


@pytest.fixture
def sim(make: Make) -> QQSim:
    return make()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingTime:
    """Where the gateway takes its own from."""
    return StandingTime(monkeypatch, qq_gateway)


# --- the handshake -----------------------------------------------------------------------------


def test_hello_names_the_interval_and_ready_has_number_one(make: Make) -> None:
    sim = make(heartbeat_interval=7)
    client = Client(sim, hello=False)
    assert client.read() == {"op": 10, "d": {"heartbeat_interval": 7000}}
    ready = client.identify()
    assert (ready["s"], ready["t"]) == (1, "READY")
    assert ready["d"]["session_id"] and ready["d"]["user"]["bot"] is True
    assert client.beat() == {"op": 11}
    assert violations(sim) == []


@pytest.mark.parametrize(
    "op, d, code",
    [(1, None, 4003), (3, {}, 4001), (0, {}, 4001), (2, {}, 4002), (2, "x", 4002), (6, {"token": "x"}, 4002)],
)
def test_a_handshake_out_of_order_or_shape_is_cut(sim: QQSim, op: int, d: Any, code: int) -> None:
    client = Client(sim)
    client.say(op, d)
    assert client.closed_with() == code
    assert len(violations(sim)) == 1


def test_what_is_no_json_is_cut_with_4002(sim: QQSim) -> None:
    client = Client(sim)
    client.ws.send("hello?")
    assert client.closed_with() == 4002


def test_a_client_that_speaks_before_hello_is_cut(make: Make) -> None:
    client = Client(make(hello_delay=600), hello=False)
    client.say(2, {"token": "QQBot x", "intents": C2C, "shard": [0, 1]})
    assert client.closed_with() == 4003


def test_a_second_identify_is_cut_with_4005(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    client.say(2, {"token": "QQBot x", "intents": C2C, "shard": [0, 1]})
    assert client.closed_with() == 4005


@pytest.mark.parametrize("intents, code", [(0, 4013), (1 << 3, 4013), (1 << 9, 4014), (1 << 25 | 1 << 28, 4014)])
def test_intents_are_checked(sim: QQSim, intents: int, code: int) -> None:
    client = Client(sim)
    client.say(2, {"token": f"QQBot {token_of(sim)}", "intents": intents, "shard": [0, 1]})
    assert client.closed_with() == code


@pytest.mark.parametrize("token", ["QQBot nonsense", "nonsense"])
def test_a_wrong_token_is_cut_with_4004(sim: QQSim, token: str) -> None:
    client = Client(sim)
    client.say(2, {"token": token, "intents": C2C, "shard": [0, 1]})
    assert client.closed_with() == 4004
    assert violations(sim) == []


def test_a_shard_that_does_not_exist_is_cut_with_4010(sim: QQSim) -> None:
    client = Client(sim)
    client.say(2, {"token": f"QQBot {token_of(sim)}", "intents": C2C, "shard": [1, 1]})
    assert client.closed_with() == 4010


def test_two_identifies_too_close_together_are_one_too_many(clock: StandingTime, make: Make) -> None:
    sim = make(max_concurrency=1)
    Client(sim).identify()
    client = Client(sim)
    assert client.identify() == {"op": 9, "d": False}
    assert len(violations(sim)) == 1
    clock.advance(sim.options.identify_interval + 1)
    assert client.identify()["t"] == "READY"


def test_without_session_starts_left_nobody_identifies(sim: QQSim) -> None:
    sim.fault("identifies", remaining=0)
    assert Client(sim).identify()["op"] == 9


# --- heartbeats --------------------------------------------------------------------------------


def test_a_link_without_heartbeats_is_cut_with_4009_and_its_session_kept(make: Make) -> None:
    sim = make(heartbeat_interval=0.2, late=0.4)
    client = Client(sim)
    client.identify()
    assert client.closed_with() == 4009
    assert "nothing useful" in violations(sim)[0]
    again = Client(sim)
    again.resume(client.session, 1)
    assert again.read()["t"] == "RESUMED"


def test_a_link_that_beats_in_time_is_left_alone(clock: StandingTime, make: Make) -> None:
    sim = make(heartbeat_interval=0.3)
    client = Client(sim)
    client.identify()
    for _ in range(10):
        clock.advance(0.3)
        gevent.sleep(0.1)  # it looks every 0.05 s whether somebody is late
        assert client.beat() == {"op": 11}
    assert violations(sim) == []
    assert all(entry["d"] == 1 for entry in sim.record(kind="beat"))


@pytest.mark.parametrize("d", [2, -1, "1", True, 1.5])
def test_a_heartbeat_with_a_number_never_given_is_cut_with_4007(sim: QQSim, d: Any) -> None:
    client = Client(sim)
    client.identify()
    client.say(1, d)
    assert client.closed_with() == 4007


def test_a_heartbeat_that_goes_back_is_a_violation(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    client.beat()
    client.say(1, None)
    assert client.read() == {"op": 11}
    assert len(violations(sim)) == 1


def test_muted_acks_leave_beats_unanswered(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.fault("mute_acks", count=1)
    client.say(1, 1)
    assert client.beat() == {"op": 11}
    assert [entry["answered"] for entry in sim.record(kind="beat")] == [False, True]


def test_a_half_open_link_is_cut_without_blaming_the_client(clock: StandingTime, make: Make) -> None:
    sim = make()
    client = Client(sim)
    client.identify()
    sim.fault("half_open")
    client.say(1, 1)
    gevent.sleep(0.3)
    clock.advance(2 * sim.options.late)
    sim.wait("late")
    sim.clear()
    assert violations(sim) == []


def test_a_server_that_stops_reading_does_not_cut_the_link_itself(clock: StandingTime, make: Make) -> None:
    sim = make()
    client = Client(sim)
    client.identify()
    sim.fault("stop_reading")
    client.say(1, 1)
    clock.advance(2 * sim.options.late)
    client.ws.settimeout(1)
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.read()
    sim.clear()
    client.ws.settimeout(PATIENCE)
    assert client.read() == {"op": 11}
    assert sim.record(kind="late") == []


# --- events, resume ----------------------------------------------------------------------------


def test_messages_have_the_platforms_shape(sim: QQSim) -> None:
    client = Client(sim)
    client.identify(C2C | GUILDS | 1 << 12)
    sim.say(text="hello", chat="U1")
    sim.say(text="all", chat="G1", chat_type="group", user="ann")
    sim.say(text="guild", chat="77", chat_type="channel", user="ann")
    sim.say(text="psst", chat="88", chat_type="direct", user="ann")
    frames = [client.read() for _ in range(4)]
    assert [frame["s"] for frame in frames] == [2, 3, 4, 5]
    c2c, group, guild, direct = (frame["d"] for frame in frames)
    assert frames[0]["t"] == "C2C_MESSAGE_CREATE" and frames[0]["id"].startswith("C2C_MESSAGE_CREATE:")
    assert c2c["author"]["user_openid"] == "U1" and c2c["content"] == "hello" and c2c["id"].startswith("ROBOT1.0_")
    assert frames[1]["t"] == "GROUP_AT_MESSAGE_CREATE" and group["content"] == " all"
    assert group["group_openid"] == "G1" and len(group["author"]["member_openid"]) == 32
    assert frames[2]["t"] == "AT_MESSAGE_CREATE" and guild["content"].startswith("<@!") and guild["channel_id"] == "77"
    assert frames[3]["t"] == "DIRECT_MESSAGE_CREATE" and direct["guild_id"] == "88" and direct["direct_message"] is True


def test_events_outside_the_intents_do_not_come_and_unknown_ones_do(sim: QQSim) -> None:
    client = Client(sim)
    client.identify(C2C)
    sim.say(text="guild", chat_type="channel")
    sim.say(event="FRIEND_ADD", chat="U1")
    sim.say(event="GROUP_ADD_ROBOT", chat="G1", chat_type="group")
    sim.say(event="NEVER_HEARD_OF", d={"x": 1})
    frames = [client.read() for _ in range(3)]
    assert [frame["t"] for frame in frames] == ["FRIEND_ADD", "GROUP_ADD_ROBOT", "NEVER_HEARD_OF"]
    assert frames[0]["d"]["openid"] == "U1" and frames[2]["d"] == {"x": 1}
    assert [entry["event"] for entry in sim.record(kind="lost")] == ["AT_MESSAGE_CREATE"]


def test_an_attachment_can_be_fetched(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.say(text="look", attachments=[{"content_type": "image/png", "filename": "a.png", "data": "aGVsbG8="}])
    attachment = client.read()["d"]["attachments"][0]
    assert attachment["size"] == 5 and "data" not in attachment
    fetched = requests.get(attachment["url"], timeout=PATIENCE)
    assert fetched.content == b"hello" and fetched.headers["Content-Type"] == "image/png"


def test_resume_replays_what_came_after_its_number_and_then_says_resumed(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.say(text="one")
    sim.say(text="two")
    assert [client.read()["d"]["content"] for _ in range(2)] == ["one", "two"]
    sim.fault("rst")
    sim.wait("close")
    sim.say(text="three")
    again = Client(sim)
    again.resume(client.session, 2)
    frames = [again.read() for _ in range(3)]
    assert [(frame["s"], frame["t"], frame["d"] and frame["d"]["content"]) for frame in frames] == [
        (3, "C2C_MESSAGE_CREATE", "two"),
        (4, "C2C_MESSAGE_CREATE", "three"),
        (5, "RESUMED", ""),
    ]
    replayed = [entry["s"] for entry in sim.record(kind="push") if entry["replay"]]
    assert replayed == [3, 4]
    assert [entry["how"] for entry in sim.record(kind="ack")] == ["resume"]


def test_what_no_seq_has_confirmed_is_replayed_again_and_again(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    said = sim.say(text="one")
    for _ in range(3):
        again = Client(sim)
        again.resume(client.session, 1)
        assert again.read()["d"]["id"] == said["message_id"]
        assert again.read()["t"] == "RESUMED"


def test_a_resumed_session_leaves_its_old_link(sim: QQSim) -> None:
    old = Client(sim)
    old.identify()
    new = Client(sim)
    new.resume(old.session, 1)
    assert old.closed_with() == 4009
    assert new.read()["t"] == "RESUMED"


def test_an_unknown_session_is_4006_and_a_number_never_given_4007(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    stranger = Client(sim)
    stranger.resume("nonsense", 1)
    assert stranger.closed_with() == 4006
    ahead = Client(sim)
    ahead.resume(client.session, 2)
    assert ahead.closed_with() == 4007


def test_a_session_ends_some_time_after_its_link(make: Make) -> None:
    sim = make(session_ttl=0.3)
    client = Client(sim)
    client.identify()
    client.ws.close()
    sim.wait("expired")
    late = Client(sim)
    late.resume(client.session, 1)
    assert late.closed_with() == 4006


def test_a_new_session_does_not_get_what_the_old_one_held(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    client.ws.close()
    sim.wait("close")
    said = sim.say(text="to the old one")
    other = Client(sim)
    other.identify()
    assert sim.wait("abandoned")["messages"] == [said["message_id"]]
    sim.say(text="to the new one")
    assert other.read()["d"]["content"] == "to the new one"


def test_a_message_without_any_session_is_lost_and_said_so(sim: QQSim) -> None:
    said = sim.say(text="anybody?")
    assert sim.record(kind="lost")[0]["message_id"] == said["message_id"]


def test_op9_false_forgets_the_session_and_true_keeps_it(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.fault("op9", resumable=True)
    assert client.read() == {"op": 9, "d": True}
    client.resume(client.session, 1)
    assert client.read()["t"] == "RESUMED"
    sim.fault("op9", resumable=False)
    assert client.read() == {"op": 9, "d": False}
    client.resume(client.session, 1)
    assert client.closed_with() == 4006


def test_op7_gives_the_client_time_to_leave(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.fault("op7", grace=0.2)
    assert client.read()["op"] == 7
    assert client.closed_with() == 4009
    assert sim.record(kind="stayed_after_op7")


@pytest.mark.parametrize("code, resumable", [(4009, True), (4008, True), (1000, True), (4006, False), (4903, False)])
def test_a_close_code_means_for_the_session_what_the_documents_say(sim: QQSim, code: int, resumable: bool) -> None:
    client = Client(sim)
    client.identify()
    sim.fault("close", code=code)
    assert client.closed_with() == code
    client.ws.close()
    again = Client(sim)
    again.resume(client.session, 1)
    if resumable:
        assert again.read()["t"] == "RESUMED"
    else:
        assert again.closed_with() == 4006


def test_close_4004_needs_a_new_token(sim: QQSim) -> None:
    client = Client(sim)
    old = token_of(sim)
    client.identify()
    sim.fault("close", code=4004)
    assert client.closed_with() == 4004
    again = Client(sim)
    assert token_of(sim) != old
    again.resume(client.session, 1)
    assert again.read()["t"] == "RESUMED"


def test_a_duplicate_has_the_same_message_id_and_another_number(sim: QQSim) -> None:
    client = Client(sim)
    client.identify()
    sim.fault("duplicate", count=1)
    sim.say(text="one")
    first, second = client.read(), client.read()
    assert first["d"]["id"] == second["d"]["id"] and second["s"] == first["s"] + 1
    client.beat()
    sim.fault("redeliver")
    assert client.read()["d"]["id"] == first["d"]["id"]


def test_a_chats_next_message_waits_until_the_one_before_has_arrived(make: Make) -> None:
    sim = make(hold_order=True)
    client = Client(sim)
    client.identify()
    assert sim.say(text="1")["held"] is False
    second, third = sim.say(text="2"), sim.say(text="3")
    assert second["held"] and third["held"] and sim.say(text="other", chat="U2")["held"] is False
    assert [client.read()["d"]["content"] for _ in range(2)] == ["1", "other"]
    client.beat()
    assert client.read()["d"]["content"] == "2"
    assert reply(sim, second).status_code == 200
    assert client.read()["d"]["content"] == "3"
    assert sim.state()["held"] == 0 and sim.state()["unacked"] == 1
