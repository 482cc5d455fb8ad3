"""What every agent owes a turn, and what the openai agent owes it over a bad line."""

from __future__ import annotations

import gzip
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from hermes_green.agents import openai as completions, registry
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentError, AgentFailed, AgentTimeout, ConfError
from hermes_green.core.model import Attachment, Delta, Message, Secret, Turn
from hermes_green.core.ports import Agent
from hermes_green.settings.schema import EchoAgent, OpenaiAgent, OtherAgent
from tests.support.llm import LlmServer
from tests.support.plainhttp import Request, read_request
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.turns import Turns

LOG = logging.getLogger("test")
YARD = Yard(LOG, Path.cwd())
KEY = "sk-very-secret"


def turn(text: str = "hello", **more: Any) -> Turn:
    values: dict[str, Any] = {
        "id": "turn-1",
        "attempt": 1,
        "session_id": "web:chat 1",
        "child": "web",
        "platform": "web",
        "account": "",
        "chat_id": "chat 1",
        "chat_type": "dm",
        "thread_id": None,
        "user_id": "u",
        "user_name": "Ü",
        "text": text,
    }
    return Turn(**{**values, **more})


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with LlmServer(api_key=KEY) as server:
        yield server


def openai(llm: LlmServer, **more: Any) -> Agent:
    values: dict[str, Any] = {"base_url": llm.url, "model": "m", "api_key": Secret(KEY), "timeout": PATIENCE}
    return registry.create(OpenaiAgent(type="openai", **{**values, **more}), LOG, YARD)


@pytest.fixture(params=["echo", "openai", "openai whole"])
def agent(request: pytest.FixtureRequest, llm: LlmServer) -> Iterator[Agent]:
    made = (
        registry.create(EchoAgent(), LOG, YARD)
        if request.param == "echo"
        else openai(llm, stream=request.param == "openai")
    )
    yield made
    made.close()


def answer(deltas: Iterator[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


# --- every agent ---


def test_an_answer_contains_what_was_said(agent: Agent) -> None:
    assert "grüße 你好 🎉" in answer(agent.run(turn("grüße 你好 🎉")))


def test_turns_run_side_by_side(agent: Agent) -> None:
    jobs = [gevent.spawn(lambda n=n: answer(agent.run(turn(f"message {n}")))) for n in range(50)]
    gevent.joinall(jobs, timeout=PATIENCE)
    for n, job in enumerate(jobs):
        assert job.value.endswith(f"message {n}")


def test_a_message_of_media_alone_gets_an_answer(agent: Agent) -> None:
    assert "image" in answer(agent.run(turn("", attachments=(Attachment("image", name="a.png"),))))


def test_a_turn_that_nobody_iterates_costs_nothing(agent: Agent) -> None:
    for _ in range(50):
        agent.run(turn())
    assert answer(agent.run(turn("and one that is"))).strip()


def test_an_abandoned_turn_can_be_closed_and_the_next_is_answered(agent: Agent) -> None:
    for _ in range(5):
        deltas = agent.run(turn())
        next(deltas)
        deltas.close()  # type: ignore[attr-defined]
    assert answer(agent.run(turn("and one to the end"))).strip()


def test_an_agent_that_nobody_brings_is_refused_by_name() -> None:
    with pytest.raises(ConfError, match='no agent "nobody"; it has echo, openai, python, command'):
        registry.create(OtherAgent(type="nobody"), LOG, YARD)


# --- the openai agent: what it sends ---


def test_a_call_carries_model_prompt_history_and_the_turns_id(llm: LlmServer) -> None:
    history = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    agent = openai(llm, system_prompt="be kind", history_turns=1, headers={"X-Mine": "yes"})
    assert answer(agent.run(turn("e", history=history))) == "echo: e"
    (sent,) = llm.record()
    assert sent["model"] == "m" and sent["stream"] and sent["key"] == "turn-1"
    assert sent["headers"]["x-mine"] == "yes"
    assert [(m["role"], m["content"]) for m in sent["messages"]] == [
        ("system", "be kind"),
        ("user", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ]


def test_no_message_without_content_is_sent_for_strict_endpoints_refuse_the_whole_request(llm: LlmServer) -> None:
    """A bare mention has no words, an answer of files has none either; both stay in the history."""
    history = (Message("user", ""), Message("assistant", " \n"), Message("user", "c"), Message("assistant", ""))
    answer(openai(llm).run(turn("", history=history)))
    (sent,) = llm.record()
    assert [(m["role"], m["content"]) for m in sent["messages"]] == [
        ("user", "…"),
        ("assistant", "…"),
        ("user", "c"),
        ("assistant", "…"),
        ("user", "…"),
    ]


def test_a_hermes_session_is_named_and_its_history_stays_there(llm: LlmServer) -> None:
    agent = openai(llm, session="hermes")
    answer(agent.run(turn("e", session_id="web:聊 1", history=(Message("user", "a"), Message("assistant", "b")))))
    (sent,) = llm.record()
    assert len(sent["messages"]) == 1
    assert sent["session"] == "web:%E8%81%8A 1"
    assert sent["headers"]["x-hermes-session-key"] == "web:dm:chat 1"


@pytest.mark.parametrize(
    "id, sent", [("feishu/sales:cid/x==", "feishu%2Fsales:cid%2Fx=="), ("q:a..b", "q%3Aa%2E%2Eb"), ("a" * 300, "")]
)
def test_a_hermes_session_is_named_in_a_way_that_it_takes(llm: LlmServer, id: str, sent: str) -> None:
    answer(openai(llm, session="hermes").run(turn("e", session_id=id, chat_id=id)))
    headers = llm.record()[-1]["headers"]
    assert sent in ("", headers["x-hermes-session-id"])
    assert len(headers["x-hermes-session-id"]) <= 256 and len(headers["x-hermes-session-key"]) <= 256


@pytest.mark.parametrize("trouble", [{"cut": True, "chunks": 1}, {"status": 503, "retry_after": 0.1}])
def test_hermes_is_asked_again_while_it_has_said_nothing(llm: LlmServer, trouble: dict[str, Any]) -> None:
    llm.behave(times=2, **trouble)
    assert answer(openai(llm, session="hermes").run(turn("e"))) == "echo: e"
    assert len({entry["key"] for entry in llm.record()}) == 1 and len(llm.record()) == 3


def test_hermes_is_not_asked_again_once_it_has_begun(llm: LlmServer) -> None:
    llm.behave(times=1, cut=True)
    with pytest.raises(AgentFailed):
        answer(openai(llm, session="hermes").run(turn("a longer question")))
    assert len(llm.record()) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_usage_comes_with_the_last_delta(llm: LlmServer, stream: bool) -> None:
    deltas = list(openai(llm, stream=stream).run(turn()))
    assert deltas[-1].usage is not None and deltas[-1].usage["completion_tokens"] > 0


def test_connections_are_used_again(llm: LlmServer) -> None:
    agent = openai(llm)
    answer(agent.run(turn("a")))
    pool = agent._http._adapter.poolmanager  # type: ignore[attr-defined]
    (only,) = [pool.pools[key] for key in pool.pools.keys()]
    for _ in range(3):
        answer(agent.run(turn("b")))
    assert only.num_connections == 1


# --- the openai agent: what it hears ---


@pytest.mark.parametrize(
    "how", [{"shred": 1}, {"shred": 7}, {"crlf": True}, {"crlf": True, "shred": 1}, {"comments": True}, {"chunks": 40}]
)
def test_a_stream_may_be_cut_anywhere_on_its_way(llm: LlmServer, how: dict[str, Any]) -> None:
    llm.behave(**how)
    assert answer(openai(llm).run(turn("grüße 你好 🎉"))) == "echo: grüße 你好 🎉"


def test_text_comes_piece_by_piece(llm: LlmServer) -> None:
    llm.behave(chunks=4, delay=0.1)
    deltas = openai(llm).run(turn("0123456789"))
    assert next(deltas).text
    assert llm.record()[-1]["outcome"] == "open", "the rest is not even sent"
    answer(deltas)
    assert llm.record()[-1]["outcome"] == "done"


@pytest.mark.parametrize("how", ["cut", "rst", "nodone", "malformed", "error"])
def test_a_stream_that_breaks_off_is_an_error_and_not_an_answer(llm: LlmServer, how: str) -> None:
    llm.behave(**{how: True})
    with pytest.raises(AgentFailed):
        answer(openai(llm).run(turn("a rather long message")))
    assert len(llm.record()) == 1, "after the first byte nothing is tried again"


@pytest.mark.parametrize("how", ["cut", "rst", "malformed"])
def test_a_whole_answer_that_breaks_off_is_an_error(llm: LlmServer, how: str) -> None:
    llm.behave(**{how: True})
    with pytest.raises(AgentFailed):
        answer(openai(llm, stream=False).run(turn()))


def test_an_empty_answer_is_an_answer(llm: LlmServer) -> None:
    llm.behave(empty=True)
    assert answer(openai(llm).run(turn())) == ""


def test_the_endpoints_own_words_are_told(llm: LlmServer) -> None:
    llm.behave(error=True)
    with pytest.raises(AgentFailed, match="told to fail"):
        answer(openai(llm).run(turn()))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_that_may_pass_is_tried_again(llm: LlmServer, status: int) -> None:
    llm.behave(status=status, retry_after=0.2, times=2)
    assert answer(openai(llm).run(turn())) == "echo: hello"
    first, second, third = llm.record()
    assert second["t"] - first["t"] >= 0.19 and third["t"] - second["t"] >= 0.19
    assert {entry["key"] for entry in llm.record()} == {"turn-1"}


def test_refusals_are_not_tried_for_ever(llm: LlmServer) -> None:
    llm.behave(status=503, retry_after=0.05)
    with pytest.raises(AgentFailed, match="HTTP 503"):
        answer(openai(llm).run(turn()))
    assert len(llm.record()) == 3


def test_a_wait_longer_than_the_turn_is_not_waited(llm: LlmServer) -> None:
    llm.behave(status=429, retry_after=3600)
    with gevent.Timeout(PATIENCE), pytest.raises(AgentFailed, match="429"):
        answer(openai(llm, timeout=600.0).run(turn()))


def test_a_wrong_key_fails_at_once_and_is_not_shown(llm: LlmServer) -> None:
    with pytest.raises(AgentFailed, match="refused the key") as caught:
        answer(openai(llm, api_key=Secret("sk-wrong-secret")).run(turn()))
    assert "api_key" in caught.value.action
    assert "sk-wrong" not in repr(caught.value) and caught.value.__cause__ is None
    assert len(llm.record()) == 1


def test_an_endpoint_that_is_not_there_is_said(llm: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions.random, "uniform", lambda least, most: 0.05)
    with pytest.raises(AgentFailed, match="refused"):
        answer(openai(llm, base_url="http://127.0.0.1:1/v1").run(turn()))


# --- other endpoints ---

EVENTS = (
    'data: {"choices": [{"delta": {"content": "hé"}}]}\n\n'
    'data: {"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
).encode()
WHOLE = '{"choices": [{"message": {"content": "hé!"}, "finish_reason": "stop"}]}'.encode()


@contextmanager
def endpoint(*answers: bytes) -> Iterator[tuple[str, list[Request]]]:
    """A server that gives each request the next of ``answers`` (the last for ever), then closes."""
    left, requests = list(answers), []

    def serve(sock: socket.socket, address: object) -> None:
        stream = sock.makefile("rb")
        request = read_request(stream)
        if request is not None:
            requests.append(request)
            sock.sendall(left.pop(0) if len(left) > 1 else left[0])
        stream.close()
        sock.close()

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.stop(timeout=0.1)


def head(status: int, body: bytes, kind: str, *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *more, "", ""]).encode() + body


@pytest.mark.parametrize(
    "reply",
    [
        head(200, EVENTS, "text/event-stream; charset=utf-8"),
        head(200, gzip.compress(EVENTS), "text/event-stream", "Content-Encoding: gzip"),
        head(200, EVENTS, "text/plain", f"Content-Length: {len(EVENTS)}"),
        head(200, WHOLE, "application/json"),
    ],
    ids=["until the end of the connection", "compressed", "mislabelled", "whole though a stream was asked for"],
)
def test_endpoints_may_answer_in_their_own_way(llm: LlmServer, reply: bytes) -> None:
    with endpoint(reply) as (url, _):
        assert answer(openai(llm, base_url=url).run(turn())) == "hé!"


def test_an_endpoint_that_does_not_know_stream_options_is_asked_without_them(llm: LlmServer) -> None:
    refusal = head(400, b'{"error": {"message": "unknown field stream_options"}}', "application/json")
    with endpoint(refusal, head(200, EVENTS, "text/event-stream")) as (url, requests):
        agent = openai(llm, base_url=url)
        assert answer(agent.run(turn())) == "hé!" and answer(agent.run(turn())) == "hé!"
    assert [b"stream_options" in request.body for request in requests] == [True, False, False]


def test_a_connection_that_breaks_before_the_answer_is_tried_once_more(llm: LlmServer) -> None:
    with endpoint(b"", head(200, EVENTS, "text/event-stream")) as (url, requests):
        assert answer(openai(llm, base_url=url).run(turn())) == "hé!"
    assert [request.headers["idempotency-key"] for request in requests] == ["turn-1", "turn-1"]
    with endpoint(b"") as (url, requests), pytest.raises(AgentFailed, match="ended early"):
        answer(openai(llm, base_url=url).run(turn()))
    assert len(requests) == 2


def test_a_secret_that_the_endpoint_quotes_is_not_told_on(llm: LlmServer) -> None:
    quoting = head(400, f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode(), "application/json")
    with endpoint(quoting) as (url, _), pytest.raises(AgentFailed, match=r"bad key \*\*\*"):
        answer(openai(llm, base_url=url).run(turn()))


# --- deadlines ---


@pytest.mark.parametrize(
    "how, more, name",
    [
        ({"hang": True}, {"first_byte_timeout": 0.3}, "first_byte_timeout"),
        ({"first": 600.0}, {"first_byte_timeout": 0.3}, "first_byte_timeout"),
        ({"stall": True}, {"chunk_timeout": 0.3}, "chunk_timeout"),
        ({"delay": 0.1, "chunks": 1000, "long": 10}, {"timeout": 0.5}, "timeout"),
    ],
)
def test_a_missed_deadline_is_named(llm: LlmServer, how: dict[str, Any], more: dict[str, Any], name: str) -> None:
    llm.behave(**how)
    with gevent.Timeout(PATIENCE / 2), pytest.raises(AgentTimeout) as caught:
        answer(openai(llm, **more).run(turn()))
    assert caught.value.code == name and name in caught.value.text
    wait_for(lambda: llm.record()[-1]["outcome"] == "gone" or llm.record()[-1]["ended"] is not None)


def test_a_killed_turn_closes_its_stream_at_once(llm: LlmServer) -> None:
    llm.behave(stall=True)
    agent = openai(llm, timeout=600.0)
    job = gevent.spawn(lambda: answer(agent.run(turn("a long message"))))
    wait_for(lambda: llm.record())
    gevent.sleep(0.1)
    job.kill()
    wait_for(lambda: llm.record()[-1]["outcome"] == "gone")


def test_nothing_waits_while_an_answer_floods(llm: LlmServer) -> None:
    llm.behave(long=4000, chunks=8000)
    agent = openai(llm)
    turns, size = Turns(), 0
    for delta in agent.run(turn("x" * 100)):
        turns.did()
        size += len(delta.text)
    turns.stop()
    print(f"pieces, while 4 MB stream in: {turns}")
    assert size > 3_900_000
    assert turns.fair(), str(turns)


def test_errors_of_the_agent_are_agent_errors_only(llm: LlmServer) -> None:
    agent = openai(llm, headers={"X-Bad": "line\nbreak"})
    with pytest.raises(AgentError):
        answer(agent.run(turn()))
