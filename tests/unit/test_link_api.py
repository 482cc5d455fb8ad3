"""A token that a platform calls invalid is replaced once, whatever was asked for with it."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import HermesError, LinkLost, SendRefused, SendRetry
from hermes_green.core.options import PlatformOptions
from hermes_green.link.api import Api, path_of
from hermes_green.link.http import Answer, TokenCache
from hermes_green.link.said import Said, body_of


class Wire:
    """Stands in for Http and its answers: knows one token at a time, and remembers who asked with which."""

    def __init__(self, valid: str) -> None:
        self.valid = valid
        self.asked: list[str] = []
        self.closed = 0

    def request(self, method: str, path: str, *, headers: Mapping[str, str], **how: Any) -> Answer:
        self.asked.append(headers["Authorization"])
        good = self.asked[-1] == f"Bearer {self.valid}"
        return Answer(200, {}, json.dumps({"code": 0 if good else 99, "me": "bot"}).encode())

    def stream(self, method: str, path: str, *, headers: Mapping[str, str], **how: Any) -> Wire:
        self.answer = self.request(method, path, headers=headers)
        self.status = 200 if b'"code": 0' in self.answer.body else 401
        self.headers: Mapping[str, str] = {}
        return self

    def read(self, limit: int) -> bytes:
        return self.answer.body[:limit]

    def pieces(self) -> Iterator[bytes]:
        yield b"all of it"

    def close(self) -> None:
        self.closed += 1


def take(answer: Answer) -> Said:
    code = body_of(answer)["code"]
    return Said(answer.status, code == 0, code, data=body_of(answer), stale=code == 99)


def refusal(said: Said) -> HermesError:
    return SendRefused(str(said))


class Rest(Api):
    def __init__(self, valid: str) -> None:
        super().__init__("http://127.0.0.1:1", PlatformOptions(), take, refusal)
        self._http = self.wire = Wire(valid)  # type: ignore[assignment]
        self.tokens = iter(("t1", "t2", "t3"))
        self._tokens = TokenCache(lambda: (next(self.tokens), 3600.0), ManualClock(), lambda token: None)

    def call(self, method: str, path: str, body: Any = None) -> Mapping[str, Any]:
        return self._sent(method, path, json=body)

    def who(self) -> Said:
        return self._asked("GET", "/me")

    def fetch(self) -> bytes:
        return b"".join(self._file("/file"))


def test_a_call_is_made_again_with_another_token() -> None:
    rest = Rest("t2")
    assert rest.call("POST", "/say", {"text": "hi"})["me"] == "bot"
    assert rest.call("POST", "/say", {"text": "hi"})["me"] == "bot"
    assert rest.wire.asked == ["Bearer t1", "Bearer t2", "Bearer t2"]


def test_a_question_on_the_way_to_a_link_is_asked_again_with_another_token() -> None:
    rest = Rest("t2")
    assert rest.who().data["me"] == "bot" and rest.wire.asked == ["Bearer t1", "Bearer t2"]


def test_a_file_is_asked_for_again_with_another_token_and_the_refusal_is_let_go() -> None:
    rest = Rest("t2")
    assert rest.fetch() == b"all of it" and rest.wire.asked == ["Bearer t1", "Bearer t2"]
    assert rest.wire.closed == 2


def test_a_fresh_token_that_is_refused_too_ends_it() -> None:
    rest = Rest("none of them")
    with pytest.raises(SendRetry) as waits:
        rest.call("POST", "/say")
    assert waits.value.scope == "account"
    assert not Rest("none of them").who().good
    rest = Rest("none of them")
    with pytest.raises(LinkLost) as lost:
        rest.fetch()
    assert lost.value.code == "no_file" and "99" in str(lost.value) and rest.wire.closed >= 2
    assert rest.wire.asked == ["Bearer t1", "Bearer t2"]


def test_where_the_token_stands_is_the_platforms_own() -> None:
    class Own(Rest):
        def _signed(self, token: str) -> dict[str, str]:
            return {"Authorization": f"Own {token}"}

    own = Own("t1")
    with pytest.raises(SendRetry):
        own.call("GET", "/me")
    assert own.wire.asked == ["Own t1", "Own t2"]


def test_what_stands_in_a_path_adds_no_level_and_no_query() -> None:
    assert path_of("/v1/messages", "a/../b?c#d", "reply") == "/v1/messages/a%2F..%2Fb%3Fc%23d/reply"
    assert path_of("/v1", None, 7) == "/v1//7"
    # Dots alone would be resolved before the request leaves, quoted or not.
    assert path_of("/v1/users", "..", "messages") == "/v1/users//messages" == path_of("/v1/users", ".", "messages")
    assert path_of("/v1", "a..", "...") == "/v1/a../..."
