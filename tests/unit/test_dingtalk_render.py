"""Replies become DingTalk's texts and Markdown, each within the limit, and answers say what they mean."""

import json

import pytest

from hermes_green.adapters.dingtalk import cards, render as bodies, rest
from hermes_green.adapters.dingtalk.codes import CODES, QPS, meaning
from hermes_green.adapters.dingtalk.settings import Settings, api_of, check, oapi_of
from hermes_green.core.errors import AuthRejected, LinkLost, SendRefused, SendRetry, SendUnknown, TextRefused, Throttled
from hermes_green.core.model import Attachment, Peer, Reply, Secret
from hermes_green.link.http import Answer
from tests.support.dialects import COLUMNS, LISTS_AND_QUOTE, RICH

GOLDEN = f"""\
# Title **b**

a *i* ~~s~~ `c|d` x < y & z\x20\x20
next **注意：**请看[文档](https://x.test/a%28b%29)吧。***both* bold**

{LISTS_AND_QUOTE}

{COLUMNS}

a: **r1**\x20\x20
link: [x](http://y.test)

a: **r2**\x20\x20
link: words

---

[http://auto.test](http://auto.test) ![alt](http://img.test/i.png) rel (file.py)"""

PEER = Peer(child="d", chat_id="cid1", chat_type="dm")


def payloads(text, media=()):
    return bodies.render(Reply(text=text, peer=PEER, media=media))


def answer(status=200, body=None, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    return rest.take(Answer(status, headers, raw))


# --- out ---------------------------------------------------------------------------------------------


def test_plain_text_is_sent_as_it_is():
    (payload,) = payloads('2 * 3 = 6, snake_case & "quotes" <b>\n你好')
    assert payload == {"text": '2 * 3 = 6, snake_case & "quotes" <b>\n你好', "markdown": False}
    assert bodies.webhook_body(payload)["msgtype"] == "text"
    assert bodies.api_message(payload)[0] == "sampleText"


def test_markdown_is_sent_as_such_with_lines_that_end_and_a_title_to_notify_with():
    (payload,) = payloads("# The **title**\n\nfirst\nsecond")
    body = bodies.webhook_body(payload, at="0326")
    assert body["markdown"] == {"title": "The **title", "text": "# The **title**\n\nfirst  \nsecond"}
    assert body["at"] == {"atUserIds": ["0326"], "isAtAll": False}
    assert bodies.api_message(payload)[0] == "sampleMarkdown"


def test_a_table_which_no_client_shows_becomes_columns_or_a_list():
    (payload,) = payloads("| a | b |\n|---|---|\n| 1 | 2 |")
    assert "|---|" not in payload["text"] and "```" in payload["text"]


def test_everything_an_agent_may_write_has_a_form_and_keeps_its_words():
    (payload,) = payloads(RICH)
    assert payload == {"text": GOLDEN, "markdown": True}


@pytest.mark.parametrize("text", ["word " * 4_000, "# T\n\n" + "**bold** words\n" * 500, "```\n" + "x = 1\n" * 2_000])
@pytest.mark.thorough
def test_long_answers_are_cut_within_the_limit(text):
    parts = payloads(text)
    assert len(parts) > 1 and all(0 < len(part["text"]) <= bodies.LIMIT for part in parts)


def test_files_follow_the_words_and_nothing_is_never_sent():
    file = Attachment("file", name="a.pdf", path="/tmp/a.pdf")
    assert [list(part) for part in payloads("here", (file,))] == [["text", "markdown"], ["media"]]
    assert [list(part) for part in payloads(" ", (file,))] == [["media"]]
    assert payloads("") == ({"text": "…", "markdown": False},)


def test_a_draft_shows_what_fits_and_always_something():
    assert bodies.shown("so far") == "so far" and bodies.shown("") == "…"
    assert len(bodies.shown("word " * 4_000)) <= bodies.LIMIT


@pytest.mark.parametrize("text, title", [("", "…"), ("---\n# Hello", "Hello"), ("x" * 50, "x" * 20)])
def test_a_title_is_the_first_line_that_says_something(text, title):
    assert bodies.title_of(text) == title


def test_a_webhook_is_told_whom_to_call_by_name_and_of_nobody_else():
    text = {"msgtype": "text", "text": {"content": "hi"}}
    assert bodies.webhook_body({"text": "hi"}) == text
    assert bodies.webhook_body({"text": "hi"}, "staff1") == {**text, "at": {"atUserIds": ["staff1"], "isAtAll": False}}


def test_a_file_s_type_is_its_name_s_ending():
    assert bodies.media_message("file", "@m", "a.PDF")[1] == {"mediaId": "@m", "fileName": "a.PDF", "fileType": "pdf"}
    assert bodies.media_message("file", "@m", "noname")[1]["fileType"] == "file"
    assert bodies.media_message("image", "@m", "a.png") == ("sampleImageMsg", {"photoURL": "@m"})


# --- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said, error, after, scope",
    [
        (answer(200, {"errcode": 130101, "errmsg": "send too fast"}), SendRetry, 600, "chat"),
        (answer(200, {"errcode": 90018}), SendRetry, 1, "account"),
        (answer(403, {"code": QPS + "LimitForApi"}), SendRetry, 1, "account"),
        (answer(403, {"code": QPS + "LimitForAppkeyAndApi"}, **{"Retry-After": "3"}), SendRetry, 3, "account"),
        (answer(200, {"status": 1111, "wait": 5, "punish": "deny"}), SendRetry, 300, "account"),
        (answer(429, b"slow down"), SendRetry, 1, "account"),
        (answer(407, b"<html>"), SendRetry, 5, "account"),
        (answer(200, {"errcode": 300005, "errmsg": "token is not exist"}), SendRefused, None, None),
        (answer(200, {"errcode": 460101}), TextRefused, None, None),
        (answer(403, {"code": "Forbidden.AccessDenied.AccessTokenPermissionDenied"}), SendRefused, None, None),
        (answer(400, {"code": "something.new", "message": "no"}), SendRefused, None, None),
        (answer(200, {"success": False, "code": "param.error", "message": "no"}), SendRefused, None, None),
        (answer(200, {"success": False, "result": None}), SendRefused, None, None),
        (answer(200, {"errcode": -1}), SendUnknown, None, None),
        (answer(500, {"code": "InternalError"}), SendUnknown, None, None),
        (answer(200, b"<html>"), SendUnknown, None, None),
        (answer(400, {"code": "invalidClientIdOrSecret"}), AuthRejected, None, None),
    ],
)
def test_a_refused_send_says_what_may_be_done_with_it(said, error, after, scope):
    found = rest.send_error(said)
    assert type(found) is error, found
    if after is not None:
        assert (found.after, found.scope) == (after, scope)


@pytest.mark.parametrize(
    "said, error",
    [
        (answer(401, {"code": "authFailed"}), AuthRejected),
        (answer(401, b""), AuthRejected),
        (answer(400, {"code": "invalidClientIdOrSecret"}), AuthRejected),
        (answer(403, {"code": QPS + "LimitForApi"}), Throttled),
        (answer(429, b""), Throttled),
        (answer(503, b"busy"), LinkLost),
        (answer(400, {"code": "something.new"}), LinkLost),
        (answer(200, b"<xml/>"), LinkLost),
    ],
)
def test_a_refused_dial_says_wait_or_halt(said, error):
    found = rest.dial_error("a connection", said)
    assert type(found) is error, found
    if error is AuthRejected:
        assert "client_id" in found.action and "client_secret" in found.action


@pytest.mark.parametrize(
    "said, good, stale",
    [
        (answer(200, {"errcode": 0, "errmsg": "ok"}), True, False),
        (answer(200, {"processQueryKey": "k", "code": "0"}), True, False),
        (answer(200, {"success": True, "result": True}), True, False),
        # Where nothing is to be told, nothing may be said: a card's last text is not to be sent for ever.
        (answer(200, {}), True, False),
        (answer(200, b""), True, False),
        (answer(204, b""), True, False),
        (answer(200, {"success": False, "result": False}), False, False),
        (answer(200, {"errcode": 40014}), False, True),
        (answer(401, {"code": "InvalidAuthentication"}), False, True),
        (answer(401, b""), False, True),
        (answer(401, {"code": "authFailed"}), False, False),
        (answer(200, b"[]"), False, False),
    ],
)
def test_a_good_answer_and_a_stale_token_are_told_apart(said, good, stale):
    assert (said.good, said.stale) == (good, stale)


@pytest.mark.parametrize(
    "said, why",
    [
        ({"result": {"deliverResults": [{"success": True}, {"success": False}]}}, None),
        ({"result": {"deliverResults": [{"success": False, "errorMsg": "no"}]}}, "no"),
        ({"result": {"deliverResults": [{}]}}, "no reason given"),
        ({"result": True}, None),
        ({}, None),
    ],
)
def test_a_card_that_reached_nobody_is_noticed(said, why):
    assert cards.undelivered(said) == why


def test_every_code_has_words_and_limits_share_one():
    assert all(code.text for code in CODES.values())
    assert meaning(QPS + "LimitForX") is CODES[QPS] and meaning(None) is None and meaning("new") is None


# --- settings ----------------------------------------------------------------------------------------


def test_bases_move_the_hosts():
    def made(**keys):
        return Settings(client_id="a", client_secret=Secret("b"), **keys)

    assert (api_of(made()), oapi_of(made())) == ("https://api.dingtalk.com", "https://oapi.dingtalk.com")
    assert oapi_of(made(api_base="http://h/")) == "http://h"
    assert oapi_of(made(api_base="http://h", oapi_base="http://o")) == "http://o"
    assert check(made()) == []
    assert len(check(Settings(client_id=" ", client_secret=Secret(""), card_template_id="t", card_content_key=""))) == 3
