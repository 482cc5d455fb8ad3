"""Bots that answer each other stop: after ten in a chat, until a person writes there or an hour is over."""

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.model import Inbound, Peer
from hermes_green.runtime import loops as module
from hermes_green.runtime.loops import MOST, SECONDS, Loops


@pytest.fixture
def clock():
    return ManualClock()


def said(chat="c", bot=True):
    return Inbound(keys=("k",), peer=Peer("one", chat, "group"), message_id="m", text="hi", bot=bot)


def fates(loops, count, chat="c"):
    """Of so many messages of bots: which were let pass, and that ``passes`` foretold it each time."""
    found = []
    for _ in range(count):
        foretold = loops.passes(said(chat))
        found.append(loops.admit(said(chat)))
        assert foretold == found[-1]
    return found


def test_ten_of_a_chat_pass_and_no_more_and_no_other_chat_is_concerned(clock):
    loops = Loops(clock)
    assert fates(loops, MOST + 2) == [True] * MOST + [False] * 2
    assert fates(loops, 1, "d") == [True]


def test_a_person_who_writes_there_begins_the_count_anew_and_is_never_counted(clock):
    loops = Loops(clock)
    fates(loops, MOST)
    assert loops.passes(said(bot=False)) and not loops.passes(said()), "asking counts nothing and forgets nothing"
    assert all(loops.admit(said(bot=False)) for _ in range(MOST + 5))
    assert fates(loops, MOST + 1) == [True] * MOST + [False]


def test_an_hour_after_the_first_of_them_the_count_begins_anew(clock):
    loops = Loops(clock)
    fates(loops, 1)
    clock.advance(SECONDS - 1)
    assert fates(loops, MOST) == [True] * (MOST - 1) + [False]
    clock.advance(1)
    assert fates(loops, MOST + 1) == [True] * MOST + [False]


def test_only_so_many_chats_are_counted_and_the_quiet_ones_are_forgotten_first(clock, monkeypatch):
    monkeypatch.setattr(module, "CHATS", 3)
    loops = Loops(clock)
    for chat in ("a", "b", "c"):
        fates(loops, MOST - 1, chat)
    fates(loops, 1, "a")
    fates(loops, 1, "d")
    assert len(loops._chats) == 3
    assert [loops.passes(said(chat)) for chat in ("a", "b", "c")] == [False, True, True]
    assert fates(loops, 2, "c") == [True, False], "c is counted still"
    assert fates(loops, 2, "b") == [True, True], "b, which was quiet longest, was forgotten"
