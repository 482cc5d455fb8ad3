"""What Telegram is sent for an agent's Markdown."""

from __future__ import annotations

import random
import time

import pytest

from hermes_green.adapters.telegram.render import LIMIT, UNIT, plain_of, render
from hermes_green.core.model import Attachment, Peer, Reply
from hermes_green.core.text import measure
from hermes_green.sim.telegram_text import parse as parsed, units, weight

PEER = Peer("telegram", "1", "dm")

GOLDEN = [
    ("just words & <signs>", "just words & <signs>", None),
    ("**bold** *italic* ~~gone~~", "bold italic gone", "<b>bold</b> <i>italic</i> <s>gone</s>"),
    ("`a<b` & c", "a<b & c", "<code>a&lt;b</code> &amp; c"),
    ("# Title\n\ntext", "Title\n\ntext", "<b>Title</b>\n\ntext"),
    ("[words](https://x.y/?a=1&b=2)", "words", '<a href="https://x.y/?a=1&amp;b=2">words</a>'),
    ("[file](/etc/passwd) **x**", "file (/etc/passwd) x", "file (/etc/passwd) <b>x</b>"),
    ("[board](http://localhost:8787/a?b&c) **x**", "board (http://localhost:8787/a?b&c) x", None),
    ("[us](http://me.too@wiki/) http://pi/", "us (http://me.too@wiki/) http://pi/", None),
    ("[v6](http://[::1]:80/)", "v6", '<a href="http://[::1]:80/">v6</a>'),
    ("[me](mailto:a@b.org) <c@d.org> [t](tel:+1)", "me (a@b.org) c@d.org t (+1)", None),
    ("> a\n> b", "a\nb", "<blockquote>a\nb</blockquote>"),
    ("- a\n- b\n  - c", "• a\n• b\n   ◦ c", "• a\n• b\n   ◦ c"),
    ("```py\nif a < b:\n    pass\n```", "if a < b:\n    pass", None),
    ("| a | b |\n|---|---|\n| 1 | 2 |", None, None),
]


def one(markdown: str) -> dict[str, str]:
    (payload,) = render(Reply(markdown, PEER))
    return dict(payload)


@pytest.mark.parametrize("markdown, text, html", GOLDEN)
def test_markdown_becomes_html_and_its_plain_text(markdown: str, text: str | None, html: str | None) -> None:
    payload = one(markdown)
    assert text is None or payload["text"] == text
    assert html is None or payload.get("html", payload["text"]) == html


def test_code_keeps_its_language_and_tables_stand_in_columns() -> None:
    assert one("```py x\nif a < b:\n```")["html"] == '<pre><code class="language-py">if a &lt; b:</code></pre>'
    lines = one("| a | b |\n|---|---|\n| 1 | 2 |\n")["text"].split("\n")
    assert len(lines) == 3 and one("| a | b |\n|---|---|\n| 1 | 2 |\n")["html"].startswith("<pre>")


def test_text_without_marks_is_sent_as_it_is() -> None:
    assert one("1 * 2 < 3\n\n\nand  more") == {"text": "1 * 2 < 3\n\n\nand  more"}


@pytest.mark.thorough
def test_messages_hold_4096_units_after_parsing_and_what_the_platform_reads_is_what_was_meant() -> None:
    draw = random.Random(4)
    link = "[link](https://example.org/a?b=c&d=e)"
    words = ["word", "**bold**", "`code <x>`", "😀😀", link, "中文", "\n\n", "- item\n", "\n> q\n"]
    for _ in range(6):
        text = " ".join(draw.choice(words) for _ in range(2500))
        for payload in render(Reply(text, PEER)):
            shown, entities = parsed(payload["html"], "HTML")
            assert 0 < units(shown) <= LIMIT
            assert shown == payload["text"].strip()
            ends = [entity["offset"] + entity["length"] for entity in entities]
            assert max(ends, default=0) <= units(payload["text"])


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"- [source {n}](https://example.org/{'x' * 300}{n})" for n in range(90)),
        " ".join(f"**w{n}** x" for n in range(400)),
        "\n".join(f"[{n}](https://example.org/{n}) **{n}**" for n in range(120)),
        "[long](https://example.org/" + "y" * 3000 + ")",
    ],
)
def test_a_message_has_no_more_entities_than_the_platform_keeps(text: str) -> None:
    """tdlib/telegram-bot-api issue 165: some 9,500 bytes of entities in all; beyond 100 they are left out."""
    links = 0
    for payload in render(Reply(text, PEER)):
        shown, entities = parsed(payload.get("html", payload["text"]), "HTML")
        assert 0 < units(shown) <= LIMIT and len(entities) < 100
        assert weight(entities) < 9_000
        links += sum(entity["type"] == "text_link" for entity in entities) + shown.count("(https://")
    assert links == text.count("](")


def test_many_marks_do_not_cut_what_fits() -> None:
    text = " ".join(f"**word {n}** and some more words around it" for n in range(90))
    assert len(render(Reply(text, PEER))) == 1
    assert len(render(Reply("\n\n".join([text] * 2), PEER))) == 2


def test_a_long_fence_is_closed_and_opened_again() -> None:
    code = "\n".join(f"line {n} = '<{n}>'" for n in range(600))
    payloads = render(Reply(f"```py\n{code}\n```", PEER))
    assert len(payloads) > 1
    assert all(p["html"].startswith("<pre><code") and p["html"].endswith("</code></pre>") for p in payloads)
    assert "\n".join(p["text"] for p in payloads) == code
    assert all(measure(p["text"], UNIT) <= LIMIT for p in payloads)


def test_half_a_character_is_mended_and_an_empty_answer_is_something() -> None:
    assert one("a\ud83d b")["text"] == "a? b"
    assert one("   ") == {"text": "…"} and one("```\n```") == {"text": "…"}


def test_media_follow_the_text_and_what_lies_nowhere_is_named() -> None:
    photo = Attachment("image", name="p.png", mime="image/png", path="/tmp/p.png")
    lost = Attachment("file", name="gone.pdf")
    text, media = render(Reply("see", PEER, media=(photo, lost)))
    assert text["text"] == "see\n\n[file] gone.pdf"
    assert media == {"media": {"kind": "image", "path": "/tmp/p.png", "name": "p.png", "mime": "image/png"}}


def test_plain_of_shows_what_html_shows() -> None:
    assert plain_of('<a href="x&quot;">a &lt;b&gt;</a> &amp;amp;') == "a <b> &amp;"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["a." * 60_000 + "@pi", "@." * 60_000 + "@pi", "@" * 120_000, "." * 60_000 + "@" * 60_000]
)
def test_an_address_of_the_wildest_kind_is_judged_in_little_time(name: str) -> None:
    started = time.process_time()
    said = "".join(payload["text"] for payload in render(Reply(f"[a](http://{name})", PEER)))
    assert "a" in said and name[-200:] in said.replace("\n", "")
    assert time.process_time() - started < 5  # from each dot anew it would take minutes
