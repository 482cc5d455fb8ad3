"""Splitting keeps every limit, loses nothing, and leaves code readable."""

from __future__ import annotations

import random
import re
import time
import unicodedata
from typing import Any

import pytest

from hermes_green.core.model import Unit
from hermes_green.core.text import beginning, measure, reworded, split

ALPHABETS = [
    "abc defg. hi! jkl\n\n",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声！\n",
    "e\u0301a\u0308o ",
    "👩‍👩‍👧‍👦🇫🇷🇩🇪👍🏽x ",
    "ab`~\n \t```python\n",
    "line\r\n",
]


def is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def without_marks(text: str) -> str:
    """What must survive a splitting: everything but white space and fence lines."""
    lines = [line for line in text.split("\n") if not re.match(r"[ \t]*(```|~~~)", line)]
    return re.sub(r"\s", "", "".join(lines))


def test_a_text_within_the_limit_stays_as_it_is() -> None:
    assert split("  as it is \n", 20) == ["  as it is \n"]
    assert split("", 20) == [""]


def seeds(most: int) -> list[Any]:
    """The first four at every run, the others where many cases are asked for."""
    return [*range(4), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(4, most))]


@pytest.mark.parametrize("unit, length", [(Unit.CHARS, 2), (Unit.UTF16, 3), (Unit.BYTES, 5)])
def test_length_is_counted_in_the_platforms_unit(unit: Unit, length: int) -> None:
    assert measure("a👍", unit) == length


def test_a_limit_into_which_a_character_may_not_fit_is_refused() -> None:
    with pytest.raises(ValueError):
        split("abcdef", 3)


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("seed", seeds(40))
def test_every_piece_keeps_the_limit_and_nothing_is_lost(unit: Unit, seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(draw.choice(ALPHABETS)) for _ in range(draw.randint(1, 1500)))
    if "```" not in text and "~~~" not in text:
        text += "\n```sh\n" + "echo hello\n" * draw.randint(1, 60) + "```\nend"
    limit = draw.randint(40, 300)
    pieces = split(text, limit, unit)
    assert all(piece.strip() and measure(piece, unit) <= limit for piece in pieces)
    assert without_marks("\n".join(pieces)) == without_marks(text) or "`" in without_marks(text)
    letters = [c for c in text if c not in "`~" and not c.isspace()]
    kept = [c for c in "".join(pieces) if c not in "`~" and not c.isspace()]
    assert len(kept) >= len(letters)


@pytest.mark.parametrize("seed", seeds(30))
@pytest.mark.parametrize("unit", list(Unit))
def test_plain_text_without_white_space_comes_back_whole(seed: int, unit: Unit) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(["a", "é", "中", "👩‍👩‍👧‍👦", "🇫🇷", "👍🏽", "e\u0301", "각"]) for _ in range(800))
    pieces = split(text, draw.randint(30, 90), unit)
    assert "".join(pieces) == text
    for left, right in zip(pieces, pieces[1:]):
        assert not unicodedata.combining(right[0]), "a mark was torn from its letter"
        assert right[0] != "\u200d" and left[-1] != "\u200d", "a joined picture was torn apart"
        assert not "\U0001f3fb" <= right[0] <= "\U0001f3ff", "a skin tone was torn off"
        flags = len(left) - len(left.rstrip("".join(filter(is_flag, set(left)))))
        assert not (is_flag(left[-1]) and flags % 2), "a flag was torn in two"


def test_a_character_longer_than_the_limit_is_cut_between_code_points() -> None:
    text = "a" + "\u0301" * 50
    pieces = split(text, 10, Unit.BYTES)
    assert "".join(pieces) == text
    assert all(measure(piece, Unit.BYTES) <= 10 for piece in pieces)


def test_lone_surrogates_do_no_harm() -> None:
    for unit in Unit:
        assert "".join(split("x\ud800y\udc00" * 30, 20, unit)) == "x\ud800y\udc00" * 30


def test_a_paragraph_is_preferred_to_a_line_to_a_sentence_to_a_word() -> None:
    assert split("One two.\nThree.\n\nFour five. Six seven", 24) == ["One two.\nThree.", "Four five. Six seven"]
    assert split("One two three.\nFour. Five six seven", 24) == ["One two three.", "Four. Five six seven"]
    assert split("One two three. Four five six", 20) == ["One two three.", "Four five six"]
    assert split("one two three four five", 12) == ["one two", "three four", "five"]
    assert split("春眠不觉晓。处处闻啼鸟", 8) == ["春眠不觉晓。", "处处闻啼鸟"]


def test_a_fence_cut_in_two_is_closed_and_opened_again_with_its_info_string() -> None:
    code = "\n".join(f"line_{n} = {n}" for n in range(30))
    pieces = split(f"Look:\n\n```python title=x\n{code}\n```\n\nDone.", 150)
    assert len(pieces) > 2
    for piece in pieces:
        fences = [line for line in piece.split("\n") if line.startswith("```")]
        assert len(fences) % 2 == 0, piece
        assert fences[0::2] == ["```python title=x"] * (len(fences) // 2)
        assert "```python title=x\n```" not in piece, "an empty block"
    assert pieces[-1].endswith("Done.")
    body = "\n".join(line for piece in pieces for line in piece.split("\n") if line.startswith("line_"))
    assert body == code


def test_code_within_a_line_opens_no_fence_whatever_it_is_marked_with() -> None:
    text = "```x``` is code within a line\n" + "word " * 30
    pieces = split(text, 60)
    assert len(pieces) > 2 and "".join(pieces).count("```") == 2


def test_indentation_survives_a_cut_inside_a_fence() -> None:
    code = "\n".join("    " * (n % 4) + f"step({n})" for n in range(40))
    pieces = split(f"```py\n{code}\n```", 120)
    lines = [line for piece in pieces for line in piece.split("\n") if not line.startswith("```")]
    assert "\n".join(lines) == code


def test_a_fence_that_fits_into_a_piece_is_not_cut() -> None:
    block = "```sh\n" + "\n".join(["make all"] * 8) + "\n```"
    pieces = split("word " * 12 + "\n\n" + block + "\n\n" + "word " * 12, 100)
    assert block in pieces or any(block in piece for piece in pieces)


def test_an_empty_line_in_a_whole_fence_is_no_place_to_cut() -> None:
    text = "```\na = 1\n\nb = 2\n\nc = 3\n```\n" + "word" * 40
    pieces = split(text, 60)
    assert pieces[0] == "```\na = 1\n\nb = 2\n\nc = 3\n```"


def test_a_tilde_fence_and_a_longer_fence_are_closed_by_their_own_kind() -> None:
    text = "````md\n```\ninner\n```\n" + "text\n" * 40 + "````"
    for piece in split(text, 80):
        assert piece.startswith("````md\n") and piece.endswith("\n````")
    for piece in split("~~~\n" + "text\n" * 40 + "~~~", 60):
        assert piece.startswith("~~~\n") and piece.endswith("\n~~~")


def test_a_fence_that_is_never_closed_is_closed_where_it_is_cut() -> None:
    pieces = split("```\n" + "text text\n" * 30, 80)
    assert all(piece.startswith("```\n") for piece in pieces)
    assert all(piece.endswith("\n```") for piece in pieces[:-1])


def test_a_line_of_code_longer_than_the_limit_is_cut_inside_its_fence() -> None:
    pieces = split("```js\n" + "x" * 500 + "\n```", 100)
    assert all(measure(piece, Unit.CHARS) <= 100 for piece in pieces)
    assert "".join(pieces).count("x") == 500
    assert all(piece.startswith("```js\n") and piece.endswith("\n```") for piece in pieces)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "word " * 200_000,
        "x" * 1_000_000,
        "春" * 330_000,
        "a\u0301" * 330_000,
        "🇫🇷" * 120_000,
        "```\n" + "line\n" * 200_000,
        "```\nx\n```\n" * 90_000,
        "`" * 1_000_000,
        "\n" * 1_000_000,
        " " * 1_000_000,
    ],
    ids=["words", "one word", "chinese", "marks", "flags", "one fence", "fences", "ticks", "lines", "blanks"],
)
def test_a_megabyte_is_cut_in_linear_time(text: str) -> None:
    def spent(of: str) -> float:
        started = time.process_time()
        split(of, 2000, Unit.BYTES)
        return time.process_time() - started

    eighth, whole = spent(text[: len(text) // 8]), spent(text)
    assert whole < max(24 * eighth, 1.0)


def test_the_beginning_of_a_text_holds_all_that_was_shown_of_it() -> None:
    paragraph = "All work and no play makes a dull text. " * 20
    for whole in ("\n\n".join([paragraph] * 12), "y" * 20_000, "z\n" * 4000, "a b " * 3000):
        head, tail = beginning(whole, 3000, 4000)
        assert head == whole[: len(head)] and 3000 <= len(head) <= 4000
        assert (head + tail).replace("\n", "").replace(" ", "") == whole.replace("\n", "").replace(" ", "")
    assert beginning("short", 3000, 4000) == ("short", "")
    assert beginning("x" * 3000 + "\n\ny z\nw" + "v" * 2000, 3000, 4000)[0] == "x" * 3000


def test_code_in_which_the_beginning_ends_is_closed_and_opened_again() -> None:
    text = "word " * 500 + "\n\n```py\n" + "x = 1\n" * 400 + "```\nend"
    head, tail = beginning(text, 3000, 4000)
    assert 3000 <= len(head) <= 4000
    assert head.count("```") == 2 and tail.startswith("```py\nx = 1") and tail.endswith("```\nend")
    assert head.count("x = 1") + tail.count("x = 1") == 400
    whole = "```\nx = 1\n```\n" + "word " * 2000
    assert beginning(whole, 3000, 4000)[0].count("```") == 2


def test_marks_become_words_and_one_that_becomes_none_takes_its_blank_with_it() -> None:
    marks, names = re.compile(r"<(\w+)>( ?)"), {"ann": "@Ann", "us": ""}
    text = "<us> hi <ann>  and <us>, <us> <ann>"
    assert reworded(text, marks, lambda mark: names[mark[1]]) == "hi @Ann  and , @Ann"
