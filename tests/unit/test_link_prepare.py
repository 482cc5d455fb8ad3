"""The short way to a request says what requests would have said."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.exceptions import InvalidHeader

from hermes_green.link.prepare import Preparer

OWN = {"X-Own": "1"}
CALLS: list[dict[str, Any]] = [
    {"method": "GET", "address": "/open/path"},
    {"method": "POST", "address": "/open/path"},
    {"method": "POST", "address": "v1/a%2Fb/reply", "data": b"{}", "headers": {"Content-Type": "text/x"}},
    {"method": "POST", "address": "/bot1:aB_c/send", "json": {"a": [1, None, "é"]}},
    {"method": "PUT", "address": "/x", "json": {}, "headers": {"x-own": "2", "Authorization": "Bearer t"}},
]


@pytest.mark.parametrize("base", ["http://h.example:81", "https://H.example/api/", "http://h.example:80"])
@pytest.mark.parametrize("call", CALLS)
def test_the_short_way_says_what_requests_would_say(base: str, call: dict[str, Any]) -> None:
    ours = Preparer(base, OWN).prepare(**call)
    session = requests.Session()
    session.headers.update(OWN)
    parts = {name: value for name, value in call.items() if name not in ("method", "address")}
    address = f"{base.rstrip('/')}/{call['address'].lstrip('/')}"
    theirs = session.prepare_request(requests.Request(call["method"], address, **parts))
    assert ours.root and f"{ours.root.partition('/api')[0]}{ours.target}" == ours.url
    assert (ours.method, ours.url, ours.body or b"") == (theirs.method, theirs.url, theirs.body or b"")
    assert {name.lower(): value for name, value in ours.headers.items()} == {
        name.lower(): value for name, value in theirs.headers.items()
    }


@pytest.mark.parametrize(
    "call",
    [
        {"method": "GET", "address": "/a b"},
        {"method": "GET", "address": "/é"},
        {"method": "GET", "address": "/a?b=c"},
        {"method": "GET", "address": "/a", "params": {"b": "c"}},
        {"method": "POST", "address": "/a", "data": {"b": "c"}},
        {"method": "POST", "address": "/a", "files": {"b": ("c", b"d")}},
        {"method": "GET", "address": "http://elsewhere.example/a"},
    ],
)
def test_what_needs_quoting_or_a_form_goes_the_long_way(call: dict[str, Any]) -> None:
    prepared = Preparer("http://h.example", {}).prepare(**call)
    assert not prepared.root
    assert str(prepared.url).isascii() and " " not in str(prepared.url)


@pytest.mark.parametrize("own, header", [({}, "line\nbreak"), ({"X-Own": "line\nbreak"}, "good")])
def test_a_header_that_cannot_be_is_refused_on_the_short_way_too(own: dict[str, str], header: str) -> None:
    with pytest.raises(InvalidHeader):
        Preparer("http://h.example", own).prepare("GET", "/a", headers={"X-Call": header})
