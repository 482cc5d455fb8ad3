"""Pictures that users send are seen by an agent behind the OpenAI chat protocol; other files are named to it."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path
from typing import Any, Iterator

import pytest
from gevent import socket
from gevent.server import StreamServer

from hermes_green.agents import pictures
from hermes_green.core.errors import AgentFailed
from hermes_green.core.model import Attachment
from hermes_green.link.proxy import near
from tests.contract.test_agents import KEY, answer, endpoint, head, openai, turn
from tests.support.llm import LlmServer
from tests.support.plainhttp import read_head

SIGNS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
}


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with LlmServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Any]:
    """A file of the user's, as the gateway has brought it."""

    def make(data: bytes, name: str = "cat", kind: Any = "image") -> Attachment:
        path = tmp_path / name
        path.write_bytes(data)
        return Attachment(kind, name=name, path=str(path), size=len(data))

    yield make


def parts(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The last message's parts beside its text."""
    content = sent["messages"][-1]["content"]
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]


@pytest.mark.parametrize("mime", SIGNS)
@pytest.mark.parametrize("size", [40, 41, 42, 700_001])
def test_a_picture_goes_along_as_what_it_is_whatever_it_is_called(
    llm: LlmServer, shown: Any, mime: str, size: int
) -> None:
    data = SIGNS[mime] + os.urandom(size)
    agent = openai(llm)
    assert answer(agent.run(turn("what is this?", attachments=(shown(data),)))).startswith("echo: what is this?")
    (sent,) = llm.record()
    (part,) = parts(sent)
    begin, _, encoded = part["image_url"]["url"].partition(",")
    assert (part["type"], begin) == ("image_url", f"data:{mime};base64") and base64.b64decode(encoded) == data
    agent.close()


def test_several_pictures_stand_in_order_behind_the_text_that_names_them(llm: LlmServer, shown: Any) -> None:
    datas = [SIGNS["image/png"] + bytes([n]) * 200_000 for n in range(3)]
    attachments = tuple(shown(data, f"{n}.png") for n, data in enumerate(datas))
    agent = openai(llm)
    said = answer(agent.run(turn("", attachments=attachments)))
    assert all(f"[image: {n}.png]" in said for n in range(3))
    encoded = [part["image_url"]["url"].partition(",")[2] for part in parts(llm.record()[0])]
    assert [base64.b64decode(each) for each in encoded] == datas
    agent.close()


def test_what_is_no_picture_or_too_large_or_not_there_is_named(
    llm: LlmServer, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "LIMIT", 1000)
    large = shown(SIGNS["image/png"] + b"x" * 1000, "large.png")
    other = shown(b"II*\x00 a picture that endpoints do not know", "scan.tiff")
    gone = Attachment("image", name="gone.png", path="/nowhere/gone.png")
    unfetched = Attachment("image", name="unfetched.png")
    agent = openai(llm)
    said = answer(agent.run(turn("look", attachments=(large, other, gone, unfetched))))
    assert all(f"[image: {name}]" in said for name in ("large.png", "scan.tiff", "gone.png", "unfetched.png"))
    assert parts(llm.record()[0]) == []
    agent.close()


def test_no_more_pictures_than_are_looked_at_go_along(llm: LlmServer, shown: Any) -> None:
    attachments = tuple(shown(SIGNS["image/gif"], f"{n}.gif") for n in range(pictures.MOST + 2))
    agent = openai(llm)
    answer(agent.run(turn("many", attachments=attachments)))
    assert len(parts(llm.record()[0])) == pictures.MOST
    agent.close()


def test_what_is_too_much_together_is_left_out_and_a_smaller_one_behind_it_is_not(
    llm: LlmServer, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "TOGETHER", 1000)
    sizes = (600, 500, 300)
    attachments = tuple(shown(SIGNS["image/gif"] + b"x" * (size - 6), f"{size}.gif") for size in sizes)
    agent = openai(llm)
    answer(agent.run(turn("many", attachments=attachments)))
    encoded = [part["image_url"]["url"].partition(",")[2] for part in parts(llm.record()[0])]
    assert [len(base64.b64decode(each)) for each in encoded] == [600, 300]
    agent.close()


def test_an_agent_on_this_machine_is_told_where_a_file_lies_and_no_other_is(llm: LlmServer, shown: Any) -> None:
    report = shown(b"%PDF-1.7", "report.pdf", "file")
    agent = openai(llm)
    assert f"[file: report.pdf] {report.path}" in answer(agent.run(turn("read", attachments=(report,))))
    agent.close()
    here = ("http://127.0.0.1:8642/v1", "http://localhost/v1", "http://[::1]:1/v1", "http://0.0.0.0:8000/v1")
    assert all(map(near, (*here, "http://[::]:1/", "http://LOCALHOST.:8000/v1", "http://ollama.localhost/v1")))
    assert not any(map(near, ("https://api.example.com/v1", "http://10.0.0.7/v1", "http://localhost.evil/")))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "this model does not support image input"),
        (400, "messages[0]: unknown variant `image_url`, expected `text`"),
        (422, "content must be a string"),
        (413, "request entity too large"),
        (404, "No endpoints found that support image input"),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    ],
)
def test_an_endpoint_that_takes_no_pictures_is_asked_without_them(shown: Any, status: int, words: str) -> None:
    refusal = head(status, json.dumps({"error": {"message": words}}).encode(), "application/json", "Connection: close")
    good = head(200, b'{"choices": [{"message": {"content": "blind"}}]}', "application/json", "Connection: close")
    with endpoint(refusal, good) as (url, requests):
        agent = openai(type("Llm", (), {"url": url})())
        picture = shown(SIGNS["image/png"] + b"x" * 500, "cat.png")
        assert answer(agent.run(turn("look", attachments=(picture,)))) == "blind"
        agent.close()
    with_it, without = (json.loads(request.body) for request in requests)
    assert len(with_it["messages"][-1]["content"]) == 2
    assert without["messages"][-1]["content"] == f"look\n[image: cat.png] {picture.path}"


@pytest.mark.parametrize("said", [b"", head(413, b"{}", "application/json", "Connection: close")])
def test_an_endpoint_that_hangs_up_on_a_large_request_is_asked_without_pictures(shown: Any, said: bytes) -> None:
    """As servers do that know from its head that it is too large."""
    good = head(200, b'{"choices": [{"message": {"content": "blind"}}]}', "application/json", "Connection: close")
    sizes = []

    def serve(sock: Any, address: object) -> None:
        stream = sock.makefile("rb")
        request = read_head(stream)
        sizes.append(int(request.headers["content-length"]))
        if sizes[-1] < 100_000:
            stream.read(sizes[-1])
            sock.sendall(good)
        else:
            sock.sendall(said)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
        sock.close()

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        agent = openai(type("Llm", (), {"url": f"http://127.0.0.1:{server.server_port}/v1"})())
        picture = shown(SIGNS["image/png"] + b"x" * 9_000_000)
        assert answer(agent.run(turn("look", attachments=(picture,)))) == "blind"
        agent.close()
    finally:
        server.stop(timeout=0.1)
    assert [size > 100_000 for size in sizes] == [True, False]


def test_a_refusal_that_is_about_something_else_is_the_answer_s_end(shown: Any) -> None:
    refusal = head(401, b'{"error": {"message": "who are you"}}', "application/json", "Connection: close")
    with endpoint(refusal) as (url, requests):
        agent = openai(type("Llm", (), {"url": url})())
        with pytest.raises(AgentFailed):
            answer(agent.run(turn("look", attachments=(shown(SIGNS["image/png"]),))))
        agent.close()
    assert len(requests) == 1
