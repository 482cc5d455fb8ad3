"""What a platform answers means the same on every platform, for a dial and for what was being sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hermes_green.core.codes import Code
from hermes_green.core.errors import (
    AuthRejected,
    HermesError,
    LinkLost,
    SendRefused,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.core.remembered import Remembered
from hermes_green.link.http import Answer
from hermes_green.link.said import (
    LONGEST_WAIT,
    Said,
    address_in,
    alone,
    given,
    halting,
    token_in,
    undialled,
    unseen,
    unsent,
    wait_of,
)
from tests.support.port import FakeContext

BUSY = Code(SendRetry, "busy", after=3.0, scope="account")
CHAT = Code(SendRetry, "this chat is busy", after=3.0)
KEYS = Code(AuthRejected, "wrong keys", "mend them")
NEVER = Code(SendRefused, "never")


@pytest.mark.parametrize(
    ("status", "code", "known", "wait", "error", "after"),
    [
        (400, 7, BUSY, None, SendRetry, 3.0),
        (429, 7, BUSY, 9.0, SendRetry, 9.0),
        (429, 7, CHAT, None, SendRetry, 1.0),
        (429, None, None, 4.0, SendRetry, 4.0),
        (400, 7, KEYS, None, AuthRejected, None),
        (400, 7, NEVER, None, SendRefused, None),
        (400, 7, Code(LinkLost, "of links alone"), None, SendRefused, None),
        (400, 7, None, None, SendRefused, None),
        (503, 7, None, None, SendUnknown, None),
        (408, None, None, None, SendUnknown, None),
        (200, None, None, None, SendUnknown, None),
        (403, None, None, None, SendRetry, 5.0),
        (413, None, None, None, SendRefused, None),
    ],
)
def test_a_refused_send(
    status: int, code: int | None, known: Code | None, wait: float | None, error: type[HermesError], after: float | None
) -> None:
    got = unsent(Said(status, False, code, wait=wait), known)
    assert type(got) is error
    if isinstance(got, SendRetry):
        assert got.after == after and got.scope == "account"


def test_what_an_answer_brought_is_not_shown_with_it() -> None:
    said = Said(200, True, 0, "ok", data={"access_token": "t-0123"})
    assert "t-0123" not in f"{said!r} {said}"


def test_what_a_stranger_says_at_length_is_cut() -> None:
    said = Said(400, False, "c" * 1_000, "t" * 1_000)
    assert (len(str(said.code)), len(said.text)) == (300, 300)


@pytest.mark.parametrize(
    ("status", "known", "again", "error", "after"),
    [
        (429, None, 0.0, Throttled, 1.0),
        (429, None, 30.0, Throttled, 30.0),
        (400, BUSY, 0.0, Throttled, 3.0),
        (400, BUSY, 60.0, Throttled, 60.0),
        (400, KEYS, 0.0, AuthRejected, None),
        (400, NEVER, 0.0, LinkLost, None),
        (503, None, 0.0, LinkLost, None),
    ],
)
def test_a_refused_dial(
    status: int, known: Code | None, again: float, error: type[HermesError], after: float | None
) -> None:
    got = undialled("it", Said(status, False, 7), known, again=again)
    assert type(got) is error and getattr(got, "after", None) == after


def test_a_dial_says_that_an_answer_makes_no_sense_which_is_no_refusal() -> None:
    got = undialled("the address", Said(200, False), None)
    assert got.code == "bad_answer"
    assert got.text == "the address could not be had (HTTP 200, and an answer that makes no sense)"
    assert undialled("the address", Said(503, False), None).text == "the address could not be had (HTTP 503)"


def test_what_nobody_sees_leaves_no_doubt_and_limits_of_its_own_hold_back_no_other_chat() -> None:
    with pytest.raises(SendRetry, match="the upload broke off"), unseen("the upload"):
        raise SendUnknown("gone")
    with pytest.raises(SendRetry) as held, alone():
        raise SendRetry("busy", after=2.0, scope="account", code="7")
    assert (held.value.after, held.value.scope, held.value.code) == (2.0, "chat", "7")


def test_a_call_that_is_not_there_is_done_without_where_others_do_the_same() -> None:
    for status in (404, 405):
        with pytest.raises(SendRefused), alone():
            raise unsent(Said(status, False), None)


def test_a_wait_is_read_from_the_platforms_own_header_or_the_usual_one() -> None:
    answers = [Answer(429, headers, b"") for headers in ({"x-wait": "7", "Retry-After": "3"}, {"x-wait": "soon"}, {})]
    assert [wait_of(answer, "x-wait") for answer in answers] == [7.0, None, None]
    assert wait_of(answers[0]) == 3.0 and wait_of(Answer(429, {"Retry-After": "3", "x-wait": "?"}, b""), "x-wait") == 3
    assert wait_of(Answer(429, {"x-wait": "1e9"}, b""), "x-wait") == LONGEST_WAIT


def test_an_answer_without_a_token_is_refused() -> None:
    def refusal(what: str, said: Said) -> HermesError:
        return LinkLost(what)

    good = Said(200, True, data={"t": "token", "life": "60"})
    assert token_in(good, "t", "life", refusal) == ("token", 60.0)
    for said in (replace(good, good=False), replace(good, data={"t": 7}), replace(good, data={"t": ""})):
        with pytest.raises(LinkLost, match="an access token"):
            token_in(said, "t", "life", refusal)


def test_refused_credentials_halt_the_child_and_the_message_waits() -> None:
    class Adapter:
        _ctx = FakeContext("x")

        @halting
        def send(self) -> None:
            raise AuthRejected("no", action="mend it")

    with pytest.raises(SendRetry) as caught:
        Adapter().send()
    assert (caught.value.after, caught.value.scope, caught.value.action) == (60.0, "account", "mend it")
    assert [type(error) for error in Adapter._ctx.rejected] == [AuthRejected]


def test_the_oldest_is_forgotten_first() -> None:
    kept: Remembered[str, int] = Remembered(2)
    for number, key in enumerate("abc"):
        kept[key] = number
    kept.setdefault("d", 3)
    assert dict(kept) == {"c": 2, "d": 3}


@pytest.mark.parametrize("value", [None, "", 7, ["x"]])
def test_a_good_answer_without_what_it_must_bring_is_no_answer(value: object) -> None:
    assert given({"key": "x"}, "key") == "x"
    with pytest.raises(SendUnknown, match="no key"):
        given({"key": value}, "key")
    with pytest.raises(SendRefused):
        given({}, "key", SendRefused)


@pytest.mark.parametrize(
    "url", [None, 7, "", "http://h/x", "wss://", "wss://h:99999/", "wss://h:x/", "wss://[::1/", "wss://a b/"]
)
def test_an_address_that_cannot_be_dialled_is_a_lost_dial_and_no_matter_of_configuration(url: object) -> None:
    with pytest.raises(LinkLost):
        address_in(Said(200, True, data={"url": url}), "url")


def test_an_address_is_taken_as_it_is() -> None:
    url = "wss://h.example:8443/ws?ticket=t&x=%20"
    assert address_in(Said(200, True, data={"url": url}), "url") == url
