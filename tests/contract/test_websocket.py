"""What a link promises, against a server that can do everything wrong."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer
from wsproto.events import CloseConnection, Pong

from hermes_green.core.errors import ConfError, LinkLost
from hermes_green.link import dial as dialling
from hermes_green.link.websocket import Close, DialOptions, Heartbeat, UpgradeRefused, WebSocket, dial
from tests.support.port import wait_for
from tests.support.proxies import HttpProxy, Proxy, Socks5Proxy
from tests.support.tls import Authority, make_authority
from tests.support.wsserver import BINARY, CLOSE, CONT, PING, PONG, TEXT, Peer, WsServer, close_frame, echo, frame

QUICK = DialOptions(dns=0.5, connect=0.5, tls=0.5, upgrade=0.5, write=0.5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def sends(*data: bytes, then: Callable[[Peer], Any] = lambda peer: gevent.sleep(30)) -> Callable[[Peer], None]:
    """A server's script: upgrade, send ``data``, then stay."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        for each in data:
            peer.send(each)
        then(peer)

    return script


def loss(ws: WebSocket) -> LinkLost:
    """How the frames end."""
    with gevent.Timeout(10), pytest.raises(LinkLost) as caught:
        for _ in ws.frames():
            pass
    assert "s3cret" not in str(caught.value)
    return caught.value


class Reader:
    """Iterates a link's frames in a greenlet of its own."""

    def __init__(self, ws: WebSocket) -> None:
        self.got: list[str | bytes] = []
        self.error: Exception | None = None
        self._ws = ws
        self._job = gevent.spawn(self._read)
        gevent.sleep(0)

    def _read(self) -> None:
        try:
            for each in self._ws.frames():
                self.got.append(each)
        except LinkLost as error:
            self.error = error

    def until_end(self, timeout: float = 5.0) -> Exception | None:
        self._job.join(timeout)
        assert self._job.dead, "frames() has not ended"
        return self.error


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
        dial("ws://nosuch.invalid/?ticket=s3cret", QUICK)


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with WsServer(echo) as server:
        dead, alive = ("127.0.0.1", 1), ("127.0.0.1", server.port)
        addresses = [(socket.AF_INET6, ("::1", 1, 0, 0)), (socket.AF_INET, dead), (socket.AF_INET, alive)]
        monkeypatch.setattr(dialling, "resolve", lambda *any: addresses)
        conversation(server.url, DialOptions())


# --- a deadline for each step ---


def hold(peer: Peer) -> None:
    gevent.sleep(30)


def late(url: str, options: DialOptions, step: str) -> None:
    begun = time.monotonic()
    with pytest.raises(LinkLost, match=step) as caught:
        dial(url, options)
    assert time.monotonic() - begun < 3
    assert "s3cret" not in str(caught.value)


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = dialling.monkey.get_original("time", "sleep")  # in the pool's thread
    monkeypatch.setattr(dialling.monkey, "get_original", lambda *any: lambda *any: sleep(2))
    late("ws://some.example/?ticket=s3cret", QUICK, "looking up some.example took longer than 0.5 s")


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
    late(f"ws://127.0.0.1:{full.getsockname()[1]}/", QUICK, "connecting to 127.0.0.1")
    for each in (full, *fillers):
        each.close()


def test_a_tls_handshake_that_hangs_is_given_up(authority: Authority) -> None:
    with WsServer(hold) as server:
        late(server.url.replace("ws:", "wss:"), QUICK, "TLS handshake with 127.0.0.1 took longer")


def test_an_upgrade_that_hangs_is_given_up() -> None:
    with WsServer(hold) as server:
        late(server.url, QUICK, "upgrade at 127.0.0.1 took longer")


def test_an_upgrade_that_drips_is_given_up() -> None:
    def drip(peer: Peer) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
            peer.send(bytes([byte]))
            gevent.sleep(0.05)

    with WsServer(drip) as server:
        late(server.url, QUICK, "upgrade at 127.0.0.1 took longer")


def test_an_upgrade_that_floods_is_given_up() -> None:
    def flood(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            peer.send(b"X-Header: " + b"x" * 1000 + b"\r\n")

    with WsServer(flood) as server:
        late(server.url, QUICK, "upgrade at 127.0.0.1")


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_proxy_that_hangs_is_given_up(kind: type[Proxy]) -> None:
    silent = StreamServer(("127.0.0.1", 0), lambda sock, address: gevent.sleep(30))
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
        gevent.sleep(30)

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
        gevent.sleep(30)

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


# --- frames ---


def test_fragments_are_joined_around_control_frames() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        half = "hé你".encode()
        peer.send(frame(half[:2], TEXT, fin=False) + frame(b"beat", PING) + frame(b"", CONT, fin=False))
        peer.send(frame(half[2:], CONT) + frame(b"\x01", BINARY, fin=False) + frame(b"\x02", CONT))
        pong = peer.receive()
        assert isinstance(pong, Pong) and bytes(pong.payload) == b"beat"
        peer.send(close_frame(1000))

    with WsServer(script) as server:
        heard: list[int] = []
        ws = dial(server.url)
        ws.on_frame = lambda: heard.append(1)
        assert list(ws.frames()) == ["hé你", b"\x01\x02"]
    assert len(heard) == 7, "control frames count as heard"


@pytest.mark.parametrize("code, reason", [(1000, ""), (1001, "bye"), (4009, "会话"), (4903, "x" * 120)])
def test_a_close_frame_ends_the_frames_and_is_answered(code: int, reason: str) -> None:
    replies: list[Any] = []
    script = sends(frame("last"), close_frame(code, reason), then=lambda peer: replies.append(peer.receive()))
    with WsServer(script) as server:
        ws = dial(server.url)
        assert list(ws.frames()) == ["last"]
        assert ws.closed == Close(code, reason)
        wait_for(lambda: replies)
    assert isinstance(replies[0], CloseConnection) and replies[0].code == code
    with pytest.raises(LinkLost):
        ws.send("late")


def test_a_close_frame_without_a_code() -> None:
    with WsServer(sends(frame(b"", CLOSE))) as server:
        ws = dial(server.url)
        assert list(ws.frames()) == [] and ws.closed == Close(None, "")


def test_the_close_code_is_read_even_when_our_writes_already_fail() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(frame("a") + frame(b"p", PING) + frame(b"p", PING) + close_frame(4009))
        peer.sock.close()

    with WsServer(script) as server:
        ws = dial(server.url)
        frames = ws.frames()
        assert next(frames) == "a"
        gevent.sleep(0.1)
        for _ in range(3):
            try:
                ws.send("x")
            except LinkLost:
                pass
            gevent.sleep(0.02)
        assert list(frames) == []
        assert ws.closed is not None and ws.closed.code == 4009


WRONG = {
    "a text that is not UTF-8": (frame(b"\xff\xfe"), 1007),
    "a text cut in a character by a fragment": (frame(b"\xe4", fin=False) + frame(b"x", CONT), 1007),
    "a continuation of nothing": (frame(b"x", CONT), 1002),
    "a message within a message": (frame("a", fin=False) + frame("b"), 1002),
    "reserved bits": (frame("a", rsv=4), 1002),
    "an unknown opcode": (frame("a", 5), 1002),
    "a fragmented ping": (frame(b"a", PING, fin=False), 1002),
    "a fragmented pong": (frame(b"a", PONG, fin=False), 1002),
    "a long ping": (frame(b"a" * 126, PING), 1002),
    "a close of one byte": (frame(b"a", CLOSE), 1002),
    "a close code that must not be sent": (frame(struct.pack("!H", 1006), CLOSE), 1002),
    "a frame too big": (frame(b"x" * 2000, BINARY), 1009),
    "a frame that claims to be huge": (frame(b"x" * 2000, BINARY, size=1 << 62), 1009),
    "fragments too big together": (frame(b"x" * 900, BINARY, fin=False) + frame(b"x" * 900, CONT), 1009),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_protocol_error_loses_the_link_and_the_peer_is_told(what: str) -> None:
    data, code = WRONG[what]
    replies: list[Any] = []
    with WsServer(sends(data, then=lambda peer: replies.append(peer.receive()))) as server:
        ws = dial(server.url, DialOptions(max_frame=1024))
        assert loss(ws).status == code
        wait_for(lambda: replies)
    assert isinstance(replies[0], CloseConnection) and replies[0].code == code


def test_a_frame_of_just_the_limit_passes() -> None:
    data = frame(b"x" * 1024, BINARY) + frame(b"x" * 1000, BINARY, fin=False) + frame(b"p" * 125, PING)
    with WsServer(sends(data + frame(b"x" * 24, CONT) + close_frame(1000))) as server:
        assert [len(each) for each in dial(server.url, DialOptions(max_frame=1024)).frames()] == [1024, 1024]


def test_sixteen_mib_arrive() -> None:
    with WsServer(sends(frame(b"x" * (16 << 20), BINARY), close_frame(1000))) as server:
        assert [len(each) for each in dial(server.url).frames()] == [16 << 20]


# --- ends ---


def test_an_end_without_a_close_frame_is_a_lost_link() -> None:
    with WsServer(sends(frame("a"), then=lambda peer: None)) as server:
        assert "without a close frame" in str(loss(dial(server.url)))


def test_a_reset_is_a_lost_link() -> None:
    def reset(peer: Peer) -> None:
        gevent.sleep(0.05)
        peer.reset()

    with WsServer(sends(then=reset)) as server:
        assert "reset" in str(loss(dial(server.url))).lower()


@pytest.mark.parametrize("tls", [False, True])
def test_an_abort_wakes_a_blocked_reader_at_once(authority: Authority, tls: bool) -> None:
    with WsServer(sends(), authority.server_context() if tls else None) as server:
        ws = dial(server.url, DialOptions(ca_file=authority.ca_file))
        reader = Reader(ws)
        gevent.sleep(0.05)
        error = LinkLost("told so")
        begun = time.monotonic()
        ws.abort(error)
        assert reader.until_end() is error
        assert time.monotonic() - begun < 1
        with pytest.raises(LinkLost, match="told so"):
            ws.send("x")
        ws.close()
        ws.abort(LinkLost("again"))


def test_an_abort_before_the_first_frame_is_read_is_not_forgotten() -> None:
    with WsServer(sends(frame("a"))) as server:
        ws = dial(server.url)
        gevent.sleep(0.05)
        ws.abort(LinkLost("told so"))
        assert str(loss(ws)) == "told so"


@pytest.mark.parametrize("tls", [False, True])
def test_a_planned_end_sends_a_close_frame_and_ends_the_reader_cleanly(authority: Authority, tls: bool) -> None:
    seen: list[Any] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        event = peer.receive()
        seen.append(event)
        peer.send(frame("already on its way") + close_frame(event.code))

    with WsServer(script, authority.server_context() if tls else None) as server:
        ws = dial(server.url, DialOptions(ca_file=authority.ca_file))
        reader = Reader(ws)
        begun = time.monotonic()
        ws.close(1000, "bye")
        assert reader.until_end() is None
        assert time.monotonic() - begun < 0.9, "an answered close does not wait"
        assert reader.got == ["already on its way"]
        assert seen[0].code == 1000 and seen[0].reason == "bye"
        ws.close()


def test_a_planned_end_does_not_wait_for_a_mute_peer() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        reader = Reader(ws)
        begun = time.monotonic()
        ws.close()
        assert reader.until_end() is None
        assert time.monotonic() - begun < 1.8


def test_a_reader_may_end_its_own_link() -> None:
    with WsServer(sends(frame("a"), frame("b"))) as server:
        ws = dial(server.url)
        begun = time.monotonic()
        got = []
        for each in ws.frames():
            got.append(each)
            ws.close()
        assert got[0] == "a"
        assert time.monotonic() - begun < 1.8


def test_leaving_the_loop_leaves_the_link_open() -> None:
    with WsServer(echo) as server:
        ws = dial(server.url)
        for round in ("a", "b"):
            ws.send(round)
            for each in ws.frames():
                assert each == round
                break
        ws.close()


def test_a_killed_reader_frees_the_socket() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        job = gevent.spawn(lambda: list(ws.frames()))
        gevent.sleep(0.05)
        job.kill()
        wait_for(lambda: server.peers[0].receive() is None)


# --- writing ---


def test_writers_take_turns() -> None:
    got: list[str] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        while (event := peer.receive()) is not None:
            got.append(event.data)

    with WsServer(script) as server:
        ws = dial(server.url)
        gevent.joinall([gevent.spawn(ws.send, f"{n:03d}" * 30_000) for n in range(30)], timeout=10)
        wait_for(lambda: len(got) == 30)
    assert sorted(text[:3] for text in got) == [f"{n:03d}" for n in range(30)]
    assert all(text == text[:3] * 30_000 for text in got)


def test_a_peer_that_stops_reading_is_lost_at_the_write_deadline() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url, DialOptions(write=0.5))
        reader = Reader(ws)
        begun = time.monotonic()
        with pytest.raises(LinkLost, match="took no data for 0.5 s"):
            while True:
                ws.send(b"x" * 100_000)
        assert 0.4 < time.monotonic() - begun < 4
        assert "took no data" in str(reader.until_end())


def test_a_writer_killed_in_mid_frame_cuts_the_link() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        reader = Reader(ws)
        job = gevent.spawn(ws.send, b"x" * (32 << 20))
        gevent.sleep(0.2)
        assert not job.dead
        job.kill()
        assert isinstance(reader.until_end(), LinkLost)


def test_a_flood_of_pings_from_a_peer_that_does_not_read_is_lost() -> None:
    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.upgrade()
        while True:
            peer.send(frame(b"p" * 125, PING) * 100)

    with WsServer(script) as server:
        assert "took no data" in str(loss(dial(server.url, DialOptions(write=0.5))))


# --- heartbeats over the wire ---


def beating(ws: WebSocket, counts: list[str], **more: Any) -> Heartbeat:
    options: dict[str, Any] = {"interval": 0.1, "timeout": 0.3, "count": counts.append, **more}
    heart = Heartbeat(ws, lambda: ws.send("beat"), **options)
    ws.on_frame = heart.heard
    heart.start()
    return heart


def test_a_link_whose_beats_are_answered_lives() -> None:
    with WsServer(echo) as server:
        ws, counts = dial(server.url), []
        heart = beating(ws, counts)
        for n, _ in enumerate(ws.frames()):
            heart.answered()
            if n == 5:
                break
        heart.stop()
        ws.close()
    assert counts.count("answered") == 6 and "missed" not in counts


def mute(peer: Peer) -> None:
    peer.upgrade()
    while peer.receive() is not None:
        pass


@pytest.mark.parametrize("script", [mute, sends()], ids=["mute", "half-open"])
def test_a_link_whose_beats_are_not_answered_is_lost(script: Callable[[Peer], None]) -> None:
    with WsServer(script) as server:
        ws, counts = dial(server.url), []
        begun = time.monotonic()
        beating(ws, counts)
        assert "heartbeat unanswered for 0.3 s" in str(loss(ws))
        assert 0.3 < time.monotonic() - begun < 1.4
    assert counts.count("missed") == 1


def test_other_frames_are_no_answer_to_a_beat() -> None:
    def chatter(peer: Peer) -> None:
        peer.upgrade()
        while True:
            peer.send(frame("news"))
            gevent.sleep(0.02)

    with WsServer(chatter) as server:
        ws = dial(server.url)
        beating(ws, [])
        assert "heartbeat unanswered" in str(loss(ws))


def test_a_peer_that_stops_reading_is_lost_within_interval_and_timeout() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url, DialOptions(write=30))
        writer = gevent.spawn(pytest.raises, LinkLost, ws.send, b"x" * (32 << 20))
        gevent.sleep(0.1)
        begun = time.monotonic()
        beating(ws, [], interval=0.3, timeout=0.5)
        assert "heartbeat" in str(loss(ws))
        assert time.monotonic() - begun < 1.8
        writer.kill()


def test_silence_alone_loses_a_link() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        beating(ws, [], interval=30, timeout=30, silence=0.3)
        assert "nothing heard for 0.3 s" in str(loss(ws))


def test_frames_of_any_kind_break_the_silence() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        for _ in range(10):
            peer.send(frame(b"", PING))
            gevent.sleep(0.1)
        peer.send(close_frame(1000))

    with WsServer(script) as server:
        ws = dial(server.url)
        heart = beating(ws, [], interval=30, timeout=30, silence=0.4)
        assert list(ws.frames()) == []
        heart.stop()


class Cut:
    """A link that only notes how it was cut."""

    def __init__(self) -> None:
        self.errors: list[LinkLost] = []

    def abort(self, error: LinkLost) -> None:
        self.errors.append(error)


def test_the_first_beat_may_come_at_once_and_the_pace_be_changed() -> None:
    link, sent = Cut(), []
    heart = Heartbeat(link, lambda: sent.append(1), interval=30, timeout=30, count=lambda outcome: None, first=0)
    heart.start()
    wait_for(lambda: len(sent) == 1, 2)
    heart.answered()
    heart.reconfigure(0.05, 30)
    wait_for(lambda: len(sent) > 3, 2)
    heart.stop()
    gevent.sleep(0.1)
    count = len(sent)
    gevent.sleep(0.15)
    assert len(sent) == count and link.errors == []


def test_a_stopped_heartbeat_cuts_nothing() -> None:
    link, counts = Cut(), []
    heart = Heartbeat(link, lambda: None, interval=0.05, timeout=0.1, count=counts.append)
    heart.start()
    gevent.sleep(0.08)
    heart.stop()
    gevent.sleep(0.2)
    assert link.errors == [] and counts == ["sent"]


def test_a_hub_that_was_held_up_is_no_reason_to_cut() -> None:
    """The answer lies unread while everything stands still: it is read before judgement."""
    with WsServer(echo) as server:
        ws, counts = dial(server.url), []
        heart = beating(ws, counts, interval=0.2, timeout=0.4)
        reader = gevent.spawn(lambda: [heart.answered() for _ in ws.frames()])
        wait_for(lambda: "answered" in counts)
        begun = time.perf_counter()
        while time.perf_counter() - begun < 1.2:
            pass
        gevent.sleep(0.3)
        assert "missed" not in counts and not reader.dead
        heart.stop()
        ws.close()
        reader.join(2)


def test_a_beat_that_crashes_loses_the_link() -> None:
    link = Cut()
    Heartbeat(link, lambda: 1 / 0, interval=0.01, timeout=1, count=lambda outcome: None).start()
    wait_for(lambda: link.errors, 2)
    assert "ZeroDivisionError" in str(link.errors[0])


# --- fairness ---


@pytest.fixture
def flood() -> Iterator[str]:
    """The address of a server in a process of its own that sends as fast as it can."""
    from tests.bench.flood import Flood

    with Flood(seconds=1.0) as server:
        yield server.url


def test_a_flood_delays_nobody(flood: str) -> None:
    ws, got, worst = dial(flood), 0, 0.0
    job = gevent.spawn(lambda: sum(1 for _ in ws.frames()))
    at = time.monotonic()
    while not job.dead:
        gevent.sleep(0.01)
        now = time.monotonic()
        worst, at = max(worst, now - at - 0.01), now
    got = job.get()
    print(f"hub lag under {got} frames in a second: {worst * 1000:.1f} ms (aim 25 ms)")
    assert got > 1000
    assert worst < 1.0


def test_events_are_read_in_order(flood: str) -> None:
    numbers = [int(str(each)[:9]) for each in dial(flood).frames()]
    assert numbers == list(range(len(numbers)))
