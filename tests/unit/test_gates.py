"""Gates hold what their rates say: per chat, per account, and for drafts only where these go the same way."""

from types import SimpleNamespace

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import SendRetry
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


def test_a_platform_that_asks_for_silence_has_it_in_the_chat_or_everywhere_and_no_longer():
    clock = ManualClock()
    gates, place = Gates(clock), adapter()
    gates.close("c", "a", SendRetry("busy", after=0))
    assert gates.enter(place, "c", "a") == 0, "no silence was asked for"
    gates.close("c", "a", SendRetry("slow down", after=0.5))
    assert gates.enter(place, "c", "a") == 0.5 and gates.enter(place, "c", "b") == 0
    clock.advance(0.5)
    assert gates.enter(place, "c", "a") == 0
    gates.close("c", "a", SendRetry("slow down", after=7, scope="account"))
    assert gates.enter(place, "c", "b") == 7 and gates.enter(place, "d", "a") == 0


def test_silence_comes_on_top_of_the_rates_of_a_chat_that_has_some():
    clock = ManualClock()
    gates, place = Gates(clock), adapter(Rate(5, 1.0, "chat"))
    assert gates.enter(place, "c", "a") == 0
    gates.close("c", "a", SendRetry("slow down", after=3))
    assert gates.enter(place, "c", "a") == 3


def test_a_lane_needs_the_link_where_its_kind_of_chat_does_or_where_all_do_as_long_as_that_is_unknown():
    by_kind = CapsTable(Caps(), {"channel": Caps(send_needs_link=True)})
    some, all_ = SimpleNamespace(caps=by_kind), SimpleNamespace(caps=CapsTable(Caps(send_needs_link=True)))
    gates = Gates(ManualClock())
    assert not gates.needs_link(some, "c", "a") and gates.needs_link(all_, "c", "a")
    gates.learn(some, "c", "a", "channel")
    gates.learn(some, "c", "b", "dm")
    assert gates.needs_link(some, "c", "a") and not gates.needs_link(some, "c", "b")


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
