"""Agents' answers in Slack's mrkdwn."""

from __future__ import annotations

import pytest

from hermes_green.adapters.slack import PLATFORM as slack, codes
from hermes_green.adapters.slack.render import LIMIT, render, texts_of
from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected
from hermes_green.core.model import Attachment, Peer, Reply, Secret

PEER = Peer("slack", "D1", "dm")
NOTHING = "\u200b"  # a blank without width


def shown(text: str) -> str:
    return "".join(texts_of(text)).replace(NOTHING, "")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain words", "plain words"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("two\nlines\n\n\nand gaps", "two\nlines\n\n\nand gaps"),
        ("**bold** *it* ~~no~~ `a<b`", "*bold* _it_ ~no~ `a&lt;b`"),
        ("# Title", "*Title*"),
        ("[words](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|words>"),
        ("[odd](https://x.y/a%7Cb>c)", "<https://x.y/a%7Cb%3Ec|odd>"),
        ("![cat](https://x.y/cat.png)", "<https://x.y/cat.png|cat>"),
        ("- a\n- b\n  - c", "• a\n• b\n   ◦ c"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> said", "> said"),
        ("```py\nif a < b:\n    pass\n```", "```\nif a &lt; b:\n    pass\n```"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "```\na | b\n--+--\n1 | 2\n```"),
    ],
)
def test_markdown_becomes_what_slack_shows(text, expected):
    assert shown(text) == expected


def test_marks_beside_letters_are_kept_apart_by_a_blank_without_width():
    assert f"这是{NOTHING}*粗体*" in "".join(texts_of("这是**粗体**字"))


def test_code_cannot_end_its_own_fence():
    (text,) = texts_of("````\n```\ninner\n```\n````")
    assert text.count("```") == 2


def test_a_long_answer_is_cut_into_messages_that_fit_and_lose_nothing():
    text = "\n\n".join(f"Line {number} with <marks> & {'words ' * 30}" for number in range(100))
    pieces = texts_of(text)
    assert len(pieces) > 3 and all(0 < len(piece) <= LIMIT for piece in pieces)
    whole = "".join("".join(pieces).split())
    assert whole == "".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def test_code_that_is_cut_is_code_in_each_message():
    pieces = texts_of("```py\n" + "\n".join(f"line_{number} = {number}" for number in range(1000)) + "\n```")
    assert len(pieces) > 1 and all(p.startswith("```\n") and p.endswith("\n```") for p in pieces)


@pytest.mark.parametrize("text", ["", "  \n ", "&", "<" * 5000, "😀" * 4100, "a" * 4001, "**", "\ud800"])
def test_anything_makes_messages_that_slack_takes(text):
    payloads = render(Reply(text, PEER))
    assert payloads and all(0 < len(payload["text"]) <= LIMIT and payload["text"].strip() for payload in payloads)
    "".join(payload["text"] for payload in payloads).encode()


def test_media_come_after_the_words_and_what_is_not_here_is_named():
    media = (Attachment("image", name="a.png", mime="image/png", path="/x/a.png"), Attachment("file", name="b.pdf"))
    words, image = render(Reply("look", PEER, media=media))
    assert words == {"text": "look\n[file] b.pdf"}
    assert image == {"media": {"kind": "image", "path": "/x/a.png", "name": "a.png", "mime": "image/png"}}
    assert render(Reply("", PEER, media=media[:1])) == (image,)


# --- the package -----------------------------------------------------------------------------------


def settings(bot: str = "xoxb-1", app: str = "xapp-1-A0APP-1-x") -> slack.Settings:
    return slack.Settings(bot_token=Secret(bot), app_token=Secret(app))


def test_tokens_that_changed_places_are_noticed():
    assert slack.check(settings()) == []
    assert len(slack.check(settings("xapp-1-A-1-x", "xoxb-1"))) == 2
    assert len(slack.check(settings("", " "))) == 2


def test_the_app_is_what_the_lock_is_for():
    assert slack.identity(settings()) == slack.identity(settings("xoxb-another")) == "A0APP"
    odd = slack.identity(settings(app="odd"))
    assert odd.startswith("app-") and "odd" not in odd


def test_every_code_says_what_happened_and_those_that_people_can_mend_say_how():
    assert len(slack.CODES) >= 40
    for name, code in slack.CODES.items():
        assert isinstance(code, Code) and code.text and str(name) == str(name).lower()
        assert code.action or not issubclass(code.error, AuthRejected)
    assert codes.LOST_THREAD <= set(slack.CODES) and codes.RATES <= set(slack.CODES)
