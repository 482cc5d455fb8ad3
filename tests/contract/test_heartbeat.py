"""Heartbeats: a deaf link is cut in time, whatever its reader and writers are doing."""

from __future__ import annotations

import errno
import time
from typing import Any, Callable

import gevent
import pytest

from hermes_green.core.errors import LinkLost
from hermes_green.link.stream import Stream
from hermes_green.link.websocket import DialOptions, Heartbeat, WebSocket, dial
from tests.support.links import loss
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.wsserver import PING, Peer, WsServer, close_frame, echo, frame, sends


def beating(ws: WebSocket, counts: list[str], **more: Any) -> Heartbeat:
    options: dict[str, Any] = {"interval": 0.1, "timeout": 0.3, "count": counts.append, **more}
    heart = Heartbeat(ws, lambda: ws.send("beat"), **options)
    ws.on_frame = heart.heard
    heart.start()
    return heart


def test_a_link_whose_beats_are_answered_lives() -> None:
    with WsServer(echo) as server:
        ws, counts = dial(server.url), []
        heart = beating(ws, counts, timeout=PATIENCE)
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
        assert time.monotonic() - begun > 0.3
    assert counts.count("missed") == 1 and counts.count("sent") <= 4, "the first that nobody answers counts"


def test_a_link_that_takes_no_beat_and_does_not_end_by_itself_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(stream: Stream, data: bytes) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    with WsServer(mute) as server, gevent.Timeout(PATIENCE):
        ws, counts = dial(server.url), []
        monkeypatch.setattr(Stream, "_write", full)
        beating(ws, counts)
        assert "heartbeat unanswered for 0.3 s" in str(loss(ws))
    assert counts == ["missed"]


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
        ws = dial(server.url, DialOptions(write=600))
        writer = gevent.spawn(pytest.raises, LinkLost, ws.send, b"x" * (32 << 20))
        gevent.sleep(0.1)
        counts: list[str] = []
        beating(ws, counts, interval=0.3, timeout=0.5)
        assert "heartbeat" in str(loss(ws))
        assert counts.count("sent") <= 1, "what is blocked counts as unanswered"
        writer.kill()


def test_silence_alone_loses_a_link() -> None:
    with WsServer(sends()) as server:
        ws = dial(server.url)
        beating(ws, [], interval=600, timeout=600, silence=0.3)
        assert "nothing heard for 0.3 s" in str(loss(ws))


def test_frames_of_any_kind_break_the_silence() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        for _ in range(24):
            peer.send(frame(b"", PING))
            gevent.sleep(0.05)
        peer.send(close_frame(1000))

    with WsServer(script) as server:
        ws = dial(server.url)
        heart = beating(ws, [], interval=600, timeout=600, silence=0.8)
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
    heart = Heartbeat(link, lambda: sent.append(1), interval=600, timeout=600, count=lambda outcome: None, first=0)
    heart.start()
    wait_for(lambda: len(sent) == 1)
    heart.answered()
    heart.reconfigure(0.05, 600)
    wait_for(lambda: len(sent) > 3)
    heart.stop()
    gevent.sleep(0.1)
    count = len(sent)
    gevent.sleep(0.15)
    assert len(sent) == count and link.errors == []


def test_a_stopped_heartbeat_cuts_nothing() -> None:
    link, counts = Cut(), []

    def count(outcome: str) -> None:
        counts.append(outcome)
        heart.stop()

    heart = Heartbeat(link, lambda: None, interval=0.05, timeout=0.1, count=count)
    heart.start()
    wait_for(lambda: counts)
    gevent.sleep(0.2)
    assert link.errors == [] and counts == ["sent"]


@pytest.mark.parametrize("where", ["between two beats", "in a beat"])
def test_a_hub_that_was_held_up_is_no_reason_to_cut(where: str) -> None:
    """The answer lies unread while everything stands still: it is read before judgement."""

    def stand_still() -> None:
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.7:
            pass

    with WsServer(echo) as server:
        ws, counts = dial(server.url), []
        held: list[int] = []

        def beat() -> None:
            ws.send("beat")
            if where == "in a beat" and "answered" in counts and not held:
                held.append(counts.count("answered"))
                stand_still()

        heart = Heartbeat(ws, beat, interval=0.2, timeout=0.4, count=counts.append)
        heart.start()
        reader = gevent.spawn(lambda: [heart.answered() for _ in ws.frames()])
        wait_for(lambda: "answered" in counts)
        if where == "between two beats":
            held.append(counts.count("answered"))
            stand_still()
        wait_for(lambda: reader.dead or (held and counts.count("answered") >= held[0] + 2), what="beats that go on")
        assert "missed" not in counts and not reader.dead
        heart.stop()
        ws.close()
        reader.join(PATIENCE)


def test_a_beat_that_crashes_loses_the_link() -> None:
    link = Cut()
    Heartbeat(link, lambda: 1 / 0, interval=0.01, timeout=1, count=lambda outcome: None).start()
    wait_for(lambda: link.errors)
    assert "ZeroDivisionError" in str(link.errors[0])


def test_a_peer_that_began_to_speak_must_go_on_though_it_answers_every_beat() -> None:
    with WsServer(echo) as server:
        ws, counts = dial(server.url), []
        heart = Heartbeat(ws, lambda: ws.send("beat"), interval=0.1, timeout=600, count=counts.append)
        ws.on_frame = heart.answered
        heart.start()
        begun = time.monotonic()
        gevent.spawn_later(0.3, heart.watch_silence, 0.4)
        assert "nothing heard for 0.4 s" in str(loss(ws))
        assert time.monotonic() - begun > 0.6 and counts.count("sent") <= 10
