"""The way to an open link: every step's success, failure and deadline, proxies and TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from hermes_green.core.errors import ConfError, LinkLost
from hermes_green.link import dial as dialling
from hermes_green.link.websocket import DialOptions, UpgradeRefused, dial
from tests.support.proxies import HttpProxy, Proxy, Socks5Proxy
from tests.support.stage import PATIENCE
from tests.support.tls import Authority, make_authority
from tests.support.wsserver import BINARY, Peer, WsServer, close_frame, echo, frame


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


# --- the way there ---


def conversation(url: str, options: DialOptions) -> None:
    ws = dial(url, options)
    frames = ws.frames()
    for message in ("hé 你好", b"\x00\xff", "x" * 100_000, ""):
        ws.send(message)
        assert next(frames) == message
    ws.close()
    assert list(frames) == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_conversation(authority: Authority, tls: bool) -> None:
    with WsServer(echo, authority.server_context() if tls else None) as server:
        conversation(server.url, DialOptions(ca_file=authority.ca_file))


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
@pytest.mark.parametrize("login", [("", ""), ("user", "p@ss:w/rd")])
def test_a_conversation_through_a_proxy(
    authority: Authority, tls: bool, kind: type[Proxy], login: tuple[str, str]
) -> None:
    with WsServer(echo, authority.server_context() if tls else None) as server, kind(*login) as proxy:
        url = proxy.url.replace("p@ss:w/rd", "p%40ss%3Aw%2Frd")
        conversation(server.url, DialOptions(ca_file=authority.ca_file, proxy=url))
        (seen,) = proxy.record
        assert (seen.host, seen.port) == ("127.0.0.1", server.port)


@pytest.mark.parametrize("scheme, host", [("socks5", "127.0.0.1"), ("socks5h", "localhost")])
def test_the_proxy_resolves_names_only_when_asked_to(scheme: str, host: str) -> None:
    with WsServer(echo) as server, Socks5Proxy() as proxy:
        url = server.url.replace("127.0.0.1", "localhost")
        options = DialOptions(proxy=proxy.url.replace("socks5:", f"{scheme}:"))
        conversation(url, options)
        assert proxy.record[-1].host == host


def test_no_proxy_takes_a_host_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    with WsServer(echo) as server, HttpProxy() as proxy:
        conversation(server.url, DialOptions(proxy=proxy.url))
        assert proxy.record == []


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with WsServer(echo) as server, HttpProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        conversation(server.url, DialOptions())
        assert proxy.record == []


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_proxy_that_refuses_is_named_without_its_password(kind: type[Proxy]) -> None:
    with WsServer(echo) as server, kind("user", "right") as proxy:
        with pytest.raises(LinkLost, match="through the proxy 127.0.0.1") as caught:
            dial(server.url, DialOptions(proxy=proxy.url.replace("right", "wrong")))
        assert "wrong" not in str(caught.value) and "s3cret" not in str(caught.value)
        proxy.user, proxy.refuse = "", True
        with pytest.raises(LinkLost, match="through the proxy"):
            dial(server.url, DialOptions(proxy=proxy.url))


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    with WsServer(echo, authority.server_context()) as server:
        with pytest.raises(LinkLost, match="TLS handshake with 127.0.0.1 failed") as caught:
            dial(server.url, DialOptions())
        assert "ca_file" in caught.value.action


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = make_authority(tmp_path, names=("other.example",))
    with WsServer(echo, other.server_context()) as server:
        with pytest.raises(LinkLost, match="TLS handshake"):
            dial(server.url, DialOptions(ca_file=other.ca_file))


def test_a_bad_authority_file_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    for name in ("x.pem", "missing.pem"):
        with pytest.raises(ConfError, match=name):
            dial("wss://127.0.0.1:1/", DialOptions(ca_file=str(tmp_path / name)))


@pytest.mark.parametrize("url", ["http://h/", "ws:///x?ticket=s3cret", "ws://h:99999999/", "ws://h/a b", "", "wss"])
def test_an_address_that_is_none_is_a_matter_of_configuration(url: str) -> None:
    with pytest.raises(ConfError) as caught:
        dial(url)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(LinkLost, match="connecting to 127.0.0.1:1 failed: Connection refused"):
        dial("ws://127.0.0.1:1/?ticket=s3cret")


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(LinkLost, match="looking up nosuch.invalid"):
        dial("ws://nosuch.invalid/?ticket=s3cret", DialOptions(dns=0.5))


@pytest.mark.parametrize("host", ["no-such-host", "." + "a" * 70, "a..b"])
def test_a_name_that_cannot_be_found_loses_the_dial_and_is_no_bug_that_is_written_down(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    def unknown(name: str, *rest: object) -> object:
        name.encode("idna")  # as the system's own does
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(dialling.monkey, "get_original", lambda *any: unknown)
    unhandled: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *what: unhandled.append(what))
    with pytest.raises(LinkLost, match="looking up"):
        dial(f"ws://{host}/")
    gevent.sleep(0.05)
    assert unhandled == []


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with WsServer(echo) as server:
        dead, alive = ("127.0.0.1", 1), ("127.0.0.1", server.port)
        addresses = [(socket.AF_INET6, ("::1", 1, 0, 0)), (socket.AF_INET, dead), (socket.AF_INET, alive)]
        monkeypatch.setattr(dialling, "resolve", lambda *any: addresses)
        conversation(server.url, DialOptions())


# --- a deadline for each step ---


def hold(peer: Peer) -> None:
    gevent.sleep(600)


def late(url: str, options: DialOptions, step: str) -> None:
    """Nothing else ends what hangs here, for ten minutes."""
    with gevent.Timeout(PATIENCE), pytest.raises(LinkLost, match=step) as caught:
        dial(url, options)
    assert "s3cret" not in str(caught.value)


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = dialling.monkey.get_original("time", "sleep")  # in the pool's thread
    over: list[bool] = []

    def hang(*any: object) -> None:
        while not over:
            sleep(0.02)

    monkeypatch.setattr(dialling.monkey, "get_original", lambda *any: hang)
    try:
        late("ws://some.example/?ticket=s3cret", DialOptions(dns=0.5), "looking up some.example took longer than 0.5 s")
    finally:
        over.append(True)


def test_a_connect_that_hangs_is_given_up() -> None:
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    late(f"ws://127.0.0.1:{full.getsockname()[1]}/", DialOptions(connect=0.5), "connecting to 127.0.0.1")
    for each in (full, *fillers):
        each.close()


def test_a_tls_handshake_that_hangs_is_given_up(authority: Authority) -> None:
    with WsServer(hold) as server:
        late(server.url.replace("ws:", "wss:"), DialOptions(tls=0.5), "TLS handshake with 127.0.0.1 took longer")


def test_an_upgrade_that_hangs_is_given_up() -> None:
    with WsServer(hold) as server:
        late(server.url, DialOptions(upgrade=0.5), "upgrade at 127.0.0.1 took longer")


def test_an_upgrade_that_drips_is_given_up() -> None:
    def drip(peer: Peer) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
            peer.send(bytes([byte]))
            gevent.sleep(0.05)

    with WsServer(drip) as server:
        late(server.url, DialOptions(upgrade=0.5), "upgrade at 127.0.0.1 took longer")


def test_an_upgrade_that_floods_is_given_up() -> None:
    def flood(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            peer.send(b"X-Header: " + b"x" * 1000 + b"\r\n")

    with WsServer(flood) as server:
        late(server.url, DialOptions(upgrade=0.5), "upgrade at 127.0.0.1")


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_proxy_that_hangs_is_given_up(kind: type[Proxy]) -> None:
    silent = StreamServer(("127.0.0.1", 0), lambda sock, address: gevent.sleep(600))
    silent.start()
    late("ws://127.0.0.1:1/?ticket=s3cret", via(kind, silent.server_port), "through the proxy")
    silent.stop(timeout=0.1)


def via(kind: type[Proxy], port: int) -> DialOptions:
    return DialOptions(connect=0.5, proxy=f"{kind.scheme}://127.0.0.1:{port}")


# --- the upgrade ---


def answers(text: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(text.encode())

    return script


def test_a_refused_upgrade_tells_status_and_headers() -> None:
    body = "no " * 20_000
    head = f"HTTP/1.1 403 Forbidden\r\nHandshake-Status: 514\r\nContent-Length: {len(body)}\r\n\r\n"
    with WsServer(answers(head + body)) as server:
        with pytest.raises(UpgradeRefused, match="HTTP 403") as caught:
            dial(server.url)
    assert caught.value.status == 403
    assert caught.value.headers["handshake-status"] == "514"


def test_a_redirect_is_not_followed() -> None:
    with WsServer(answers("HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n")) as server:
        with pytest.raises(UpgradeRefused) as caught:
            dial(server.url)
    assert caught.value.status == 302 and caught.value.headers["location"] == "ws://127.0.0.1:1/"


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: wrong\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 101\r\nnonsense\r\n\r\n",
        "\xff\xfe\r\n\r\n",
        "",
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_lost_link(text: str) -> None:
    with WsServer(answers(text)) as server:
        with pytest.raises(LinkLost, match="upgrade") as caught:
            dial(server.url)
    assert not isinstance(caught.value, UpgradeRefused)


def test_the_request_carries_our_headers_and_no_origin_or_foreign_cookie() -> None:
    def sets_cookie(peer: Peer) -> None:
        peer.read_request()
        peer.send(peer.answer()[:-2] + b"Set-Cookie: a=b; Domain=127.0.0.1\r\n\r\n")
        gevent.sleep(600)

    with WsServer(sets_cookie) as server:
        for _ in range(2):
            dial(server.url, DialOptions(headers=("X-Mine: yes",))).close()
        request = server.peers[1].request.decode().lower()
    assert "x-mine: yes" in request
    assert "origin:" not in request and "cookie:" not in request
    assert request.startswith("get /path?ticket=s3cret http/1.1")


def test_frames_glued_to_the_handshake_are_not_lost() -> None:
    def glue(peer: Peer) -> None:
        peer.upgrade(frame("one") + frame("two") + frame("x" * 70_000))
        peer.send(close_frame(1000))
        gevent.sleep(600)

    with WsServer(glue) as server:
        ws = dial(server.url)
        assert [len(each) for each in ws.frames()] == [3, 3, 70_000]


def test_a_frame_cut_into_single_bytes_is_put_together() -> None:
    def drip(peer: Peer) -> None:
        peer.upgrade()
        for byte in frame("hé") + frame(b"\x01\x02", BINARY) + close_frame(1000):
            peer.send(bytes([byte]))
            gevent.sleep(0)

    with WsServer(drip) as server:
        assert list(dial(server.url).frames()) == ["hé", b"\x01\x02"]
