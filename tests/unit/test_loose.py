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
from hermes_green.core.loose import number_of
from hermes_green.core.model import Secret
from hermes_green.link.http import Answer


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), ("-1", -1), (0, 0), (True, None), (1.5, None), ("1.5", None), ("", None), ("9" * 99, None)],
)
def test_a_whole_number_may_be_written_as_a_string(value: Any, number: int | None) -> None:
    assert number_of(value) == number


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
