"""Frames of a Stream connection are read and answered as the SDK does, only more strictly."""

import json
import random

import pytest

from hermes_green.adapters.dingtalk import wire
from hermes_green.core.errors import BadFrame


def frame(kind="CALLBACK", topic=wire.ROBOT, data='{"a":1}', **headers):
    base = {"topic": topic, "messageId": "m1", "contentType": "application/json", "time": "1690000000000"}
    return json.dumps({"specVersion": "1.0", "type": kind, "headers": {**base, **headers}, "data": data})


@pytest.mark.parametrize("kind", ["SYSTEM", "EVENT", "CALLBACK"])
def test_a_frame_is_read_with_its_data_decoded(kind):
    headers = {"eventType": "user_add_org", "eventBornTime": "1690000000000", "appId": "x", "new": "y"}
    assert wire.decode(frame(kind, "t", **headers)) == wire.Frame(kind, "t", "m1", {"a": 1})


def test_bytes_are_read_too_and_data_may_be_missing():
    assert wire.decode(frame(data="").encode()).data == {}


def test_null_is_as_good_as_missing():
    nothing = dict.fromkeys(["time", "eventBornTime", "eventId", "connectionId"])
    assert wire.decode(frame("SYSTEM", wire.PING, None, **nothing)) == wire.Frame("SYSTEM", wire.PING, "m1", {})


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[]", "7", '{"type":"NEWS"}', '{"type":"SYSTEM"}', b"\xff\xfe", '{"type":["SYSTEM"],"headers":{}}']
    + [frame(data="{"), frame(data={"a": 1}), frame(time="never"), frame(topic=7), frame(messageId=7)],
)
def test_what_is_no_frame_is_a_bad_frame(raw):
    with pytest.raises(BadFrame):
        wire.decode(raw)


def test_deep_nesting_is_a_bad_frame():
    with pytest.raises(BadFrame):
        wire.decode(frame(data="[" * 200_000))


def test_an_acknowledgement_is_what_the_platform_expects():
    ack = json.loads(wire.acknowledgement("m1", wire.ROBOT_TAKEN))
    assert ack == {
        "code": 200,
        "headers": {"contentType": "application/json", "messageId": "m1"},
        "message": "OK",
        "data": '{"response": null}',
    }
    refused = json.loads(wire.acknowledgement("m1", {}, 404, "no such topic"))
    assert (refused["code"], refused["message"]) == (404, "no such topic")


def test_a_ping_s_answer_repeats_its_words():
    ping = wire.decode(frame("SYSTEM", wire.PING, '{"opaque":"0af"}'))
    assert json.loads(json.loads(wire.acknowledgement(ping.id, ping.data))["data"]) == {"opaque": "0af"}


@pytest.mark.parametrize("raw", ["", "[]", "{}", '{"headers":7}', '{"headers":{"messageId":7}}', b"\xff"])
def test_a_frame_without_an_id_cannot_be_acknowledged(raw):
    assert wire.id_of(raw) == ""


def test_a_frame_that_makes_no_sense_may_still_have_an_id():
    assert wire.id_of(frame(kind="NEWS", data="{")) == "m1"


def test_cards_are_asked_for_only_where_there_are_any_and_events_never():
    assert wire.subscriptions(False) == [{"type": "CALLBACK", "topic": "/v1.0/im/bot/messages/get"}]
    assert {entry["topic"] for entry in wire.subscriptions(True)} == {wire.ROBOT, wire.CARD}


@pytest.mark.thorough
def test_mutated_frames_never_raise_anything_but_bad_frame():
    draw = random.Random(3)
    good = frame(eventType="e").encode()
    for _ in range(20_000):
        raw = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(raw))
            raw[at : at + draw.randint(0, 3)] = bytes(draw.choices(b'{}[]":,0aT\\\xff', k=draw.randint(0, 3)))
        try:
            wire.decode(bytes(raw))
        except BadFrame:
            pass
        wire.id_of(bytes(raw))
