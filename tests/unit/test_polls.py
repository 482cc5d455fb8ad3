"""A link of questions: what is carried over from them, and how it ends."""

from __future__ import annotations

from typing import Any, Callable

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.errors import LinkLost
from hermes_green.link.polls import Polls
from tests.support.port import FakeContext, FakePort


class Talk(Polls):
    """Says what it is told to say."""

    def __init__(self, *steps: Callable[[Talk], Any], ctx: FakeContext | None = None) -> None:
        self.context = ctx or FakeContext()
        self.port = FakePort(self.context)
        super().__init__(self.port, self.context, "offset")
        self.steps = steps
        self.told: list[Any] = []

    def _converse(self) -> None:
        for step in self.steps:
            self.told.append(step(self))
        raise LinkLost("nothing left to say")


def lived(talk: Talk) -> gevent.Greenlet:
    """The link in a greenlet, as far as it comes by itself."""
    life = gevent.spawn(talk.live)
    gevent.idle()
    return life


def test_answers_and_errors_are_those_of_the_call() -> None:
    def refused() -> None:
        raise LinkLost("refused", code="no")

    talk = Talk(lambda talk: talk._ask(lambda a, b: a + b, 1, 2), lambda talk: talk._ask(refused))
    with pytest.raises(LinkLost, match="refused"):
        talk.live()
    assert talk.told == [3]


@pytest.mark.parametrize(
    "waits", [lambda talk: talk._ask(Event().wait), lambda talk: talk._pause(99), lambda talk: talk._settle(99)]
)
def test_leaving_ends_whatever_waits_and_nothing_more_is_asked(waits: Callable[[Talk], Any]) -> None:
    def handed_in(talk: Talk) -> None:
        talk.port.hold()
        talk._cursor.take(None, 5)

    talk = Talk(handed_in, waits, lambda talk: pytest.fail("it went on"))
    life = lived(talk)
    assert not life.dead
    talk.leave()
    life.get(timeout=60)
    assert len(talk.told) == 1


def test_who_left_before_the_first_question_asks_none() -> None:
    talk = Talk(lambda talk: talk._ask(pytest.fail, "it asked"))
    talk.leave()
    talk.live()
    assert talk.told == []


def test_the_position_is_kept_with_what_came_and_read_by_the_next_link() -> None:
    talk = Talk(lambda talk: talk._cursor.take(None, 8), lambda talk: talk._settle(5))
    with pytest.raises(LinkLost, match="nothing left"):
        talk.live()
    assert talk.port.memo_writes == [{"offset": 8}] and Talk(ctx=talk.context)._cursor.received == 8
    talk.context.memos["offset"] = "odd"
    assert Talk(ctx=talk.context)._cursor.received == 0


def test_what_is_not_committed_in_time_ends_the_link() -> None:
    talk = Talk(lambda talk: talk.port.hold(), lambda talk: talk._cursor.take(None, 8), lambda talk: talk._settle(0))
    with pytest.raises(LinkLost) as caught:
        talk.live()
    assert caught.value.code == "store_away" and len(talk.told) == 2
