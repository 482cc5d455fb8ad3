"""Updates of a growing answer go out where they change what is seen, and not faster than their length allows."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.clock import ManualClock
from hermes_green.link.progress import QUICK, REMEMBERED, SLOWER, Progress


def head(text: str) -> str:
    return text[:5].upper()


def here(compute: Callable[..., Any], *values: Any) -> Any:
    return compute(*values)


def progress_of(render: Callable[[str], str] = head, most: int = 100_000, clock: ManualClock | None = None) -> Progress:
    return Progress(clock or ManualClock(), render, most, here)


def test_what_changes_nothing_is_not_shown_again() -> None:
    progress = progress_of()
    assert progress.next("a", "hel") == "HEL"
    assert progress.next("a", "hel") == "HEL", "it was not shown, as far as is known"
    progress.shown("a", "HEL")
    assert progress.next("a", "hel") == "" and progress.next("b", "hel") == "HEL"
    assert progress.next("a", "hello") == "HELLO"
    progress.shown("a", "HELLO")
    assert progress.next("a", "hello world") == "", "it exceeds what a draft can show"
    assert progress.next("c", " \n") == ""


def test_long_texts_are_rendered_more_seldom() -> None:
    clock, rendered = ManualClock(), []
    clock.advance(1000)

    def render(text: str) -> str:
        rendered.append(len(text))
        return text

    progress = progress_of(render, clock=clock)
    short, long = "x" * QUICK, "x" * (QUICK + 5000)
    progress.shown("a", "x")
    assert progress.next("a", short) == short
    assert progress.next("a", long) == "" and rendered == [QUICK]
    clock.advance(SLOWER * 5 + 0.01)
    assert progress.next("a", long) == long


def test_long_texts_are_rendered_beside_the_hub_and_short_ones_at_once() -> None:
    aside: list[int] = []

    def beside(compute: Callable[[str], str], text: str) -> str:
        aside.append(len(text))
        return compute(text)

    progress = Progress(ManualClock(), head, 100_000, beside)
    assert progress.next("a", "x" * QUICK) == "XXXXX" and aside == []
    clock = ManualClock()
    clock.advance(1000)
    progress = Progress(clock, head, 100_000, beside)
    assert progress.next("a", "x" * (QUICK + 1)) == "XXXXX" and aside == [QUICK + 1]


def test_of_a_text_that_no_draft_can_show_whole_the_rest_is_not_walked() -> None:
    clock, rendered = ManualClock(), []
    clock.advance(1000)

    def render(text: str) -> str:
        rendered.append(len(text))
        return text[:10]

    progress = progress_of(render, most=10, clock=clock)
    for number, length in enumerate((8, 5_000, 9_000, 100_000)):
        now = progress.next("a", "x" * length)
        if now:
            progress.shown("a", now)
        assert bool(now) is (number < 2)
    assert rendered == [8, 15, 15], "and what looks as it did is not walked again"


def test_the_oldest_drafts_are_forgotten() -> None:
    progress = progress_of()
    for number in range(REMEMBERED + 1):
        progress.shown(str(number), "X")
    assert progress.next("0", "x") == "X" and progress.next("1", "x") == ""
