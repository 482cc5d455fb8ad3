"""Replies become message bodies that fit, in the form that shows them best."""

import json
import random

import pytest

from hermes_green.adapters.feishu.render import POST_LIMIT, TEXT_LIMIT, body_of, render, size_of
from hermes_green.core.model import Peer, Reply

PEER = Peer(child="c", chat_id="oc_1", chat_type="dm")


def payloads(text):
    return render(Reply(text=text, peer=PEER))


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
    assert payload == {"text": text, "markdown": True}
    assert body_of(payload)[0] == "post"


def test_code_stands_in_a_row_of_its_own_headings_are_bold_and_tables_are_code():
    text = "# **Big** one\ntext\n```py\n# no heading\n| a | b |\n```\nafter\n| a | b |\n|---|---|\n| 1 | 2 |\nend"
    (payload,) = payloads(text)
    assert rows(payload) == [
        "**Big one**\ntext",
        "```py\n# no heading\n| a | b |\n```",
        "after",
        "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```",
        "end",
    ]


def test_a_fence_that_is_never_closed_is_kept():
    assert rows(payloads("a\n```\nb")[0]) == ["a", "```\nb"]


def test_an_at_tag_of_the_agent_calls_nobody():
    for text in ('<at user_id="all">all</at>', '**x** <AT id=all></at>'):
        (payload,) = payloads(text)
        content = body_of(payload)[1].lower()
        assert "<at" not in content and "</at" not in content


def test_the_fallback_is_plain_text_with_the_same_words():
    (payload,) = payloads("**b**")
    assert body_of(payload, plain=True) == ("text", '{"text":"**b**"}')


def test_half_a_surrogate_pair_and_nothing_at_all_can_be_sent():
    assert payloads("a\ud83d")[0]["text"] == "a?"
    assert payloads("") == ({"text": "", "markdown": False},)


@pytest.mark.parametrize(
    "words", ["plain words 你好 ", 'q"\\\n\t', "\x01\x02", "**b** `c`\n", "```\nx\n```\n| a |\n", "😀" * 9]
)
def test_every_part_fits_after_rendering_and_nothing_is_lost(words):
    rng = random.Random(3)
    text = "".join(rng.choice([words, words, "x", "word ", "\n\n"]) for _ in range(60_000 // len(words) * 3))
    parts = payloads(text)
    assert len(parts) > 1 or size_of(text, parts[0]["markdown"]) <= POST_LIMIT
    for part in parts:
        limit = POST_LIMIT if part["markdown"] else TEXT_LIMIT
        assert size_of(part["text"], part["markdown"]) <= limit

    def letters(value):
        return "".join(value.replace("`", "").split())

    assert letters("".join(part["text"] for part in parts)) == letters(text)


def test_a_long_plain_text_comes_in_few_parts():
    assert len(payloads("word " * 50_000)) <= 3


def test_the_parts_of_one_reply_are_all_of_one_kind():
    parts = payloads("**bold** first\n\n" + "word " * 20_000)
    assert len(parts) > 1 and {part["markdown"] for part in parts} == {True}
