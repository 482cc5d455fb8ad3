"""How the web reads requests and writes events, without a socket."""

import io
import json

import pytest

from hermes_green.adapters.web.mailbox import chat_peer
from hermes_green.core.errors import UnknownChat
from hermes_green.web.exchange import Problem, Request, answer, strings
from hermes_green.web.streams import chat_line, event


def request(path="/", query="", body=b"", **headers):
    named = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO(body)}
    return Request({**environ, **named})


def test_paths_and_queries_are_utf8():
    asked = request("/api/sessions/é".encode().decode("latin-1"), "chat=%E4%BD%A0&limit=5")
    assert asked.path == "/api/sessions/é"
    assert asked.query["chat"] == "你"
    assert asked.number("limit", 10, 100) == 5
    assert asked.number("other", 10, 100) == 10


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1", "1.5", "²"])
def test_a_number_out_of_range_is_refused_by_name(limit):
    with pytest.raises(Problem) as caught:
        request(query=f"limit={limit}").number("limit", 10, 100)
    assert (caught.value.status, caught.value.field) == (422, "limit")


def test_cookies_are_found_among_others():
    asked = request(cookie="a=1; hermes_green=abc; b=2")
    assert asked.cookie("hermes_green") == "abc"
    assert asked.cookie("hermes") == ""


def test_an_empty_body_is_an_empty_object():
    assert request(body=b" \n").json() == {}
    assert request(body=b'{"a": 1}').json() == {"a": 1}


def test_optional_fields_may_be_null_or_absent():
    assert strings({"text": "x", "chat": None}, ["text"], ["chat", "thread"]) == {
        "text": "x",
        "chat": None,
        "thread": None,
    }


def test_an_answer_with_a_broken_surrogate_is_still_an_answer():
    assert json.loads(answer({"text": "\ud800"}).body) == {"text": "?"}


def test_an_event_stays_one_event_whatever_stands_in_it():
    raw = event({"text": "a\n\nb\r\ndata: x"}, name="x\ny", id="1\n2")
    assert raw.count(b"\n\n") == 1
    assert raw.startswith(b"id: 1 2\nevent: x y\ndata: ")


def test_what_the_user_sent_is_an_event_of_its_own_and_an_answer_is_a_plain_message():
    line = {"id": "1", "role": "user", "text": "hi", "at": 1700000000.0}
    assert b"event: sent\n" in chat_line(line)
    assert b"event:" not in chat_line({**line, "role": "assistant"})
    assert b'"at": "2023-11-14T22:13:20.000Z"' in chat_line(line)


@pytest.mark.parametrize("chat", ["main", "dm:main", "user:main", "a", "page-0123", "a.b:c@d_e"])
def test_a_chat_of_the_page_is_a_direct_chat(chat):
    peer = chat_peer("web", chat)
    assert (peer.chat_type, peer.user_id) == ("dm", "web")
    assert peer.chat_id == chat.removeprefix("dm:").removeprefix("user:")


@pytest.mark.parametrize("chat", ["", "group:1", "channel:1", "-a", "a b", "x" * 129, "dm:"])
def test_other_ids_are_no_chats_of_the_page(chat):
    with pytest.raises(UnknownChat):
        chat_peer("web", chat)
