"""The HTTP contract: every address, what it answers, and what it says when it refuses."""

import socket
import time

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.errors import ConfError
from hermes_green.core.ports import DeadLetter, Line, Sent
from hermes_green.web.exchange import MAX_BODY
from hermes_green.web.server import Server
from tests.support.gateway import Site, child
from tests.support.stage import PATIENCE


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


SEND = {"child": "web", "chat": "main", "text": "hello"}


def test_health_is_told_while_the_hub_turns(site):
    answer = site.get("/healthz")
    assert answer.status == 200
    assert set(answer.json()) == {"hub_lag_ms", "pid", "store"}


def test_ready_means_every_child_and_a_child_can_be_asked_for(site):
    halted = child("qq/two", "HALTED", reason={"code": "auth", "text": "refused", "action": "fix client_secret"})
    site.gateway.children.append(halted)
    answer = site.get("/readyz")
    assert answer.status == 503
    assert answer.json()["not_ready"][0]["id"] == "qq/two"
    assert site.get("/readyz?child=web").status == 200
    assert site.get("/readyz?child=qq/two").status == 503
    assert site.get("/readyz?child=qq%2Ftwo").status == 503
    assert site.get("/readyz?child=none").status == 404


def test_metrics_are_text_for_prometheus(site):
    answer = site.get("/metrics")
    assert answer.body == b"hermes_green_up 1\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_status_is_the_gateways_own(site):
    assert site.get("/api/status").json()["children"][0]["id"] == "web"


def test_a_send_is_accepted_with_an_id_that_can_be_asked_about(site):
    answer = site.post("/api/send", SEND)
    assert answer.status == 202
    assert answer.json() == {"id": "s-1", "state": "queued"}
    assert site.get("/api/send/s-1").json() == {"id": "s-1", "state": "queued", "receipt": None, "reason": ""}
    body, _ = site.gateway.sends["k0"]
    site.gateway.sends["k0"] = (body, Sent("s-1", "delivered", {"id": "m", "at": 1.0}))
    assert site.get("/api/send/s-1").json()["receipt"] == {"id": "m", "at": 1.0}
    assert site.get("/api/send/s-9").status == 404


def test_half_a_surrogate_pair_which_no_platform_takes_is_taken_out(site):
    answer = site.post("/api/send", {**SEND, "text": "a\ud800b", "thread": "\udfff"})
    assert answer.status == 202, answer.json()
    (_, _, text, thread, _), _ = site.gateway.sends["k0"]
    assert (text, thread) == ("a?b", "?")


def test_the_same_key_is_the_same_send_and_another_body_under_it_is_refused(site):
    first = site.post("/api/send", SEND, Idempotency_Key="one")
    assert site.post("/api/send", SEND, Idempotency_Key="one").json() == first.json()
    other = site.post("/api/send", {**SEND, "text": "other"}, Idempotency_Key="one")
    assert (other.status, other.code) == (409, "KeyReused")
    assert "use a new key" in other.json()["error"]["text"]


@pytest.mark.parametrize(
    "body, field",
    [
        ({"chat": "main", "text": "x"}, "child"),
        ({"child": "web", "text": "x"}, "chat"),
        ({"child": "web", "chat": "main"}, "text"),
        ({"child": "web", "chat": "main", "text": "  "}, "text"),
        ({"child": "web", "chat": "main", "text": 5}, "text"),
        ({"child": "web", "chat": "main", "text": "x", "thread": 1}, "thread"),
        ({"child": "web", "chat": "main", "text": "x", "colour": "red"}, "colour"),
        ({"child": "web", "chat": "?", "text": "x"}, "chat"),
    ],
)
def test_a_wrong_field_is_named(site, body, field):
    answer = site.post("/api/send", body)
    assert answer.status == 422
    assert answer.json()["error"]["field"] == field
    assert field in answer.json()["error"]["text"]


def test_an_unknown_child_is_404_and_the_known_ones_are_named(site):
    answer = site.post("/api/send", {**SEND, "child": "telegraph"})
    assert (answer.status, answer.code) == (404, "unknown_child")
    assert "web" in answer.json()["error"]["text"]


def test_a_store_that_is_away_is_503_and_says_when_to_come_again(site):
    site.gateway.away = True
    answer = site.post("/api/send", SEND)
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert answer.json()["error"]["text"] == "the disk is full: free disk space"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"nan", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_400(site, body):
    assert site.post("/api/send", body).status == 400


def test_a_large_body_is_refused_unread(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        head = "POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {10**9}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_large_body_without_a_length_is_refused_too(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        head = b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(MAX_BODY // 65536 + 1):
            client.sendall(chunk)
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_query_that_makes_no_sense_is_the_clients_fault(site):
    assert site.get("/healthz?" + "&".join(f"a{n}=1" for n in range(60))).status == 400
    assert site.get("/api/dead?limit=" + "9" * 5000).status == 422


@pytest.mark.parametrize("head", ["A: b\r\n" * 200, "A: " + "b" * 70_000 + "\r\n", "\x00\r\n", "no colon\r\n"])
def test_a_head_that_no_browser_sends_is_refused_without_a_stack_in_the_log(site, capfd, head):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
        assert client.recv(4096).split(b" ")[1] in (b"400", b"200")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("part", ["line", "head", "body"])
def test_a_request_that_drips_loses_its_place(site, monkeypatch, part):
    monkeypatch.setattr("hermes_green.web.server.IDLE", 0.5)
    begun = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    begun = {"line": b"POST /", "head": begun + b"X: ", "body": begun + b"Content-Length: 100000\r\n\r\n"}[part]
    until = time.monotonic() + PATIENCE
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        client.sendall(begun)
        with pytest.raises(OSError):
            while time.monotonic() < until:
                client.sendall(b"x")
                gevent.sleep(0.05)


def test_children_are_commanded_also_when_their_id_has_a_slash(site):
    site.gateway.children.append(child("qq/two"))
    for path in ("/api/adapters/qq/two/restart", "/api/adapters/qq%2Ftwo/stop", "/api/adapters/web/start"):
        assert site.post(path, {}).status == 202
    assert site.gateway.commands == [("qq/two", "restart"), ("qq/two", "stop"), ("web", "start")]
    assert site.post("/api/adapters/none/restart").status == 404
    assert site.post("/api/adapters/web/explode").status == 404


def test_a_reload_tells_what_changed_or_what_is_wrong(site):
    assert site.post("/api/reload").json()["ok"] is True
    site.gateway.reload_result = {"ok": False, "changed": [], "restart_required": [], "errors": ["qq.yaml:3:1 ..."]}
    answer = site.post("/api/reload")
    assert answer.status == 422
    assert answer.json()["errors"] == ["qq.yaml:3:1 ..."]
    assert "nothing was changed" in answer.json()["error"]["text"]


def test_stop_answers_before_it_stops(site):
    assert site.post("/api/stop", {}).status == 202
    assert site.gateway.stopped


def test_dead_letters_are_listed_retried_and_dropped(site):
    site.gateway.letters = [
        DeadLetter(f"out-{n}", "outbox", "web", "main", "window closed", 1700000000.0, "hi") for n in (1, 2, 3)
    ]
    assert [one["id"] for one in site.get("/api/dead?limit=2").json()["dead"]] == ["out-1", "out-2"]
    assert site.get("/api/dead").json()["dead"][0]["at"] == "2023-11-14T22:13:20.000Z"
    assert site.post("/api/dead/out-1/retry").status == 200
    assert site.post("/api/dead/out-2/drop").status == 200
    assert site.post("/api/dead/out-2/drop").status == 404
    for limit in ("0", "-1", "x", "99999999999"):
        assert site.get(f"/api/dead?limit={limit}").json()["error"]["field"] == "limit"


def test_sessions_are_listed_shown_and_reset(site):
    site.gateway.talks = {"web/main/a b": ["hi"]}
    assert site.get("/api/sessions").json()["sessions"][0]["session_id"] == "web/main/a b"
    assert site.get("/api/sessions/web/main/a%20b").json()["history"] == [{"role": "user", "text": "hi"}]
    assert site.post("/api/sessions/web%2Fmain%2Fa%20b/reset").status == 200
    assert site.get("/api/sessions/web/main/a%20b").status == 404


def test_the_wrong_method_is_told_the_right_one(site):
    answer = site.get("/api/send")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert site.ask("DELETE", "/api/status").status == 405
    assert site.get("/nothing").status == 404


def test_head_is_get_without_a_body(site):
    answer = site.ask("HEAD", "/healthz")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 10


def test_head_of_an_event_stream_opens_none(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        client.sendall(b"HEAD /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        said = b""
        while b"welcome" not in said and (piece := client.recv(4096)):
            said += piece
    assert said.count(b"HTTP/1.1 200 OK") == 2 and b"welcome" not in said
    assert not site.gateway.ears


def test_a_view_that_fails_is_a_500_in_json_and_the_server_goes_on(site):
    site.gateway.status = lambda: 1 / 0
    answer = site.get("/api/status")
    assert (answer.status, answer.code) == (500, "bug")
    assert b"ZeroDivision" not in answer.body
    assert site.get("/healthz").status == 200


def test_many_requests_on_one_connection_do_not_wait_for_delayed_acks(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE) as client:
        took = []
        for _ in range(50):
            begun = time.monotonic()
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while b"}" not in data:
                data += client.recv(4096)
            took.append(time.monotonic() - begun)
        # With Nagle's algorithm against delayed acks nearly all would take 40 ms; a busy machine holds up some.
        assert sum(seconds < 0.035 for seconds in took) >= 25, took


def test_a_port_that_is_taken_is_a_configuration_error(site):
    with pytest.raises(ConfError, match="cannot listen") as caught:
        Server("127.0.0.1", site.server.port, site.views, None).start()
    assert caught.value.text == f"http cannot listen on 127.0.0.1:{site.server.port}: Address already in use"
    assert "http.port" in caught.value.action
    with pytest.raises(ConfError, match=r"http cannot listen on 192\.0\.2\.1:0: [\w' ]+$"):
        Server("192.0.2.1", 0, site.views, None).start()


def test_the_address_is_one_a_browser_can_open(site):
    assert site.server.url == f"http://127.0.0.1:{site.server.port}"
    assert site.get("/healthz").status == 200


def test_stopping_lets_a_running_answer_finish(site):
    begun = Event()
    site.gateway.health = lambda: begun.set() or gevent.sleep(0.2) or {"store": "ok"}
    idle = socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE)
    running = gevent.spawn(site.get, "/healthz")
    assert begun.wait(PATIENCE)
    with gevent.Timeout(PATIENCE):  # a kept connection without a request holds up nobody
        site.server.stop(timeout=600)
    assert running.get(timeout=PATIENCE).status == 200
    idle.close()
    with pytest.raises(OSError):
        site.get("/healthz")


def test_a_transcript_is_read_per_chat(site):
    site.gateway.lines = [("main", Line("a", "user", "hi", 1700000000.0)), ("other", Line("b", "user", "no", 1.0))]
    assert site.get("/api/chat").json() == {
        "chat": "main",
        "lines": [{"id": "a", "role": "user", "text": "hi", "at": "2023-11-14T22:13:20.000Z"}],
    }
