"""Messages fit after rendering, stand each by itself, and together say all there was."""

from __future__ import annotations

import random
import re

import pytest

from hermes_green.content import markdown, plain
from hermes_green.content.pack import LEAST, Wrap, fit, join, pack
from hermes_green.content.writer import MARKDOWN, Dialect, write
from hermes_green.core.model import Unit
from hermes_green.core.text import measure
from tests.support.dialects import ALL, HTML, STARS, faults_of, words_of


def packed(text, dialect, limit, unit=Unit.CHARS):
    return pack(write(markdown.blocks(text), dialect), limit, unit)


class Writer:
    """Random Markdown in which each word occurs once."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.count = 0

    def word(self):
        self.count += 1
        return f"w{self.count:05}" + self.rng.choice(["", "", "好", "<&>", "é", "😀", "好" * 9])

    def words(self, most=12):
        return " ".join(self.span() for _ in range(self.rng.randint(1, most)))

    def span(self):
        kind = self.rng.randrange(12)
        word = self.word()
        if kind == 0:
            return f"**{word} {self.word()}**"
        if kind == 1:
            return f"*{word}*"
        if kind == 2:
            return f"~~{word}~~"
        if kind == 3:
            return f"`{word}`"
        if kind == 4:
            return f"[{word} {self.word()}](http://x.test/{self.rng.randrange(9)})"
        if kind == 5:
            return f"**{word} *{self.word()} `{self.word()}`* {self.word()}**"
        return word + self.rng.choice(["", ".", ",", "。"])

    def block(self, depth=0):
        kind = self.rng.randrange(8 if depth < 3 else 3)
        if kind == 0:
            return "#" * self.rng.randint(1, 4) + " " + self.words(4)
        if kind == 1:
            return "```py\n" + "\n".join(self.word() for _ in range(self.rng.randint(1, 12))) + "\n```"
        if kind == 3:
            return self.inside("> ", "> ", depth)
        if kind == 4:
            return "\n".join(self.inside("- ", "  ", depth) for _ in range(self.rng.randint(1, 4)))
        if kind == 5:
            return "\n".join(self.inside(f"{n}. ", "   ", depth) for n in range(1, self.rng.randint(2, 4)))
        if kind == 6:
            columns = self.rng.randint(1, 3)
            row = lambda: "|" + "|".join(self.words(2) for _ in range(columns)) + "|"  # noqa: E731
            return "\n".join([row(), "|-" * columns + "|", *(row() for _ in range(self.rng.randint(0, 4)))])
        return "\n".join(self.words() for _ in range(self.rng.randint(1, 3)))

    def inside(self, first, further, depth):
        text = "\n\n".join(self.block(depth + 1) for _ in range(self.rng.randint(1, 2)))
        return first + text.replace("\n", "\n" + further)

    def document(self, blocks):
        return "\n\n".join(self.block() for _ in range(blocks))


def known(text):
    return set(re.findall(r"w\d{5}", text))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unit", list(Unit))
def test_random_documents_fit_are_balanced_and_lose_no_word(name, unit):
    for seed in range(3):
        writer = Writer(seed)
        text = writer.document(12)
        for limit in (LEAST, 700):
            messages = packed(text, ALL[name], limit, unit)
            assert all(0 < measure(message, unit) <= limit for message in messages)
            assert known("\n".join(messages)) == known(text)
            if name == "html":
                assert [fault for message in messages for fault in faults_of(message)] == []
                whole = words_of("\n".join(messages))
                assert all(whole.count(letter) >= text.count(letter) for letter in "好é😀&")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.thorough
def test_words_keep_their_order(name):
    writer = Writer(77)
    text = "\n\n".join(writer.words() for _ in range(40))
    found = re.findall(r"w\d{5}", "\n".join(packed(text, ALL[name], 300)))
    assert found == sorted(found)


def test_a_document_that_fits_is_one_message_and_nothing_is_none():
    assert packed("**a**\n\nb", HTML, 100) == ["<b>a</b>\n\nb"]
    assert packed("", HTML, 100) == packed(" \n ", HTML, 100) == []


def test_cut_is_at_a_block_then_a_line_then_a_sentence_then_a_word():
    half = "word " * 12
    assert packed(f"{half}\n\n{half}", HTML, 100) == [half.strip(), half.strip()]
    assert packed(f"{half}\n{half}", HTML, 100) == [half.strip(), half.strip()]
    assert packed(f"{half}end. {half}", HTML, 100) == [half + "end.", half.strip()]
    assert packed("word " * 30, HTML, 100) == [("word " * 20).strip(), ("word " * 10).strip()]
    assert packed("这是一句话。" * 30, HTML, 100) == ["这是一句话。" * 16, "这是一句话。" * 14]


def test_a_heading_stays_with_what_it_heads():
    first, second = packed(f"{'word ' * 15}\n\n# Title\n\n{'text ' * 12}", HTML, 100)
    assert first.endswith("word") and second.startswith("<b>Title</b>")


def test_marks_open_at_a_cut_are_closed_and_opened_again():
    first, second = packed("**" + "word " * 25 + "end**", HTML, 100)
    assert first.startswith("<b>word") and first.endswith("word</b>")
    assert second.startswith("<b>word") and second.endswith("end</b>")


def test_code_is_cut_at_lines_and_fenced_again():
    text = "```py\n" + "\n".join(f"    line{n}" for n in range(20)) + "\n```"
    messages = packed(text, MARKDOWN, 100)
    assert len(messages) > 2
    assert all(message.startswith("```py\n    line") and message.endswith("\n```") for message in messages)


def test_a_long_line_of_code_keeps_its_blanks():
    code = "a  b   c " * 40
    messages = packed(f"```\n{code}\n```", Dialect(), 120)
    assert "".join(message.removeprefix("```\n").removesuffix("\n```") for message in messages) == code


def test_a_quote_goes_on_as_a_quote_and_a_table_with_its_header():
    assert all(message.startswith("> ") for message in packed("> " + "word " * 60, STARS, 100))
    rows = "\n".join(f"|{n}|value {n}|" for n in range(20))
    messages = packed(f"|n|v|\n|-|-|\n{rows}", MARKDOWN, 120)
    assert len(messages) > 2 and all(message.startswith("| n | v |\n| --- | --- |\n|") for message in messages)


def test_an_address_too_long_for_a_mark_is_said_after_the_words():
    href = "http://x.test/" + "p" * 300
    messages = packed(f"see [the words]({href}) and more", HTML, 150)
    assert "".join(messages).replace(" ", "") == f"seethewords({href})andmore"


def test_no_character_is_torn():
    family = "👨‍👩‍👧‍👦"
    for unit, size in ((Unit.CHARS, 7), (Unit.UTF16, 11), (Unit.BYTES, 25)):
        for message in packed(family * 60, HTML, 110, unit):
            assert set(message.split(family)) == {""} and measure(message, unit) % size == 0


def test_what_takes_room_can_be_told_by_a_function():
    def size(text):
        return measure(words_of(text), Unit.UTF16)

    text = "**bold** & " * 40
    counted = packed(text, HTML, 100, size)
    assert len(counted) < len(packed(text, HTML, 100)) and all(size(message) <= 100 for message in counted)
    assert any(len(message) > 100 for message in counted)


def test_escapes_are_never_cut():
    for message in packed("<>&" * 400, HTML, 101):
        assert re.fullmatch("(&lt;|&gt;|&amp;)+", message)


def test_only_so_many_messages_and_the_last_says_how_much_is_missing():
    text = "\n\n".join(f"**start{n}** " + "word " * 20 for n in range(30))
    pieces = write(markdown.blocks(text), HTML)
    messages = fit(pieces, 3, 300, Unit.CHARS, lambda count: f"[{count} more]")
    assert len(messages) == 3 and all(len(message) <= 300 for message in messages)
    assert [fault for message in messages for fault in faults_of(message)] == []
    missing = int(re.search(r"\n\n\[(\d+) more\]$", messages[-1])[1])
    shown = words_of("".join(messages)).rpartition("\n\n")[0]
    assert abs(len(words_of(join(pieces))) - len(shown) - missing) < 10
    assert fit(pieces, 99, 300, Unit.CHARS, str) == pack(pieces, 300)
    assert fit(pieces, 1, 100, Unit.CHARS, lambda count: "x" * 90) == ["x" * 90]


def test_a_limit_that_holds_no_marks_is_refused():
    with pytest.raises(ValueError):
        packed("word " * 99, HTML, LEAST - 1)


def test_marks_larger_than_a_message_are_left_out():
    huge = Dialect(bold=Wrap("<" * 90, ">" * 90), quote_lead="> " * 60)
    messages = packed("> **a b** c\n> d", huge, 100)
    assert " ".join(messages).split() == ["a", "b", "c", "d"]


def test_plain_text_is_cut_where_it_has_lines():
    lines = "\n".join(f"line {n} of plain words" for n in range(30))
    messages = pack(plain.pieces(lines), 120)
    assert "\n".join(messages) == lines and all(len(message) <= 120 for message in messages)
