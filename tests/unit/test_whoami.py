"""Who the bot is: a dial waits for it a little, and is not asked again when it is known."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import AuthRejected, LinkLost, Throttled
from hermes_green.link import whoami
from hermes_green.link.whoami import ASK_AGAIN, Whoami
from tests.support.port import FakeContext


class Platform:
    """Says who the bot is; ``gate`` holds its answers back, ``error`` is raised instead."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.gate = Event()
        self.gate.set()

    def __call__(self) -> str:
        self.asked += 1
        self.gate.wait()
        if self.error is not None:
            raise self.error
        return "bot"


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def who(platform: Platform, clock: ManualClock, **more: Any) -> Whoami[str]:
    return Whoami(platform, "", FakeContext("x"), clock, **more)


def test_who_is_known_is_not_asked_for_again(platform: Platform, clock: ManualClock) -> None:
    known = who(platform, clock)
    known.learn()
    known.learn()
    assert (known.bot, known.now(), platform.asked) == ("bot", "bot", 1)


def test_an_answer_that_is_late_for_the_dial_is_asked_for_again_by_the_first_message(
    platform: Platform, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whoami, "WITHIN", 0.001)
    slow = who(platform, clock)
    platform.gate.clear()
    slow.learn()
    assert slow.now() == ""
    platform.gate.set()
    gevent.idle()
    assert (slow.now(), platform.asked) == ("bot", 2)


def test_a_refusal_is_asked_about_again_after_a_while(platform: Platform, clock: ManualClock) -> None:
    platform.error = LinkLost("not now")
    refused = who(platform, clock)
    refused.learn()
    platform.error = None
    for seconds, bot, asked in ((0.0, "", 1), (ASK_AGAIN, "bot", 2)):
        clock.advance(seconds)
        refused.now()
        gevent.idle()
        assert (refused.bot, platform.asked) == (bot, asked)


def test_refused_credentials_end_a_dial_only_where_they_are_of_no_use_elsewhere(
    platform: Platform, clock: ManualClock
) -> None:
    platform.error = AuthRejected("no")
    who(platform, clock).learn()
    with pytest.raises(AuthRejected):
        who(platform, clock, vital=True).learn()


def test_credentials_that_are_refused_to_a_question_in_the_background_halt_the_child(
    platform: Platform, clock: ManualClock
) -> None:
    platform.error = AuthRejected("no")
    for vital, rejected in ((True, [platform.error]), (False, [])):
        context = FakeContext("x")
        Whoami(platform, "", context, clock, vital=vital).now()
        gevent.idle()
        assert context.rejected == rejected


def test_a_platform_that_asks_to_wait_is_asked_again_when_it_says(platform: Platform, clock: ManualClock) -> None:
    platform.error = Throttled("slow down", after=10 * ASK_AGAIN)
    throttled = who(platform, clock)
    throttled.learn()
    for seconds, asked in ((ASK_AGAIN, 1), (9 * ASK_AGAIN, 2)):
        clock.advance(seconds)
        throttled.now()
        gevent.idle()
        assert platform.asked == asked
