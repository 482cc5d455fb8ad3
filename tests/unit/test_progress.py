"""Updates of a growing answer go out where they change what is seen, and not faster than their length allows."""

from __future__ import annotations

from hermes_green.core.clock import ManualClock
from hermes_green.link.progress import QUICK, REMEMBERED, SLOWER, Progress


def head(text: str) -> str:
    return text[:5].upper()


def test_what_changes_nothing_is_not_shown_again() -> None:
    progress = Progress(ManualClock())
    assert progress.next("a", "hel", head) == "HEL"
    assert progress.next("a", "hel", head) == "HEL", "it was not shown, as far as is known"
    progress.shown("a", "HEL")
    assert progress.next("a", "hel", head) == "" and progress.next("b", "hel", head) == "HEL"
    assert progress.next("a", "hello", head) == "HELLO"
    progress.shown("a", "HELLO")
    assert progress.next("a", "hello world", head) == "", "it exceeds what a draft can show"
    assert progress.next("c", " \n", head) == ""


def test_long_texts_are_rendered_more_seldom() -> None:
    clock = ManualClock()
    clock.advance(1000)
    progress, rendered = Progress(clock), []

    def render(text: str) -> str:
        rendered.append(len(text))
        return text

    short, long = "x" * QUICK, "x" * (QUICK + 5000)
    progress.shown("a", "x")
    assert progress.next("a", short, render) == short
    assert progress.next("a", long, render) == "" and rendered == [QUICK]
    clock.advance(SLOWER * 5 + 0.01)
    assert progress.next("a", long, render) == long


def test_the_oldest_drafts_are_forgotten() -> None:
    progress = Progress(ManualClock())
    for number in range(REMEMBERED + 1):
        progress.shown(str(number), "X")
    assert progress.next("0", "x", head) == "X" and progress.next("1", "x", head) == ""
