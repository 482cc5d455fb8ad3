"""A reply as the texts QQ takes: 4,000 characters each, five to a message."""

from __future__ import annotations

import re

import pytest

from hermes_green.adapters.qq.render import C2C_PARTS, LIMIT, PARTS, render, streamed
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


CALLS = "@everyone <@!1234> <@ABC> <#55> `<emoji:4>` <qqbot-at-everyone /> <qqbot-at-user id='A' /> @**everyone**"


@pytest.mark.parametrize("kind", ["group", "channel", "guild_dm"])
def test_nobody_is_called_by_an_agents_words(kind):
    """bot-docs trans/text-chain.md: what calls people, or all of them, in the middle of a text."""
    peer = Peer("qq", "C", "group", extra={"kind": kind})
    (shown,) = (payload["content"] for payload in render(Reply(CALLS, peer)))
    assert not re.search(r"<[@#]|<emoji|<qqbot|@everyone", shown, re.IGNORECASE)
    assert shown.replace("\u200b", "") == CALLS.replace("**", "").replace("`", "")
    assert [payload["content"] for payload in render(Reply("a <b> && @b #5 <3", peer))] == ["a <b> && @b #5 <3"]


def test_in_guilds_an_entity_is_shown_as_it_is_written():
    """bot-docs message_format.md: these three are undone there, and only these."""
    peer = Peer("qq", "C", "channel", extra={"kind": "channel"})
    (payload,) = render(Reply("write `&lt; as &amp;lt; but &copy;` so", peer))
    assert payload["content"] == "write &\u200blt; as &\u200bamp;lt; but &copy; so"
    (payload,) = render(Reply("write `&lt; as &amp;lt; but &copy;` so", GROUP))  # which undo nothing
    assert payload["content"] == "write &lt; as &amp;lt; but &copy; so"


def test_what_calls_nobody_takes_no_more_room_than_it_has():
    code = "if (a<b && c@d) {}\n" * 200
    assert len(code) < LIMIT
    for peer in (GROUP, Peer("qq", "C", "channel", extra={"kind": "channel"})):
        assert [payload["content"] for payload in render(Reply(code, peer))] == [code.strip()]


def test_what_is_made_harmless_keeps_the_limit():
    for peer in (GROUP, Peer("qq", "C", "channel", extra={"kind": "channel"})):
        found = [payload["content"] for payload in render(Reply("@everyone\n" * 1000, peer))]
        assert all(len(text) <= LIMIT for text in found)
        assert "\n".join(found).replace("\u200b", "").split() == ["@everyone"] * 1000


def test_a_long_reply_is_cut_within_the_limit():
    found = texts("\n\n".join([PARAGRAPH] * 12))
    assert len(found) == 3 and all(0 < len(text) <= LIMIT for text in found)
    assert "left out" not in found[-1]


GROUP = Peer("qq", "G", "group", extra={"kind": "group"})


def test_what_exceeds_the_parts_is_left_out_and_the_last_part_says_how_much():
    found = texts("\n\n".join([PARAGRAPH] * 40))
    assert len(found) == C2C_PARTS == 4, "the working sign is the fifth"
    found = [each["content"] for each in render(Reply("\n\n".join([PARAGRAPH] * 40), GROUP))]
    assert len(found) == PARTS == 5 and all(len(text) <= LIMIT for text in found)
    missing = int(re.search(r"\[… (\d+) more characters left out / 余下 (\d+) 字未发送\]$", found[-1]).group(1))
    assert sum(map(len, found)) + missing >= 40 * len(PARAGRAPH.strip())


def test_parts_already_spent_on_a_message_leave_fewer():
    whole = "\n\n".join([PARAGRAPH] * 40)
    found = texts(whole, seq_used=2)
    assert len(found) == 2 and "left out" in found[-1]


def test_with_all_parts_spent_one_more_is_made_for_the_platform_to_judge():
    assert texts("hi", seq_used=9) == ["hi"]


def test_a_reply_is_never_empty():
    assert texts("") == ["…"] and texts("  \n") == ["…"]


def test_media_that_cannot_be_sent_are_named():
    media = (Attachment("image", name="a.png"), Attachment("audio"))
    assert texts("look", media=media) == ["look\n[image] a.png\n[audio]"]
    assert texts("", media=media[:1]) == ["[image] a.png"]


def test_the_first_text_of_a_direct_chat_has_its_markdown_beside_it():
    media = (Attachment("image", name="a.png"),)
    (payload,) = render(Reply("**hi**\n", PEER, media=media))
    assert payload == {"content": "hi\n[image] a.png", "markdown": "**hi**\n[image] a.png"}
    assert render(Reply("**hi**", GROUP)) == ({"content": "hi"},)


@pytest.mark.thorough
def test_what_a_stream_shows_is_the_beginning_of_the_first_text_at_any_time():
    code = "```py\n" + "x = 1\n" * 120 + "```\n\n"
    for whole in ("\n\n".join([PARAGRAPH] * 12), code * 12, "y" * 20000, "  " + PARAGRAPH * 3 + "\n", "z\n" * 4000):
        payloads = render(Reply(whole, PEER))
        first = payloads[0]["markdown"]
        assert len(first) <= LIMIT and all(first.startswith(streamed(whole[:n])) for n in range(0, len(whole), 499))
        assert all("markdown" not in each for each in payloads[1:])


def test_media_are_sent_as_far_as_the_replies_allow_and_others_are_named(tmp_path):
    media = tuple(Attachment("file", name=f"{n}.txt", path=f"/{n}.txt", size=9) for n in range(5))
    payloads = render(Reply("look", PEER, media=media))
    assert payloads[0]["content"] == "look\n[file] 3.txt\n[file] 4.txt"
    assert [each["media"]["name"] for each in payloads[1:]] == ["0.txt", "1.txt", "2.txt"]
    big = Attachment("file", name="big.bin", path="/big.bin", size=42 * 2**20)
    assert texts("", media=(big,)) == ["[file] big.bin (42.0 MiB > 10 MiB)"]
    alone = render(Reply("", PEER, media=media[:4]))
    assert [each["media"]["name"] for each in alone] == ["0.txt", "1.txt", "2.txt", "3.txt"], "no words"
    channel = Peer("qq", "C", "channel", extra={"kind": "channel"})
    assert render(Reply("", channel, media=media[:1])) == ({"content": "[file] 0.txt"},)
