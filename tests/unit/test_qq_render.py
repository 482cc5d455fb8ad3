"""A reply as the texts QQ takes: 4,000 characters each, five to a message."""

from __future__ import annotations

import re

from hermes_green.adapters.qq.render import LIMIT, PARTS, render
from hermes_green.core.model import Attachment, Peer, Reply
from tests.support.dialects import RICH

PEER = Peer("qq", "U", "dm", extra={"kind": "c2c"})
PARAGRAPH = "All work and no play makes a dull text. " * 20


def texts(text: str, **keys) -> list[str]:
    return [payload["content"] for payload in render(Reply(text, PEER, **keys))]


def test_a_short_reply_is_one_part_as_it_is():
    text = "hi 2 * 3\n\n\n  你好, snake_case <b>"
    assert texts(text) == [text]


def test_markup_becomes_readable_plain_text():
    assert texts("# T\n**hi** [a](http://b)\n- x\n  - `y`") == ["T\n\nhi a (http://b)\n\n• x\n   ◦ y"]
    (shown,) = texts(RICH)
    assert "名称 |   b\n-----+----\n你好 | x|y" in shown and "**" not in shown
    assert shown.endswith("http://auto.test alt (http://img.test/i.png) rel (file.py)")


def test_a_long_reply_is_cut_within_the_limit():
    found = texts("\n\n".join([PARAGRAPH] * 12))
    assert len(found) == 3 and all(0 < len(text) <= LIMIT for text in found)
    assert "left out" not in found[-1]


def test_what_exceeds_five_parts_is_left_out_and_the_last_part_says_how_much():
    found = texts("\n\n".join([PARAGRAPH] * 60))
    assert len(found) == PARTS and all(len(text) <= LIMIT for text in found)
    missing = int(re.search(r"\[… (\d+) more characters left out / 余下 (\d+) 字未发送\]$", found[-1]).group(1))
    assert sum(map(len, found)) + missing >= 60 * len(PARAGRAPH.strip())


def test_parts_already_spent_on_a_message_leave_fewer():
    whole = "\n\n".join([PARAGRAPH] * 60)
    assert len(texts(whole, seq_used=3)) == 2
    assert "left out" in texts(whole, seq_used=3)[-1]


def test_with_all_parts_spent_one_more_is_made_for_the_platform_to_judge():
    assert texts("hi", seq_used=9) == ["hi"]


def test_a_reply_is_never_empty():
    assert texts("") == ["…"] and texts("  \n") == ["…"]


def test_media_that_cannot_be_sent_are_named():
    media = (Attachment("image", name="a.png"), Attachment("audio"))
    assert texts("look", media=media) == ["look\n[image] a.png\n[audio]"]
    assert texts("", media=media[:1]) == ["[image] a.png"]
