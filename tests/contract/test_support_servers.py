"""The servers that other tests lean on: the model, the authority and the proxies."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
import requests
import socks
import websocket

from hermes_green.sim.kit import Link, Request, Simulator
from tests.support.llm import LlmServer
from tests.support.port import wait_for
from tests.support.proxies import HttpProxy, Proxy, Socks5Proxy
from tests.support.stage import PATIENCE
from tests.support.tls import make_authority


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


def ask(llm: LlmServer, text: str, stream: bool = True, **more: Any) -> requests.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, **more}
    headers = {"Idempotency-Key": "k1", "X-Hermes-Session-Id": "s1"}
    return requests.post(f"{llm.url}/chat/completions", json=body, headers=headers, stream=stream, timeout=PATIENCE)


def events(answer: requests.Response) -> list[str]:
    return [line[6:].decode() for line in answer.iter_lines() if line.startswith(b"data: ")]


def streamed(answer: requests.Response) -> str:
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events(answer)[:-1]]
    return "".join(delta.get("content", "") for delta in deltas)


def outcomes(llm: LlmServer, count: int) -> list[str]:
    """The outcomes, once ``count`` requests have one."""

    def found() -> list[str]:
        return [entry["outcome"] for entry in llm.record() if entry["outcome"] != "open"]

    wait_for(lambda: len(found()) >= count, what=f"{count} outcomes")
    return found()


# --- the model ---------------------------------------------------------------------------------


def test_the_answer_is_the_last_user_message_in_several_chunks(llm: LlmServer) -> None:
    found = events(ask(llm, "hello"))
    assert found[-1] == "[DONE]"
    chunks = [json.loads(event) for event in found[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "echo: hello"
    assert len(chunks) == 6 and chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_without_streaming_the_answer_is_whole(llm: LlmServer) -> None:
    body = ask(llm, "hello", stream=False).json()
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "echo: hello"}
    assert body["usage"]["total_tokens"] == 5 + 11


def test_usage_comes_last_when_asked_for(llm: LlmServer) -> None:
    last = json.loads(events(ask(llm, "hello", stream_options={"include_usage": True}))[-2])
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 11


def test_the_record_tells_keys_sessions_and_messages(llm: LlmServer) -> None:
    streamed(ask(llm, "hello"))
    assert outcomes(llm, 1) == ["done"]
    answer = requests.get(llm.url.replace("/v1", "/_llm/record"), params={"since": 0}, timeout=PATIENCE).json()
    entry = answer["requests"][0]
    assert (entry["key"], entry["session"], entry["text"], entry["stream"]) == ("k1", "s1", "hello", True)
    assert entry["messages"] == [{"role": "user", "content": "hello"}]
    assert 0 <= entry["t"] <= entry["ended"] <= answer["now"]
    assert llm.record(since=1) == []


def test_a_cut_stream_ends_without_its_last_chunk(llm: LlmServer) -> None:
    for word in ("!cut", "!rst"):
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            streamed(ask(llm, f"{word} hello"))
    assert outcomes(llm, 2) == ["cut", "cut"]


def test_a_hanging_answer_notices_that_the_client_has_left(llm: LlmServer) -> None:
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{llm.url}/chat/completions", json={"messages": [{"role": "user", "content": "!hang x"}]}, timeout=0.2
        )
    answer = ask(llm, "!stall hello")
    next(answer.iter_content(1))
    answer.close()
    assert outcomes(llm, 2) == ["gone", "gone"]


def test_errors_carry_their_status_and_when_to_come_back(llm: LlmServer) -> None:
    limited = ask(llm, "!status=429 !retry_after=3 x")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "3")
    assert ask(llm, "!status=500 x").status_code == 500
    assert outcomes(llm, 2) == ["refused", "refused"]


def test_broken_streams_are_broken_as_told(llm: LlmServer) -> None:
    assert "{not json" in events(ask(llm, "!malformed x"))
    assert "told to fail" in events(ask(llm, "!error x"))[3]
    without_end = [json.loads(event) for event in events(ask(llm, "!nodone x"))]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in without_end)
    assert streamed(ask(llm, "!empty x")) == ""


def test_a_stream_in_shreds_with_comments_and_crlf_is_still_the_same(llm: LlmServer) -> None:
    assert streamed(ask(llm, "!shred=3 !comments !crlf größer 你好")) == "echo: größer 你好"


def test_a_long_answer_has_the_length_asked_for(llm: LlmServer) -> None:
    assert len(streamed(ask(llm, "!long=20 x"))) >= 20 * 1024


def test_behaviour_can_be_set_over_http_for_some_requests(llm: LlmServer) -> None:
    control = llm.url.replace("/v1", "/_llm/behave")
    requests.post(control, json={"status": 503, "times": 1, "match": "fail"}, timeout=PATIENCE)
    assert ask(llm, "fine").status_code == 200
    assert [ask(llm, "fail").status_code for _ in range(2)] == [503, 200]


def test_delays_are_kept_and_chats_do_not_wait_for_each_other(llm: LlmServer) -> None:
    began = time.monotonic()
    assert streamed(ask(llm, "!first=0.2 !delay=0.1 hello")) == "echo: hello"
    assert time.monotonic() - began >= 0.4


def test_a_key_is_demanded_where_one_is_set() -> None:
    with LlmServer(api_key="sk") as llm:
        assert ask(llm, "x").status_code == 401
        good = requests.get(f"{llm.url}/models", timeout=PATIENCE)
        assert good.json()["data"][0]["id"] == "echo"


def test_it_runs_as_a_process_of_its_own() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.support.llm", "--port", "0"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            body = {"messages": [{"role": "user", "content": "hi"}]}
            answer = requests.post(f"{url}/chat/completions", json=body, timeout=PATIENCE).json()
            assert answer["choices"][0]["message"]["content"] == "echo: hi"
        finally:
            process.terminate()


# --- the authority -----------------------------------------------------------------------------


class TinySim(Simulator):
    """Answers everything, and says back what it hears."""

    ws_path = "/ws"

    def is_dial(self, request: Request) -> bool:
        return False

    def received(self, link: Link, data: str | bytes) -> None:
        link.send(data)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[TinySim, str]]:
    authority = make_authority(tmp_path)
    with TinySim(certfile=authority.cert_file, keyfile=authority.key_file) as sim:
        yield sim, authority.ca_file  # type: ignore[misc]


def test_a_certificate_is_trusted_with_its_authority_and_not_without(secure: tuple[TinySim, str]) -> None:
    sim, ca_file = secure
    assert requests.get(f"{sim.url}/x", verify=ca_file, timeout=PATIENCE).status_code == 404
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{sim.url}/x", timeout=PATIENCE)
    ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE, sslopt={"ca_certs": ca_file})
    ws.send("hello")
    assert ws.recv() == "hello"
    ws.shutdown()


@pytest.mark.parametrize("wrong", [{"days": -1.0}, {"names": ("example.org",)}])
def test_an_expired_or_foreign_certificate_is_not_trusted(tmp_path: Path, wrong: dict[str, Any]) -> None:
    authority = make_authority(tmp_path, **wrong)
    with LlmServer(context=authority.server_context()) as llm:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{llm.url}/models", verify=authority.ca_file, timeout=PATIENCE)


def test_a_strict_client_accepts_the_chain(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with LlmServer(context=authority.server_context()) as llm:
        with socket.create_connection(("127.0.0.1", llm.port), timeout=PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                assert tls.version() == "TLSv1.3"


# --- the proxies -------------------------------------------------------------------------------


@pytest.fixture(params=[HttpProxy, Socks5Proxy])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with request.param() as running:
        yield running


def through(proxy: Proxy, url: str, **more: Any) -> requests.Response:
    with requests.Session() as http:
        http.trust_env = False
        return http.get(url, proxies={"http": proxy.url, "https": proxy.url}, timeout=PATIENCE, **more)


def test_requests_go_through_and_are_written_down(proxy: Proxy, llm: LlmServer) -> None:
    assert through(proxy, f"{llm.url}/models").json()["data"][0]["id"] == "echo"
    (entry,) = proxy.record
    assert (entry.host, entry.port) == ("127.0.0.1", llm.port)
    assert entry.how == ("SOCKS5" if proxy.scheme == "socks5" else "absolute")


def test_tls_and_websockets_are_tunnelled(proxy: Proxy, secure: tuple[TinySim, str]) -> None:
    sim, ca_file = secure
    assert through(proxy, f"{sim.url}/x", verify=ca_file).status_code == 404
    kind, port = socks.SOCKS5 if proxy.scheme == "socks5" else socks.HTTP, int(proxy.url.rpartition(":")[2])
    raw = socks.create_connection(("127.0.0.1", sim.port), PATIENCE, None, kind, "127.0.0.1", port)
    tls = ssl.create_default_context(cafile=ca_file).wrap_socket(raw, server_hostname="127.0.0.1")
    ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE, socket=tls)
    ws.send("x" * 200_000)
    assert ws.recv() == "x" * 200_000
    ws.shutdown()
    assert [entry.how for entry in proxy.record] == ["SOCKS5" if proxy.scheme == "socks5" else "CONNECT"] * 2
    assert proxy.record[1].up > 200_000 and proxy.record[1].down > 200_000


def test_a_proxy_can_refuse_and_says_when_nobody_is_there(proxy: Proxy, secure: tuple[TinySim, str]) -> None:
    sim, ca_file = secure
    proxy.refuse = True
    with pytest.raises(requests.ConnectionError):
        through(proxy, f"{sim.url}/x", verify=ca_file)
    proxy.refuse = False
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(requests.ConnectionError):
            through(proxy, f"https://127.0.0.1:{unused.getsockname()[1]}/", verify=ca_file)
    assert [entry.outcome for entry in proxy.record] == ["refused", "unreachable"]


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
def test_a_proxy_with_a_password_lets_only_its_user_in(kind: type[Proxy], llm: LlmServer) -> None:
    with kind("ann", "secret") as proxy:
        assert through(proxy, f"{llm.url}/models").status_code == 200
        proxy.password = "changed"
        good_no_more = proxy.url.replace("changed", "secret")
        try:
            answer = requests.get(f"{llm.url}/models", proxies={"http": good_no_more}, timeout=PATIENCE)
            assert answer.status_code == 407
        except requests.ConnectionError:
            assert proxy.scheme == "socks5"
        assert [entry.outcome for entry in proxy.record][-1] == "denied"
        assert proxy.record[0].user == "ann:secret"
