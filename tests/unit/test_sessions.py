"""When conversations begin anew by themselves, and how much of them an agent is given."""

import time
from datetime import datetime

import pytest

from hermes_green.core.model import Message, Peer
from hermes_green.core.tokens import approximate, within
from hermes_green.runtime.sessions import NEVER, Reset, Rules


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_idle_counts_back_from_now():
    assert Reset("idle", idle_minutes=30).before(at("2026-03-01 12:00")) == at("2026-03-01 11:30")


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ("2026-03-01 03:59", "2026-02-28 04:00"),
        ("2026-03-01 04:00", "2026-03-01 04:00"),
        ("2026-03-01 23:00", "2026-03-01 04:00"),
        ("2026-01-01 00:00", "2025-12-31 04:00"),
    ],
)
def test_daily_is_the_last_time_that_the_clock_on_the_wall_showed_that_time(now, before):
    assert Reset("daily", daily_at="4:00").before(at(now)) == at(before)


def test_daily_is_local_where_clocks_are_put_forward(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert Reset("daily").before(at("2026-03-29 12:00")) == at("2026-03-29 04:00")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_kinds_and_chats_each_have_their_own_rule():
    rules = Rules(dm=Reset(), group=Reset("idle", 10), chats={"x": Reset("idle", 1), "y": Reset()})
    now = 1_000_000.0
    resets = rules.resets(now)
    found = {
        (kind, chat): resets.before(Peer("c", chat, kind)) for kind in ("dm", "group", "channel") for chat in "axy"
    }
    assert {found["dm", "a"], found["dm", "y"], found["group", "y"]} == {NEVER}
    assert found["group", "a"] == found["channel", "a"] == now - 600
    assert found["dm", "x"] == found["group", "x"] == now - 60


def test_where_nothing_resets_the_store_is_not_asked_to():
    assert Rules(chats={"x": Reset()}).resets(0) is None


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("abcd" * 10, 10), ("你好", 2), ("hi 你好", 3)])
def test_tokens_are_counted_roughly(text, tokens):
    assert approximate(text) == tokens


def exchange(number: int, size: int) -> list[Message]:
    return [Message("user", f"{number}".ljust(size)), Message("assistant", f"a{number}".ljust(size))]


def test_history_is_cut_at_whole_exchanges_the_newest_kept():
    history = [line for number in range(5) for line in exchange(number, 40)]
    assert within(history, 0) == history
    assert list(within(history, 45)) == history[-4:], "twenty tokens an exchange"
    assert list(within(history, 15)) == [] and list(within(history, 1000)) == history
