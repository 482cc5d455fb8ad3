"""Numbers that a platform writes as strings, and envelopes that say more than their HTTP status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hermes_green.adapters.dingtalk import rest as dingtalk
from hermes_green.adapters.feishu import rest as feishu
from hermes_green.adapters.qq import rest as qq
from hermes_green.adapters.telegram import rest as telegram
from hermes_green.adapters.wecom import wire as wecom
from hermes_green.core.loose import count_of, instant_of, number_of, objects_of
from hermes_green.core.model import Attachment, Secret, kind_of, wordless
from hermes_green.link.http import Answer


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), ("-1", -1), (0, 0), (True, None), (1.5, None), ("1.5", None), ("", None), ("9" * 99, None)],
)
def test_a_whole_number_may_be_written_as_a_string(value: Any, number: int | None) -> None:
    assert number_of(value) == number


def test_what_is_counted_is_a_number_and_never_less_than_none() -> None:
    assert [count_of(value) for value in (7, 0, -1, True, "7", 1.5, None)] == [7, 0, None, None, None, None, None]


def test_of_an_array_the_objects_are_read() -> None:
    assert objects_of([{"a": 1}, 7, None, {}, []]) == [{"a": 1}, {}]
    assert objects_of(None) == objects_of("x") == objects_of({"a": {}}) == []


def test_a_file_s_mime_type_says_what_it_is_to_people() -> None:
    given = ("image/png", "audio/ogg", "voice", "video/mp4", "text/plain", "", "images")
    assert [kind_of(mime) for mime in given] == ["image", "audio", "audio", "video", "file", "file", "file"]


def test_media_without_a_word_are_named_by_their_kinds() -> None:
    assert wordless([Attachment("image", name="a.png"), Attachment("file")]) == "[image] [file]" and wordless(()) == ""


def test_a_stamp_is_a_moment_where_it_names_its_zone() -> None:
    assert instant_of("2023-11-06T13:37:18+08:00") == instant_of("2023-11-06T05:37:18Z") == 1699249038.0
    assert [instant_of(value) for value in ("2023-11-06T13:37:18", "", "yesterday", 12, None, ["x"])] == [None] * 6


def test_a_number_may_have_a_bound_and_an_array_things_that_are_no_objects() -> None:
    assert (number_of("123456789", 9), number_of("1234567890", 9), number_of("²", 9)) == (123456789, None, None)
    assert objects_of([{"a": 1}, None, [{}], "x", {}]) == [{"a": 1}, {}] and objects_of({"a": 1}) == []


def test_a_platforms_code_counts_in_either_form() -> None:
    sent = [dingtalk.take(answer({"errcode": code, "errmsg": "m"})) for code in ("130101", 130101, "0", 0)]
    assert [(said.good, said.code) for said in sent] == [(False, 130101)] * 2 + [(True, None)] * 2
    assert [feishu.take(answer({"code": code})).good for code in ("0", 0, "230020", None)] == [True, True, False, False]
    taken = [qq.take(answer({"code": code, "message": "m"})) for code in ("100016", 100016, "0", 0, "odd")]
    assert [(said.good, said.code) for said in taken[:2]] == [(False, 100016)] * 2
    assert [said.good for said in taken[2:]] == [True, True, False]
    assert wecom.decode('{"cmd":null,"headers":{"req_id":"r"},"errcode":"846609"}').errcode == 846609


def test_telegrams_own_code_counts_where_the_status_says_that_all_is_well() -> None:
    body = {"ok": False, "error_code": 429, "description": "x", "parameters": {"retry_after": "3"}}
    said = telegram.take(answer(body), Secret("t"))
    assert (said.status, said.good, said.wait) == (429, False, 3.0)
    assert telegram.take(answer({"ok": False}), Secret("t")).status == 200
