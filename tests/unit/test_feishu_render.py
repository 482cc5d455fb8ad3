"""Replies become message bodies that fit, in the form that shows them best."""

import json
import random

import pytest

from hermes_green.adapters.feishu.render import POST_LIMIT, TEXT_LIMIT, body_of, render, size_of
from hermes_green.core.model import Attachment, Peer, Reply
from tests.support.dialects import RICH

PEER = Peer(child="c", chat_id="oc_1", chat_type="dm")


def payloads(text, media=()):
    return render(Reply(text=text, peer=PEER, media=media))


def rows(payload):
    kind, content = body_of(payload)
    assert kind == "post"
    return [row[0]["text"] for row in json.loads(content)["zh_cn"]["content"]]


def test_plain_text_is_sent_as_text_and_left_as_it_is():
    (payload,) = payloads('2 * 3 = 6, snake_case & "quotes" <b>\n你好')
    assert body_of(payload) == ("text", '{"text":"2 * 3 = 6, snake_case & \\"quotes\\" <b>\\n你好"}')


@pytest.mark.parametrize(
    "text",
    ["# Title", "a **b** c", "- one\n- two", "1. one", "> said", "see [x](https://x.test)", "`code`", "```\nx\n```"],
)
def test_markdown_is_sent_as_a_post(text):
    (payload,) = payloads(text)
    assert rows(payload) == ["**Title**" if text == "# Title" else text]


def test_code_stands_in_a_row_of_its_own_headings_are_bold_and_tables_are_code():
    text = "# **Big** one\ntext\n```py\n# no heading\n| a | b |\n```\nafter\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nend"
    (payload,) = payloads(text)
    assert rows(payload) == [
        "**Big one**\n\ntext",
        "```py\n# no heading\n| a | b |\n```",
        "after",
        "```\na | b\n--+--\n1 | 2\n```",
        "end",
    ]


def test_a_rich_answer_looks_like_this():
    (payload,) = payloads(RICH)
    assert rows(payload) == [
        "**Title b**\n\na *i* ~~s~~ `c|d` x < y & z\nnext **注意：**请看[文档](https://x.test/a%28b%29)吧。***both* bold**\n\n"
        "- a\n    - b **bold**\n        1. deep\n- code:",
        "```py\ndef f(x):\n\n    return x < 1\n```",
        "- c\n\n3. x\n\n4. y\n\n    more\n\n> q\n>\n> - qq\n>\n> > deeper\n>\n> ```\n> code\n> ```",
        "```\n名称 |   b\n-----+----\n你好 | x|y\n1    |  22\n```",
        "a: **r1**\nlink: [x](http://y.test)\n\na: **r2**\nlink: words\n\n---\n\n"
        "[http://auto.test](http://auto.test) [alt](http://img.test/i.png) rel (file.py)",
    ]


def test_a_fence_that_is_never_closed_is_kept():
    assert rows(payloads("a\n```\nb")[0]) == ["a", "```\nb\n```"]


def test_media_that_cannot_be_sent_are_named():
    media = (Attachment("image", name="a.png"), Attachment("audio"))
    assert payloads("look", media) == ({"text": "look\n[image] a.png\n[audio]"},)
    assert payloads("", media[:1]) == ({"text": "[image] a.png"},)
    assert rows(payloads("**look**", media)[0]) == ["**look**\n[image] a.png\n[audio]"]


def test_an_at_tag_of_the_agent_calls_nobody():
    for text in (
        '<at user_id="all">all</at>',
        "**x** <AT id=all></at>",
        '&lt;at user_id="all"&gt; **x** `</at>`',
        f"**x** {'x' * 23}<at></at> " * 800,
    ):
        payload = payloads(text)[-1]
        content = body_of(payload)[1].lower()
        assert "<at" not in content and "</at" not in content


def test_the_fallback_is_plain_text_with_the_same_words():
    (payload,) = payloads("**b**")
    assert body_of(payload, plain=True) == ("text", '{"text":"**b**"}')


def test_half_a_surrogate_pair_and_nothing_at_all_can_be_sent():
    assert payloads("a\ud83d")[0]["text"] == "a?"
    assert payloads("") == payloads(" \n") == ({"text": "…"},)


def test_a_text_whose_marks_were_escaped_is_sent_without_the_escapes():
    assert payloads("a \\* b &lt;") == ({"text": "a * b <"},)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "words",
    [
        "plain words 你好 ",
        'q"\\\n\t',
        "\x01\x02",
        "**b** `c`\n",
        "```\nx\n```\n| a |\n",
        "😀" * 9,
        "<at <at ",
        "[a](http://b)",
    ],
)
def test_every_part_fits_after_rendering_and_nothing_is_lost(words):
    rng = random.Random(3)
    text = "".join(rng.choice([words, words, "x", "word ", "\n\n"]) for _ in range(25_000 // len(words) * 3))
    parts = payloads(text)
    for part in parts:
        assert size_of(part) <= (POST_LIMIT if "rows" in part else TEXT_LIMIT)

    def letters(value):
        return sorted(letter for letter in value if letter.isalnum() and letter != "x")

    assert letters("".join(part.get("text") or "".join(part["rows"]) for part in parts)) == letters(text)


@pytest.mark.thorough
def test_a_long_plain_text_comes_in_few_parts():
    assert len(payloads("word " * 50_000)) <= 3


def test_the_parts_of_one_reply_are_all_of_one_kind():
    parts = payloads("**bold** first\n\n" + "word " * 10_000)
    assert len(parts) > 1 and all("rows" in part for part in parts)
