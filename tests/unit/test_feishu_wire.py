"""Frames of the long connection are read, answered and put together as the SDKs do, only more strictly."""

import json
import random

import pytest

from hermes_green.adapters.feishu import wire
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import BadFrame

PING = bytes.fromhex("0800100018f681801020002a0c0a0474797065120470696e67")  # service 33554678
PONG = PING[:-4] + b"pong" + b'\x42\x1c{"PingInterval":90,"x":null}'


def data_frame(payload, push="push-1", total=1, seq=0, kind="event"):
    frame = wire.Frame()
    frame.SeqID, frame.LogID, frame.service, frame.method = 7, 2**63 + 1, 33554678, wire.DATA
    frame.LogIDNew = "log"
    for key, value in [("type", kind), ("message_id", push), ("sum", total), ("seq", seq), ("trace_id", "t")]:
        header = frame.headers.add()
        header.key, header.value = key, str(value)
    frame.payload = payload
    return frame


def test_a_ping_is_the_recorded_frame_with_every_required_field_present():
    assert wire.ping(33554678) == PING


def test_a_pong_is_read_with_its_configuration():
    frame = wire.decode(PONG)
    assert frame.method == wire.CONTROL
    assert wire.headers_of(frame)["type"] == wire.PONG
    assert wire.pace_in(frame.payload) == 90


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", None, *({"PingInterval": value} for value in (0, True, "9", float("nan"), 10**400))],
)
def test_a_configuration_that_makes_no_sense_counts_as_unsaid(said):
    assert wire.pace_in(said) is None


def test_an_acknowledgement_is_the_same_frame_with_our_verdict():
    raw = data_frame(b'{"event":1}').SerializeToString()
    frame = wire.decode(raw)
    answer = wire.decode(wire.acknowledgement(wire.echo_of(raw), 12))
    assert json.loads(answer.payload) == {"code": 200, "headers": None, "data": None}
    assert (answer.SeqID, answer.LogID, answer.service, answer.method) == (7, 2**63 + 1, 33554678, wire.DATA)
    assert wire.headers_of(answer) == {**wire.headers_of(frame), "biz_rt": "12"}
    assert answer.LogIDNew == "log"


def test_an_acknowledgement_repeats_what_the_schema_does_not_know():
    raw = data_frame(b"x" * 300).SerializeToString()
    unknown = bytes.fromhex("a006ff01 a9060102030405060708 ad0601020304")  # varint, 8 and 4 bytes
    answer = wire.acknowledgement(wire.echo_of(raw + unknown), 3)
    assert unknown in answer and b"x" * 300 not in answer
    assert wire.headers_of(wire.decode(answer))["biz_rt"] == "3"


@pytest.mark.parametrize("raw", [b"\x08", b"\x0a\x05ab", b"\x0b\x0c", b"\x09\x01", b"\x80" * 5])
def test_what_is_cut_off_has_no_echo(raw):
    with pytest.raises(BadFrame):
        wire.echo_of(raw)


@pytest.mark.parametrize("raw", ["text", b"", b"\x08", PING[:-1], PING[2:], b"\xff" * 20])
def test_what_is_no_frame_is_a_bad_frame(raw):
    with pytest.raises(BadFrame):
        wire.decode(raw)


def test_of_a_header_that_is_repeated_the_first_counts():
    frame = data_frame(b"abc", push="first")
    frame.headers.add(key="message_id", value="second")
    assert wire.headers_of(frame)["message_id"] == "first"


def test_parts_come_together_in_any_order_and_leave_nothing_behind():
    parts = wire.Assembler(ManualClock())
    assert parts.add(data_frame(b"c", total=3, seq=2)) is None
    assert parts.add(data_frame(b"x", push="other", total=2, seq=0)) is None
    assert parts.add(data_frame(b"a", total=3, seq=0)) is None
    assert parts.add(data_frame(b"a", total=3, seq=0)) is None
    assert parts.add(data_frame(b"b", total=3, seq=1)) == b"abc"
    assert len(parts) == 1


def test_an_empty_part_counts_as_come():
    parts = wire.Assembler(ManualClock())
    assert parts.add(data_frame(b"", total=2, seq=0)) is None
    assert parts.add(data_frame(b"b", total=2, seq=1)) == b"b"


def test_a_single_frame_is_whole_also_without_headers_of_parts():
    assert wire.Assembler(ManualClock()).add(data_frame(b"abc", total="", seq="")) == b"abc"


def test_parts_that_stay_alone_are_forgotten_in_time():
    clock = ManualClock()
    parts = wire.Assembler(clock)
    parts.add(data_frame(b"a", total=2, seq=0))
    clock.advance(wire.PARTS_TIMEOUT + 1)
    assert parts.add(data_frame(b"b", total=2, seq=1)) is None


def test_open_pushes_and_bytes_are_bounded():
    parts = wire.Assembler(ManualClock())
    for number in range(wire.MAX_OPEN * 3):
        parts.add(data_frame(b"a", push=f"p{number}", total=2, seq=0))
    assert len(parts) == wire.MAX_OPEN
    half = b"x" * (wire.MAX_EVENT_BYTES // 2 + 1)
    parts.add(data_frame(half, push="big", total=3, seq=0))
    with pytest.raises(BadFrame):
        parts.add(data_frame(half, push="big", total=3, seq=1))


@pytest.mark.parametrize(
    "total, seq",
    [(2, 2), (2, -1), (-2, -3), (1, "x"), ("x", 0), (10**6, 0), (2, "1e3"), ("9" * 5000, 0)],
)
def test_headers_of_parts_that_make_no_sense_are_a_bad_frame(total, seq):
    with pytest.raises(BadFrame):
        wire.Assembler(ManualClock()).add(data_frame(b"a", total=total, seq=seq))


def test_a_push_that_changes_its_number_of_parts_is_a_bad_frame():
    parts = wire.Assembler(ManualClock())
    parts.add(data_frame(b"a", total=2, seq=0))
    with pytest.raises(BadFrame):
        parts.add(data_frame(b"b", total=3, seq=1))
    assert len(parts) == 0


@pytest.mark.thorough
def test_twenty_thousand_mutated_frames_never_raise_anything_but_bad_frame():
    rng = random.Random(7)
    parts = wire.Assembler(ManualClock())
    seeds = [PING, PONG] + [data_frame(b'{"a":1}' * 5, total=n, seq=0).SerializeToString() for n in (1, 2)]
    for _ in range(20_000):
        raw = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 5)):
            where = rng.randrange(len(raw))
            choice = rng.random()
            if choice < 0.6:
                raw[where] = rng.randrange(256)
            elif choice < 0.8:
                del raw[where:]
            else:
                raw[where:where] = rng.randbytes(rng.randint(1, 9))
            if not raw:
                break
        try:
            frame = wire.decode(bytes(raw))
            parts.add(frame)
            wire.acknowledgement(wire.echo_of(bytes(raw)), 0)
            wire.pace_in(frame.payload)
        except BadFrame:
            pass
