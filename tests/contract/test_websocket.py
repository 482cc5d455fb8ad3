"""What an open link promises, against a server that can do everything wrong."""

from __future__ import annotations

import struct
import time
from typing import Any, Iterator

import gevent
import pytest
from gevent import socket
from wsproto.events import CloseConnection, Pong

from hermes_green.core.errors import LinkLost
from hermes_green.link import websocket
from hermes_green.link.websocket import Close, DialOptions, dial
from tests.support.links import Reader, loss
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.tls import Authority, make_authority
from tests.support.turns import Turns
from tests.support.wsserver import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Peer,
    WsServer,
    close_frame,
    echo,
    frame,
    sends,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


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
        pings: list[int] = []
        ws = dial(server.url)
        ws.on_frame = lambda: heard.append(1)
        ws.on_ping = lambda: pings.append(1)
        assert list(ws.frames()) == ["hé你", b"\x01\x02"]
    assert len(heard) == 7, "control frames count as heard"
    assert pings == [1], "the peer's own pings are told apart"


def test_native_pings_of_ours_are_answered() -> None:
    with WsServer(echo) as server:
        ws, pongs = dial(server.url), []
        ws.on_pong = lambda: (pongs.append(1), ws.close())  # type: ignore[assignment, func-returns-value]
        ws.ping(b"x")
        assert list(ws.frames()) == [] and pongs == [1]


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
        ws.abort(error)
        assert reader.until_end() is error
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
def test_a_planned_end_sends_a_close_frame_and_ends_the_reader_cleanly(
    authority: Authority, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        event = peer.receive()
        seen.append(event)
        peer.send(frame("already on its way") + close_frame(event.code))

    monkeypatch.setattr(websocket, "_GOODBYE", 600.0)  # an answered close does not wait
    with WsServer(script, authority.server_context() if tls else None) as server:
        ws = dial(server.url, DialOptions(ca_file=authority.ca_file))
        reader = Reader(ws)
        with gevent.Timeout(PATIENCE):
            ws.close(1000, "bye")
        assert reader.until_end() is None
        assert reader.got == ["already on its way"]
        assert seen[0].code == 1000 and seen[0].reason == "bye"
        ws.close()


def test_a_planned_end_does_not_wait_for_a_mute_peer() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        reader = Reader(ws)
        with gevent.Timeout(PATIENCE):
            ws.close()
        assert reader.until_end() is None


def test_a_reader_may_end_its_own_link() -> None:
    with WsServer(sends(frame("a"), frame("b"))) as server:
        ws = dial(server.url)
        got = []
        with gevent.Timeout(PATIENCE):
            for each in ws.frames():
                got.append(each)
                ws.close()
        assert got[0] == "a"


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


def test_a_link_that_somebody_was_ended_over_closing_is_closed_by_the_next_one() -> None:
    with WsServer(sends(frame("a"))) as server:
        ws = dial(server.url)
        for _ in ws.frames():
            closer = gevent.spawn(ws.close)
            gevent.sleep(0.05)
            assert not closer.dead, "it waits for us, who read"
            break
        closer.kill()
        ws.close()
        assert ws._stream._sock.fileno() == -1


def test_whoever_is_ended_while_it_says_goodbye_leaves_no_socket_behind() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        writer = gevent.spawn(ws.send, b"x" * (32 << 20))  # nobody takes it, and the close frame waits behind it
        gevent.sleep(0.05)
        closer = gevent.spawn(ws.close)
        gevent.sleep(0.05)
        assert not closer.dead
        closer.kill()
        assert ws._stream._sock.fileno() == -1
        writer.join(PATIENCE)
        assert isinstance(writer.exception, LinkLost)


# --- writing ---


def test_writers_take_turns() -> None:
    got: list[str] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        while (event := peer.receive()) is not None:
            got.append(event.data)

    with WsServer(script) as server:
        ws = dial(server.url)
        gevent.joinall([gevent.spawn(ws.send, f"{n:03d}" * 30_000) for n in range(30)], timeout=PATIENCE)
        wait_for(lambda: len(got) == 30)
        ws.close()
    assert sorted(text[:3] for text in got) == [f"{n:03d}" for n in range(30)]
    assert all(text == text[:3] * 30_000 for text in got)


def test_a_peer_that_stops_reading_is_lost_at_the_write_deadline() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url, DialOptions(write=0.5))
        reader = Reader(ws)
        begun = time.monotonic()
        with gevent.Timeout(PATIENCE), pytest.raises(LinkLost, match="took no data for 0.5 s"):
            while True:
                ws.send(b"x" * 100_000)
        assert time.monotonic() - begun > 0.4
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


# --- fairness ---


@pytest.fixture
def flood() -> Iterator[str]:
    """The address of a server in a process of its own that sends as fast as it can."""
    from tests.bench.flood import Flood

    with Flood(seconds=1.0) as server:
        yield server.url


def test_a_flood_delays_nobody(flood: str) -> None:
    ws, turns = dial(flood), Turns()
    for _ in ws.frames():
        turns.did()
    turns.stop()
    print(f"a flood of a second: {turns}")
    assert turns.done > 1000
    assert turns.fair(), str(turns)


def test_events_are_read_in_order(flood: str) -> None:
    numbers = [int(str(each)[:9]) for each in dial(flood).frames()]
    assert numbers == list(range(len(numbers)))
