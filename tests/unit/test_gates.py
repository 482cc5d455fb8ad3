"""Gates hold what their rates say: per chat, per account, and for drafts only where these go the same way."""

from types import SimpleNamespace

from hermes_green.core.clock import ManualClock
from hermes_green.core.model import Caps, CapsTable, Rate
from hermes_green.runtime.gates import REMEMBER, Gates


def adapter(*rates):
    return SimpleNamespace(caps=CapsTable(default=Caps(rates=rates)))


def test_a_limit_of_messages_does_not_slow_the_drafts_that_go_another_way():
    gates, place = Gates(ManualClock()), adapter(Rate(1, 60.0, "chat", drafts=False), Rate(4, 1.0, "account"))
    assert gates.enter(place, "c", "lane") == 0
    assert gates.enter(place, "c", "lane") > 50
    assert [gates.enter(place, "c", "lane", draft=True) for _ in range(3)] == [0, 0, 0]
    assert 0 < gates.enter(place, "c", "lane", draft=True) <= 1, "the account's limit holds for all"


def test_drafts_count_as_messages_where_nothing_else_is_said():
    gates, place = Gates(ManualClock()), adapter(Rate(1, 60.0, "chat"))
    assert gates.enter(place, "c", "lane", draft=True) == 0
    assert gates.enter(place, "c", "lane") > 50


def test_gates_of_chats_that_fell_silent_are_forgotten_and_busy_ones_are_not_counted_at_each_send():
    clock = ManualClock()
    gates, place, looks = Gates(clock), adapter(Rate(1, 60.0, "chat")), []
    forget = gates._forget
    gates._forget = lambda now: (looks.append(now), forget(now))
    for number in range(REMEMBER + 500):
        gates.enter(place, "c", f"lane {number}")
    assert len(looks) == 1
    clock.advance(61.0)
    gates.enter(place, "c", "one more")
    assert len(looks) == 2 and len(gates._buckets) <= 2
