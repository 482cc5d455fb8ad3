"""Markdown is walked once: right for what agents write, bounded for what nobody should."""

from __future__ import annotations

import random
import time

import pytest

from hermes_green.content import markdown, plain
from hermes_green.content.blocks import (
    Bold,
    Break,
    Code,
    CodeSpan,
    Heading,
    Image,
    Italic,
    Link,
    List,
    Paragraph,
    Quote,
    Rule,
    Strike,
    Table,
    Text,
    words_of,
)
from hermes_green.content.markdown import LONGEST, blocks, is_plain, unmarked


def spans(text):
    (found,) = blocks(text)
    assert isinstance(found, Paragraph)
    return found.spans


def item(text):
    return (Paragraph((Text(text),)),)


def test_each_kind_of_block_is_known():
    text = "# One\n\ntext\n\n```py run\nx = 1\n\n  y\n```\n\n> said\n\n- a\n- b\n\n7. c\n8. d\n\n---\n\n"
    text += "|h|i|\n|:-|-:|\n|1|2|"
    assert blocks(text) == (
        Heading(1, (Text("One"),)),
        Paragraph((Text("text"),)),
        Code("py run", "x = 1\n\n  y"),
        Quote(item("said")),
        List(False, 1, (item("a"), item("b"))),
        List(True, 7, (item("c"), item("d"))),
        Rule(),
        Table(((Text("h"),), (Text("i"),)), (((Text("1"),), (Text("2"),)),), ("left", "right")),
    )


def test_each_kind_of_span_is_known():
    assert spans("**a** _b_ ~~c~~ `d` [e](http://f) ![g](http://h)  \n<http://i>") == (
        Bold((Text("a"),)),
        Text(" "),
        Italic((Text("b"),)),
        Text(" "),
        Strike((Text("c"),)),
        Text(" "),
        CodeSpan("d"),
        Text(" "),
        Link((Text("e"),), "http://f"),
        Text(" "),
        Image("g", "http://h"),
        Break(),
        Link((Text("http://i"),), "http://i"),
    )


def test_a_language_is_the_first_word_after_the_fence():
    assert Code("py run", "").language == "py" and Code("", "").language == ""
    assert blocks("``` " + "no language " * 9 + "\nx")[0] == Code("", ("no language " * 9).strip() + "\nx")


def test_lists_nest_and_know_whether_they_are_loose():
    (found,) = blocks("- a\n  1. b\n\n     c\n- d")
    assert found == List(
        False,
        1,
        ((Paragraph((Text("a"),)), List(True, 1, ((*item("b"), *item("c")),), tight=False)), item("d")),
        tight=True,
    )


def test_a_line_end_is_a_line_end_and_so_is_br():
    assert spans("a\nb<br>c<BR />d") == (Text("a"), Break(), Text("b"), Break(), Text("c"), Break(), Text("d"))


def test_html_is_text():
    assert spans("<b>x</b> &amp; <div>") == (Text("<b>x</b> & <div>"),)
    assert blocks("<div>\nx\n</div>")[0].spans[0] == Text("<div>")


def test_what_is_indented_is_no_code_and_what_is_underlined_no_heading():
    assert blocks("    x\n\ny\n---") == (*item("x"), *item("y"), Rule())


def test_link_definitions_and_footnotes_stay_where_they_are():
    assert spans("see [1]\n[1]: http://x.test") == (Text("see [1]"), Break(), Text("[1]: http://x.test"))


def test_a_title_belongs_to_the_words():
    assert spans('[a](http://b "t")') == (Link((Text("a"), Text(" (t)")), "http://b"),)
    assert spans('![a](http://b "t")') == (Image("a (t)", "http://b"),)


def test_an_address_keeps_its_letters_but_cannot_end_the_markup_around_it():
    assert spans("[a](http://x.test/你好?q=1&r=2)")[0].href == "http://x.test/你好?q=1&r=2"
    assert spans('[a](<http://x.test/a b">)')[0].href == "http://x.test/a%20b%22"


@pytest.mark.parametrize("text", ["[a](javascript:x)", "[a](vbscript:x)", "[a](file:///etc/passwd)"])
def test_an_address_that_runs_code_is_only_words(text):
    assert spans(text) == (Text(text),)


@pytest.mark.parametrize("text", ["注意**重点：**请看", "他说**“好”**了", "是**「书」**吗", "看**(这)**吧", "これは**「本」**です", "말**'하'**다"])
def test_bold_works_between_letters_that_need_no_blanks(text):
    assert any(isinstance(span, Bold) for span in spans(text))


@pytest.mark.parametrize("text", ["2 * 3 * 4", "snake_case_name", "a * b", "** x **", "你_好_吗"])
def test_stars_that_mark_nothing_stay(text):
    assert spans(text) == (Text(text),)


@pytest.mark.parametrize(
    "text",
    [
        "see https://h.test/pkg/__init__.py, http://h.test/_next_/a and https://h.test/a*b*c!",
        "https://h.test/_a_",
        "articles/<int:year>/ or <std:map> or <a:b:c>",
    ],
)
def test_what_stands_in_an_address_or_in_angles_is_no_mark(text):
    assert unmarked(text, blocks(text))


@pytest.mark.parametrize(
    "text", ["**{}**", "a **{}**。b", "(**{}**)", "**x: {}**, y", "{} **b**", "({})**b**", "[{}](http://l.test)**b**"]
)
def test_marks_around_an_address_are_marks(text):
    found = spans(text.format("https://h.test/a_b"))
    assert [type(span) for span in found if not isinstance(span, (Text, Link))] == [Bold]
    assert "https://h.test/a_b" in words_of(found) and "*" not in words_of(found)


def test_an_address_in_angles_is_a_link():
    link = Link((Text("https://h.test/_a_"),), "https://h.test/_a_")
    assert spans("<https://h.test/_a_> <a_b@h.test>") == (
        link, Text(" "), Link((Text("a_b@h.test"),), "mailto:a_b@h.test")
    )


def test_links_do_not_nest_and_a_badge_is_an_image_in_a_link():
    assert spans("[a [b](http://x) c](http://y)") == (
        Text("[a "),
        Link((Text("b"),), "http://x"),
        Text(" c](http://y)"),
    )
    assert spans("[![b](http://i)](http://l)") == (Link((Image("b", "http://i"),), "http://l"),)
    assert spans("[a [b] c](http://y)") == (Link((Text("a [b] c"),), "http://y"),)
    assert spans("`[`a](http://y)")[0] == CodeSpan("[")
    assert spans("[a <http://x>](http://y)") == (Link((Text("a http://x"),), "http://y"),)


def test_a_table_keeps_cells_beyond_its_header_and_bars_within_code():
    (found,) = blocks("> |a|b|\n> |-|-|\n> |1|2|3|\n> |`x|y`|z|\n> |q\\|r|`s|\n> |only|")
    (table,) = found.blocks
    assert table.rows == (
        ((Text("1"),), (Text("2 | 3"),)),
        ((CodeSpan("x|y"),), (Text("z"),)),
        ((Text("q|r"),), (Text("`s"),)),
        ((Text("only"),), ()),
    )


def test_a_text_without_marks_says_so():
    for text in ("words", "a\n\n  b  c\n", "2 * 3", "", "你好。"):
        assert unmarked(text, blocks(text))
    for text in ("**a**", "- a", "`a`", "a \\* b", "&lt;", "# a", "a\n---"):
        assert not unmarked(text, blocks(text))
    assert is_plain(blocks("a \\* b"))


def test_half_a_character_and_nul_can_be_walked():
    assert spans("a\ud83d b\0c") == (Text("a? b\ufffdc"),)


def depth_of(value):
    inner = getattr(value, "blocks", None) or getattr(value, "items", None) or getattr(value, "spans", None) or ()
    inner = value if isinstance(value, tuple) else inner
    return 1 + max(map(depth_of, inner), default=0)


@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", "> - ", "*a ", "**a ", "~~a ", "[a ", "![a ", "_a "])
@pytest.mark.thorough
def test_nesting_is_bounded_and_no_word_is_lost(mark):
    closing = {"[a ": "](http://x)", "![a ": "](http://x)", "*a ": "*", "**a ": "**", "~~a ": "~~", "_a ": "_"}
    found = blocks(mark * 300 + "word" + closing.get(mark, "") * 300)
    assert depth_of(found) < 80
    said = plain.join(plain.write(found, plain.PLAIN))
    assert "word" in said and said.count("a") == 300 * mark.count("a")


SOUP = "* ** _ ~~ ` `` ``` [ ]( ](http://x) ![ ) ] < <br> &lt; | |-|-| > - 1. # --- \\ |a|b| 好 ： \ud83d \0 w".split(" ")


@pytest.mark.thorough
def test_no_soup_of_marks_is_sent_back_as_it_came(monkeypatch):
    def refused(text):
        raise AssertionError(text)

    monkeypatch.setattr(markdown, "as_text", refused)
    rng = random.Random(5)
    for _ in range(300):
        blocks("".join(rng.choice([*SOUP, *SOUP, "\n", "\n\n", "  "]) for _ in range(rng.randrange(80))))


HOSTILE = {
    "quotes": ">" * 10**6,
    "spaced quotes": "> " * 500_000,
    "brackets": "[" * 10**6,
    "open links": "[a](" * 250_000,
    "nested links": "[a" * 60_000 + "](x)" * 60_000,
    "nested images": "![a" * 60_000 + "](x)" * 60_000,
    "images": "![a](x)" * 150_000,
    "stars": "*a " * 330_000,
    "bold in struck": "**a *b ~~c " * 90_000,
    "ticks": "".join("`" * n + " " for n in range(1, 1400)),
    "stairs": "".join(" " * n + "- a\n" for n in range(1400)),
    "deep lines": ("> " * 20 + "\n") * 25_000,
    "items": "- a\n" * 250_000,
    "bars": "|a" * 200_000 + "\n" + "|-" * 200_000 + "\n" + "|b" * 100_000,
    "rows": "|a|b|\n|-|-|\n" + "|`x|y`|\n" * 100_000,
    "cells": "|a|b|\n|-|-|\n|" + "`" * 100_000 + "|\\" + "x|" * 30_000,
    "tags": "<br" * 300_000,
    "blanks": "a" + " " * (LONGEST - 20) + "x",
    "entities": "&" * 10**6,
}


def test_many_blanks_are_walked_once():
    started = time.process_time()
    assert spans("a" + " " * 60_000 + "b <br>  <br/> c")[1:] == (Break(), Break(), Text("c"))
    assert time.process_time() - started < 3  # from each of them it would take 6 s and more


@pytest.mark.thorough
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_walked_in_little_time_or_not_at_all(name):
    for size in (10**6, LONGEST // 32):
        started = time.process_time()
        found = blocks(HOSTILE[name][:size])
        # A generous bound: what is quadratic takes minutes.
        assert time.process_time() - started < 5
        assert found
