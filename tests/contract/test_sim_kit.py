"""The ground under every simulator: HTTP, WebSocket, the record and each fault."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Iterator

import gevent
import pytest
import requests
import websocket

from hermes_green.sim.kit import Answer, Link, Request, Simulator
from tests.support.stage import PATIENCE
from tests.support.tls import make_authority


class EchoSim(Simulator):
    """Says back what it hears."""

    platform = "echo"
    ws_path = "/ws"

    def is_dial(self, request: Request) -> bool:
        return request.path == "/discover"

    def is_send(self, request: Request) -> bool:
        return request.path == "/send"

    def route(self, request: Request) -> Answer:
        if request.path == "/send":
            self.sent += 1
            self.log.add("send", text=request.json().get("text"))
        return Answer(200, {"method": request.method, "query": dict(request.query), "size": len(request.body)})

    def received(self, link: Link, data: str | bytes) -> None:
        if not self.faults.on("mute_acks"):
            link.send(data)

    def say(self, **what: Any) -> dict[str, Any]:
        for link in list(self.links):
            link.send(what["text"])
        return {"message_id": "1"}


@pytest.fixture
def sim() -> Iterator[EchoSim]:
    with EchoSim() as running:
        yield running


OPEN: list[websocket.WebSocket] = []


@pytest.fixture(autouse=True)
def sockets_closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().shutdown()


def connect(sim: Simulator) -> websocket.WebSocket:
    ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE)
    OPEN.append(ws)
    return ws


def closed(ws: websocket.WebSocket) -> bool:
    """The connection ends, in whatever way, within its timeout."""
    try:
        while True:
            opcode, _ = ws.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return True
    except websocket.WebSocketTimeoutException:
        return False
    except (websocket.WebSocketException, OSError):
        return True


def test_http_requests_are_answered_on_one_kept_connection(sim: EchoSim) -> None:
    with requests.Session() as http:
        for size in (0, 10, 300_000):
            body = http.post(f"{sim.url}/x?a=1&b=%20", data=b"x" * size, timeout=PATIENCE).json()
            assert body == {"method": "POST", "query": {"a": "1", "b": " "}, "size": size}


def test_text_and_binary_of_any_size_come_back(sim: EchoSim) -> None:
    ws = connect(sim)
    for data in ("hello", "h\u00e9 \U0001f600" * 1000, b"\x00\x01" * 100_000):
        if isinstance(data, str):
            ws.send(data)
        else:
            ws.send_binary(data)
        assert ws.recv() == data
    ws.close()
    assert sim.wait("close")["how"] == "client"
    assert sim.state()["links"] == []


def test_a_client_that_does_not_mask_is_named_in_the_record(sim: EchoSim) -> None:
    ws = connect(sim)
    ws.sock.sendall(b"\x81\x02hi")
    assert "WebSocket protocol" in sim.wait("violation")["text"]
    assert closed(ws)


@pytest.mark.parametrize("fault", ["rst", "fin"])
def test_a_cut_ends_the_link_without_a_close_frame(sim: EchoSim, fault: str) -> None:
    ws = connect(sim)
    ws.send("x")
    ws.recv()
    sim.fault(fault)
    with pytest.raises((websocket.WebSocketConnectionClosedException, OSError)):
        ws.recv()
    assert sim.wait("close")["how"] == fault


def test_a_clean_close_carries_its_code_and_reason(sim: EchoSim) -> None:
    ws = connect(sim)
    ws.send("x")
    ws.recv()
    sim.fault("close", code=4009, reason="session timed out")
    opcode, data = ws.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert data == (4009).to_bytes(2, "big") + b"session timed out"
    entry = sim.wait("close")
    assert (entry["how"], entry["code"], entry["reason"]) == ("server", 4009, "session timed out")


def test_a_half_open_link_is_silent_until_cleared_while_a_new_one_works(sim: EchoSim) -> None:
    old = connect(sim)
    old.send("x")
    old.recv()
    sim.fault("half_open")
    old.settimeout(0.3)
    old.send("lost?")
    with pytest.raises(websocket.WebSocketTimeoutException):
        old.recv()
    new = connect(sim)
    new.send("fresh")
    assert new.recv() == "fresh"
    sim.clear()
    old.settimeout(PATIENCE)
    assert old.recv() == "lost?"


def test_the_end_of_a_dead_wire_does_not_reach_the_client(sim: EchoSim) -> None:
    ws = connect(sim)
    ws.send("x")
    ws.recv()
    sim.fault("half_open")
    sim.links[0].close(1000, "never seen")
    gevent.sleep(0.05)
    ws.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        ws.recv()


def test_stop_reading_delays_what_was_sent(sim: EchoSim) -> None:
    ws = connect(sim)
    begun = time.monotonic()
    sim.fault("stop_reading", seconds=0.4)
    ws.send("late")
    assert ws.recv() == "late"
    assert time.monotonic() - begun >= 0.35


def test_muted_acks_leave_native_pings_unanswered_too(sim: EchoSim) -> None:
    ws = connect(sim)
    sim.fault("mute_acks")
    ws.ping("a")
    ws.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        ws.recv_data(control_frame=True)
    sim.clear("mute_acks")
    ws.settimeout(PATIENCE)
    ws.ping("b")
    assert ws.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"b")


def test_slow_answers_come_after_the_delay(sim: EchoSim) -> None:
    sim.fault("slow", delay=0.3)
    begun = time.monotonic()
    assert requests.get(f"{sim.url}/x", timeout=PATIENCE).status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_refused_dials_carry_the_status_and_sends_still_pass(sim: EchoSim) -> None:
    sim.fault("refuse", status=502)
    assert requests.post(f"{sim.url}/discover", timeout=PATIENCE).status_code == 502
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(sim)
    assert refused.value.status_code == 502
    sim.fault("refuse", status="tcp")
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{sim.url}/discover", timeout=PATIENCE)
    assert requests.post(f"{sim.url}/send", json={"text": "a"}, timeout=PATIENCE).status_code == 200
    assert sim.state()["sent"] == 1
    assert sim.state()["dials"] == 2


def test_429_limits_sends_only_and_only_count_times(sim: EchoSim) -> None:
    sim.fault("429", after=7, count=1)
    first = requests.post(f"{sim.url}/send", json={"text": "a"}, timeout=PATIENCE)
    assert (first.status_code, float(first.headers["Retry-After"])) == (429, 7)
    assert requests.post(f"{sim.url}/send", json={"text": "a"}, timeout=PATIENCE).status_code == 200


def test_a_lost_answer_was_acted_upon(sim: EchoSim) -> None:
    sim.fault("lose_answer", count=1)
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{sim.url}/send", json={"text": "kept"}, timeout=PATIENCE)
    assert [entry["text"] for entry in sim.record(kind="send")] == ["kept"]


def test_a_hanging_server_accepts_and_never_answers(sim: EchoSim) -> None:
    sim.fault("hang")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{sim.url}/x", timeout=0.3)
    sim.clear()
    assert requests.get(f"{sim.url}/x", timeout=PATIENCE).status_code == 200


def test_the_control_api_does_what_the_methods_do(sim: EchoSim) -> None:
    ws = connect(sim)
    ws.send("x")
    ws.recv()
    control = f"{sim.url}/_sim"
    assert requests.post(f"{control}/say", json={"text": "hi"}, timeout=PATIENCE).json() == {"message_id": "1"}
    assert ws.recv() == "hi"
    slowed = requests.post(f"{control}/fault", json={"name": "slow", "delay": 0}, timeout=PATIENCE).json()
    assert slowed == {"faults": ["slow"]}
    assert requests.post(f"{control}/clear", json={}, timeout=PATIENCE).json() == {"faults": []}
    assert requests.post(f"{control}/fault", json={"name": "gremlins"}, timeout=PATIENCE).status_code == 400
    state = requests.get(f"{control}/state", timeout=PATIENCE).json()
    assert state["links"] == [1]
    seen = requests.get(f"{control}/record?since=0", timeout=PATIENCE).json()
    assert [event["n"] for event in seen["events"]] == list(range(1, seen["now"] + 1))
    assert requests.get(f"{control}/record?since={seen['now']}", timeout=PATIENCE).json()["events"] == []


def test_the_record_can_be_waited_for_over_http(sim: EchoSim) -> None:
    gevent.spawn_later(0.2, sim.log.add, "send", text="x")
    got = requests.get(f"{sim.url}/_sim/record?since=0&kind=send&wait=30", timeout=PATIENCE).json()
    assert [event["text"] for event in got["events"]] == ["x"]


@pytest.mark.parametrize("fault", ["rst", "fin", "close", "half_open"])
def test_everything_works_over_tls_too(tmp_path: Path, fault: str) -> None:
    authority = make_authority(tmp_path)
    files = {"certfile": authority.cert_file, "keyfile": authority.key_file}
    with EchoSim(hostname="localhost", **files) as sim:
        assert sim.url.startswith("https://localhost:")
        answer = requests.post(f"{sim.url}/send", json={"text": "a"}, verify=authority.ca_file, timeout=PATIENCE)
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{sim.url}/x", timeout=PATIENCE)
        ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE, sslopt={"ca_certs": authority.ca_file})
        OPEN.append(ws)
        ws.send("x" * 100_000)
        assert ws.recv() == "x" * 100_000
        sim.fault(fault)
        ws.settimeout(0.5 if fault == "half_open" else PATIENCE)
        assert closed(ws) is (fault != "half_open")
