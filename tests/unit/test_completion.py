"""Completion: answers of the OpenAI chat protocol, as different endpoints write them."""

from __future__ import annotations

import json
import time
from typing import Any, Iterator

import pytest

from hermes_green.agents.completion import Completion, said
from hermes_green.core.errors import AgentFailed


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def delta(text: Any, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


DONE = b"data: [DONE]\n\n"


def read(data: bytes, step: int = 0) -> tuple[str, Completion]:
    completion = Completion()
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    return "".join(each.text for each in completion.streamed(pieces)), completion


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_stream_is_read_however_it_is_cut(step: int, newline: bytes) -> None:
    data = b": comment\n\n" + delta("你") + delta(None) + delta("好 🎉\u2028x") + delta("", "stop") + DONE
    text, completion = read(data.replace(b"\n", newline), step)
    assert text == "你好 🎉\u2028x" and completion.finished and completion.closed


@pytest.mark.parametrize("step", [0, 1])
def test_a_mark_of_byte_order_at_the_head_costs_nothing(step: int) -> None:
    assert read(b"\xef\xbb\xbf" + delta("first ") + delta("\ufeffsecond") + DONE, step)[0] == "first \ufeffsecond"


@pytest.mark.thorough
def test_what_is_no_such_stream_and_has_no_end_is_taken_apart_in_linear_time() -> None:
    """An endpoint may answer with anything; the hub must not stand still over it."""
    touched = _Touched()
    assert list(Completion().streamed(touched.pieces(b"a\n" * 8_192, 128))) == []
    assert touched.slowest < 1.0, "seconds of work on 16 kB"


def test_an_event_without_end_is_refused() -> None:
    for piece in (b"x" * 65_536, b"data: " + b"x" * 1_000 + b"\n"):
        with pytest.raises(AgentFailed, match="one event of the answer exceeds"):
            list(Completion().streamed([piece] * 5_000))


class _Touched:
    """How long the reader works on a piece, in its own time of the processor."""

    slowest = 0.0

    def pieces(self, piece: bytes, count: int) -> Iterator[bytes]:
        for _ in range(count):
            began = time.thread_time()
            yield piece
            self.slowest = max(self.slowest, time.thread_time() - began)


def test_either_mark_of_the_end_is_enough() -> None:
    assert read(delta("a", "stop"))[1].finished
    assert read(delta("a") + DONE)[1].finished
    assert read(delta("a") + b"data: [DONE]")[1].finished
    assert not read(delta("a"))[1].finished


def test_nothing_after_done_is_read() -> None:
    text, _ = read(delta("a") + DONE + delta("b"))
    assert text == "a"


def test_usage_is_kept_wherever_it_comes() -> None:
    usage = {"total_tokens": 3}
    late = event({"choices": [], "usage": usage})
    bare = event({"choices": None, "usage": usage})
    assert [read(delta("a", "stop") + end + DONE)[1].usage for end in (late, bare)] == [usage] * 2
    with_null = event({"choices": [{"delta": {"content": "a"}}], "usage": None})
    assert read(with_null + DONE)[1].usage is None


def test_an_agents_progress_notes_are_passed_over() -> None:
    note = b'event: hermes.tool.progress\ndata: {"tool": "x"}\n\n'
    assert read(note + delta("a", "stop"))[0] == "a"


def test_content_may_be_a_list_of_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]
    assert read(delta(parts, "stop"))[0] == "ab"


@pytest.mark.parametrize(
    "data, words",
    [
        (event({"error": {"message": "out of luck", "type": "server_error"}}), "out of luck"),
        (event({"error": "out of luck"}), "out of luck"),
        (b'event: error\ndata: {"message": "out of luck"}\n\n', "out of luck"),
        (b"event: error\ndata: out of luck\n\n", "out of luck"),
        (b"data: {not json\n\n", "not a JSON object"),
        (b"data: [1]\n\n", "not a JSON object"),
        (event({"hello": 1}), "no choices"),
        (event({"choices": ["x"]}), "not the OpenAI chat protocol"),
        (delta("", "error"), "finish_reason error"),
    ],
)
def test_what_is_no_answer_is_a_failure(data: bytes, words: str) -> None:
    with pytest.raises(AgentFailed, match=words):
        read(delta("a") + data + DONE)


def test_a_whole_answer() -> None:
    completion = Completion()
    body = {"choices": [{"message": {"content": "hé"}, "finish_reason": "stop"}], "usage": {"total_tokens": 1}}
    answer = completion.whole(json.dumps(body).encode())
    assert answer.text == "hé" and answer.usage == {"total_tokens": 1}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"choices": []}', b'{"error": {"message": "no"}}'])
def test_a_whole_answer_that_is_none_is_a_failure(body: bytes) -> None:
    with pytest.raises(AgentFailed):
        Completion().whole(body)


def test_an_endpoints_words_are_cut_to_one_short_line() -> None:
    assert said(b'{"error": {"message": "a\\n  b"}}') == "a b"
    assert said(b"") == "no reason given"
    assert len(said(b"x" * 10_000)) == 300
