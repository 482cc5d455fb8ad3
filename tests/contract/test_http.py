"""What an HTTP call promises: above all, whether a failed one may have been acted upon."""

from __future__ import annotations

import gc
import json
from typing import Any, Callable, Iterator

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from hermes_green.core.errors import AuthRejected, ConfError, LinkLost, SendRetry, SendUnknown, Throttled
from hermes_green.link import pool
from hermes_green.link.http import AnswerLost, BadAnswer, Http, RequestNotSent, as_send_error
from tests.support.plainhttp import Request, read_request, respond
from tests.support.proxies import HttpProxy, Proxy, Socks5Proxy
from tests.support.stage import PATIENCE, until
from tests.support.standing import StandingTime
from tests.support.tls import Authority, make_authority

Script = Callable[[socket.socket, Request], Any]


class Server:
    """Runs ``script(sock, request)`` for every request; a connection goes on while that returns None."""

    def __init__(self, script: Script, context: Any = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0  # so far
        self.open = 0  # now
        options = {"ssl_context": context} if context else {}
        self._scheme = "https" if context else "http"
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **options)

    def __enter__(self) -> "Server":
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop(timeout=0.1)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def _serve(self, sock: socket.socket, address: object) -> None:
        self.connections += 1
        self.open += 1
        stream = sock.makefile("rb")
        try:
            while (request := read_request(stream)) is not None:
                self.requests.append(request)
                if self.script(sock, request) is not None:
                    return
        except (OSError, ValueError):
            pass
        finally:
            self.open -= 1
            stream.close()
            sock.close()


def mirror(sock: socket.socket, request: Request) -> None:
    """Answers with what it was asked."""
    body = {"method": request.method, "target": request.target, "headers": dict(request.headers)}
    respond(sock, 200, {**body, "body": request.body.decode("latin-1")})


def late(sock: socket.socket, request: Request) -> None:
    gevent.sleep(0.05)
    mirror(sock, request)


def side_by_side(http: Http, calls: int) -> None:
    gevent.joinall([gevent.spawn(http.request, "GET", "/") for _ in range(calls)], timeout=PATIENCE, raise_error=True)


def idlers(server: Server) -> list[gevent.Greenlet]:
    """The greenlets that close idle connections to it."""
    found = (each for each in gc.get_objects() if isinstance(each, gevent.Greenlet) and not each.dead)
    return [each for each in found if each.name == f"http-idle-{server.url.removeprefix('http://')}"]


def hang(sock: socket.socket, request: Request) -> None:
    gevent.sleep(600)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(mirror) as made:
        yield made


def fails(kind: type[LinkLost], http: Http, path: str = "/x?token=s3cret", **more: Any) -> LinkLost:
    with gevent.Timeout(PATIENCE), pytest.raises(LinkLost) as caught:
        http.request("POST", path, json={"a": 1}, **more)
    assert type(caught.value) is kind, caught.value
    assert "s3cret" not in str(caught.value) and "s3cret" not in caught.value.action
    return caught.value


# --- calls ---


def test_a_call_and_its_answer(server: Server) -> None:
    http = Http(server.url + "/base/", headers={"X-Mine": "yes"})
    answer = http.request("POST", "/path", json={"ü": "你"}, params={"q": "a b"}, headers={"X-More": "1"})
    seen = answer.json()
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert seen["target"] == "/base/path?q=a+b"
    assert seen["headers"]["x-mine"] == "yes" and seen["headers"]["x-more"] == "1"
    assert json.loads(seen["body"].encode("latin-1")) == {"ü": "你"}


def test_a_whole_address_is_taken_as_it_is(server: Server) -> None:
    assert Http("http://127.0.0.1:1").request("GET", server.url + "/y").json()["target"] == "/y"


def test_files_are_uploaded_as_forms(server: Server) -> None:
    http = Http(server.url)
    answer = http.request("POST", "/up", data={"kind": "image"}, files={"file": ("a.png", b"\x89PNG", "image/png")})
    seen = answer.json()
    assert "multipart/form-data" in seen["headers"]["content-type"]
    assert "a.png" in seen["body"] and "image" in seen["body"]


def test_an_error_status_is_an_answer() -> None:
    with Server(lambda sock, request: respond(sock, 429, {"code": 7}, {"Retry-After": "2.5"})) as server:
        answer = Http(server.url).request("GET", "/")
    assert answer.status == 429 and answer.json() == {"code": 7} and answer.retry_after == 2.5


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with Server(lambda sock, request: respond(sock, 302, {}, {"Location": "http://127.0.0.1:1/"})) as server:
        http = Http(server.url, headers={"Authorization": "Bearer s3cret"})
        assert http.request("GET", "/").status == 302


@pytest.mark.parametrize("body", [b"", b"<html>s3cret</html>", b"[1]", b'{"a":', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_bad_answer(body: bytes) -> None:
    with Server(lambda sock, request: respond(sock, 502, body)) as server:
        answer = Http(server.url).request("GET", "/")
        with pytest.raises(BadAnswer, match="HTTP 502") as caught:
            answer.json()
    assert caught.value.status == 502 and "s3cret" not in str(caught.value)


def test_connections_are_used_again_and_calls_run_side_by_side(server: Server) -> None:
    http = Http(server.url)
    for _ in range(5):
        http.request("GET", "/")
    assert server.connections == 1
    jobs = [gevent.spawn(http.request, "GET", f"/{n}") for n in range(50)]
    gevent.joinall(jobs, timeout=PATIENCE)
    assert sorted(job.value.json()["target"] for job in jobs) == sorted(f"/{n}" for n in range(50))


def test_cookies_and_netrc_are_not_looked_at(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Server(lambda sock, request: respond(sock, 200, {}, {"Set-Cookie": "a=b"})) as server:
        http = Http(server.url, headers={"Authorization": "Bearer mine"})
        http.request("GET", "/")
        http.request("GET", "/")
    assert "cookie" not in server.requests[1].headers
    assert server.requests[1].headers["authorization"] == "Bearer mine"


# --- TLS and proxies ---


def test_a_private_authority_is_believed_when_named(authority: Authority) -> None:
    with Server(mirror, authority.server_context()) as server:
        assert Http(server.url, ca_file=authority.ca_file).request("GET", "/").status == 200
        lost = fails(RequestNotSent, Http(server.url))
        assert "certificate" in str(lost)
        assert server.requests[1:] == []


def test_an_authority_file_that_is_none_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfError, match="missing.pem"):
        Http("https://127.0.0.1:1", ca_file="missing.pem")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_call_through_a_proxy(authority: Authority, tls: bool, kind: type[Proxy]) -> None:
    with Server(mirror, authority.server_context() if tls else None) as server, kind("user", "p@ss") as proxy:
        url = proxy.url.replace("p@ss", "p%40ss")
        http = Http(server.url, ca_file=authority.ca_file, proxy=url)
        assert http.request("POST", "/", json={"a": 1}).status == 200
        assert len(proxy.record) == 1 and proxy.record[0].user == "user:p@ss"


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_tunnel_that_is_refused_means_that_nothing_was_sent(authority: Authority, kind: type[Proxy]) -> None:
    with Server(mirror, authority.server_context()) as server, kind() as proxy:
        proxy.refuse = True
        fails(RequestNotSent, Http(server.url, ca_file=authority.ca_file, proxy=proxy.url))
        assert server.requests == []


def test_no_proxy_takes_a_host_out_and_the_environment_puts_none_in(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        Http(server.url).request("GET", "/")
        assert proxy.record == []
        proxy.refuse = True
        Http("http://agent.example", environment=True).request("GET", "/")
        assert [entry.host for entry in proxy.record] == ["agent.example"]
        proxy.refuse = False
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        Http(server.url, proxy=proxy.url).request("GET", "/")
        assert len(proxy.record) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_endpoint_on_this_machine_is_asked_past_the_environments_proxies(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """The proxy would look for an agent that runs here on its own machine, and hear what users say."""
    with HttpProxy() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        Http(server.url.replace("127.0.0.1", host), environment=True).request("GET", "/")
        assert proxy.record == []


# --- nothing was sent ---


def test_nothing_is_sent_where_nobody_listens() -> None:
    assert "refused" in str(fails(RequestNotSent, Http("http://127.0.0.1:1")))


def test_nothing_is_sent_to_a_name_that_does_not_exist() -> None:
    fails(RequestNotSent, Http("http://nosuch.invalid"))


def test_a_lookup_that_hangs_is_given_up_at_the_connect_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *any, **more: gevent.sleep(600))
    lost = fails(RequestNotSent, Http("http://some.example", connect=0.3, read=600))
    assert lost.code == "connect_timeout"


def test_a_tls_handshake_that_hangs_is_given_up_at_the_connect_deadline() -> None:
    silent = StreamServer(("127.0.0.1", 0), lambda sock, address: gevent.sleep(600))
    silent.start()
    fails(RequestNotSent, Http(f"https://127.0.0.1:{silent.server_port}", connect=0.3, read=600))
    silent.stop(timeout=0.1)


def test_a_proxy_that_hangs_is_given_up_at_the_connect_deadline() -> None:
    silent = StreamServer(("127.0.0.1", 0), lambda sock, address: gevent.sleep(600))
    silent.start()
    for scheme in ("http", "socks5"):
        proxy = f"{scheme}://127.0.0.1:{silent.server_port}"
        fails(RequestNotSent, Http("https://127.0.0.1:1", connect=0.3, read=600, proxy=proxy))
    silent.stop(timeout=0.1)


@pytest.mark.parametrize("base", ["nonsense", "ftp://h", "http://", "http://h:99999999"])
def test_an_address_that_is_none_is_a_matter_of_configuration(base: str) -> None:
    with pytest.raises(ConfError):
        Http(base).request("GET", "/")


def test_a_header_that_cannot_be_is_a_matter_of_configuration(server: Server) -> None:
    for value in ("s3cret\nb", "s3cret 你"):
        with pytest.raises(ConfError) as caught:
            Http(server.url).request("GET", "/", headers={"X-Bad": value})
        assert "s3cret" not in str(caught.value)
    assert server.requests == []


# --- it may have been acted upon ---


def cut(sock: socket.socket, request: Request) -> bool:
    return True


def half(sock: socket.socket, request: Request) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
    return True


def half_chunked(sock: socket.socket, request: Request) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
    return True


def nonsense(sock: socket.socket, request: Request) -> bool:
    sock.sendall(b"\x00\x01\x02 what?\r\n\r\n")
    return True


def reset(sock: socket.socket, request: Request) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    return True


@pytest.mark.parametrize("script", [cut, half, half_chunked, nonsense, reset])
@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_breaks_off_is_lost(authority: Authority, script: Script, tls: bool) -> None:
    with Server(script, authority.server_context() if tls else None) as server:
        fails(AnswerLost, Http(server.url, ca_file=authority.ca_file))
        assert len(server.requests) == 1, "nothing is repeated on its own"


def test_an_answer_that_does_not_come_is_lost_at_the_read_deadline() -> None:
    with Server(hang) as server:
        fails(AnswerLost, Http(server.url, read=0.3, total=600))
        fails(AnswerLost, Http(server.url, total=600), read=0.3)


def test_an_answer_that_drips_is_lost_at_the_total_deadline() -> None:
    def drip(sock: socket.socket, request: Request) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            sock.sendall(b"x")
            gevent.sleep(0.05)

    with Server(drip) as server:
        lost = fails(AnswerLost, Http(server.url, total=0.5))
        assert lost.code == "timeout"


def test_an_answer_that_is_too_long_is_lost() -> None:
    with Server(lambda sock, request: respond(sock, 200, b"x" * 2000)) as server:
        fails(AnswerLost, Http(server.url, limit=1000))


def test_a_reused_connection_that_breaks_under_the_request_is_ambiguous() -> None:
    count = []

    def once(sock: socket.socket, request: Request) -> bool | None:
        count.append(1)
        return mirror(sock, request) if len(count) == 1 else True

    with Server(once) as server:
        http = Http(server.url)
        http.request("GET", "/")
        fails(AnswerLost, http)


def test_a_small_request_leaves_in_one_piece() -> None:
    pieces = []

    def take(sock: socket.socket, address: object) -> None:
        for _ in range(2):
            pieces.append(sock.recv(65_536))
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    server = StreamServer(("127.0.0.1", 0), take)
    server.start()
    http = Http(f"http://127.0.0.1:{server.server_port}")
    for _ in range(2):
        assert http.request("POST", "/reply", json={"text": "hello"}).json() == {}
    http.close()
    server.stop(timeout=0.1)
    assert len(pieces) == 2
    assert all(piece.startswith(b"POST /reply ") and piece.endswith(b'{"text": "hello"}') for piece in pieces)


def test_a_connection_closed_while_idle_is_not_used() -> None:
    def once(sock: socket.socket, request: Request) -> bool:
        mirror(sock, request)
        return True

    with Server(once) as server:
        http = Http(server.url)
        for _ in range(5):
            assert http.request("POST", "/", json={}).status == 200
            gevent.sleep(0.02)


def test_a_connection_that_nobody_uses_is_closed_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, pool)
    with Server(late) as server:
        http = Http(server.url, idle=0.3)
        side_by_side(http, 3)
        for _ in range(4):  # the newest is used first, so the others grow old
            clock.advance(0.1)
            http.request("GET", "/")
        until(lambda: server.open == 1)
        assert server.connections == 3
        clock.advance(0.2)
        gevent.sleep(0.4)
        assert server.open == 1
        clock.advance(0.2)
        until(lambda: server.open == 0)
        assert not idlers(server), "what closes them ends with the last"
        assert http.request("GET", "/again").status == 200 and server.connections == 4
        http.close()
        until(lambda: server.open == 0 and not idlers(server))


def test_of_many_idle_connections_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECTIONS", 5)
    with Server(late) as server:
        http = Http(server.url)
        side_by_side(http, 20)
        until(lambda: server.open == 5)
        assert server.connections == 20
        http.close()
        until(lambda: server.open == 0 and not idlers(server))


def test_a_killed_call_leaves_no_half_read_connection_behind() -> None:
    def slow(sock: socket.socket, request: Request) -> None:
        gevent.sleep(0.2)
        mirror(sock, request)

    with Server(slow) as server:
        http = Http(server.url)
        job = gevent.spawn(http.request, "GET", "/first")
        gevent.sleep(0.1)
        job.kill()
        assert http.request("GET", "/second").json()["target"] == "/second"


# --- what it means for a message being sent ---


def test_errors_are_translated_for_senders() -> None:
    sent = as_send_error(RequestNotSent("x"))
    assert isinstance(sent, SendRetry) and sent.scope == "chat"
    assert isinstance(as_send_error(AnswerLost("x")), SendUnknown)
    assert isinstance(as_send_error(BadAnswer("x")), SendUnknown)
    assert isinstance(as_send_error(LinkLost("x")), SendUnknown)
    slow = as_send_error(Throttled("x", after=7))
    assert isinstance(slow, SendRetry) and slow.after == 7 and slow.scope == "account"
    refused = as_send_error(AuthRejected("x", action="set it"))
    assert isinstance(refused, SendRetry) and refused.after == 60 and refused.action == "set it"
