"""What one user and one chat may ask: counted, told once, forgotten in time, and never without bound."""

import json

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.model import Peer
from hermes_green.core.tokens import tokens_of
from hermes_green.runtime.limits import SUBJECTS, Limit, Limits, Rules

DAY = 86_400


@pytest.fixture
def clock():
    return ManualClock()


def peer(user="u", chat="c", child="one"):
    return Peer(child, chat, "group", user_id=user)


def counting(clock, user=Limit(), chat=Limit(), **more):
    return Limits(clock, lambda: Rules(user, chat), **more)


def fate(limits, count, who=peer(), **more):
    """``.`` passed, ``!`` refused and to be told, ``-`` refused in silence."""
    found = [limits.admit(who, **more) for _ in range(count)]
    return "".join("." if over is None else "!" if over.first else "-" for over in found)


def test_without_limits_everything_passes_and_nothing_is_counted(clock):
    limits = counting(clock)
    assert fate(limits, 100) == "." * 100 and limits.state()["counts"] == {}


def test_who_writes_too_fast_is_told_once_until_the_minute_ends(clock):
    limits = counting(clock, Limit(messages_per_minute=2))
    assert fate(limits, 5) == "..!--"
    clock.advance(59)
    assert fate(limits, 1) == "-"
    clock.advance(1)
    assert fate(limits, 4) == "..!-"


def test_one_users_limit_is_not_anothers_nor_another_bots(clock):
    limits = counting(clock, Limit(messages_per_minute=1))
    assert fate(limits, 2) == ".!"
    assert fate(limits, 1, peer("v")) == "." and fate(limits, 1, peer(child="two")) == "."
    assert fate(limits, 1, peer(chat="d")) == "-", "a user's limit holds in all chats together"
    assert fate(limits, 3, peer(None)) == "...", "nobody is no user"


def test_a_chats_limit_is_shared_by_its_users(clock):
    limits = counting(clock, chat=Limit(messages_per_minute=2))
    assert fate(limits, 1, peer("u")) + fate(limits, 1, peer("v")) + fate(limits, 2, peer("w")) == "..!-"


def test_turns_of_a_day_are_counted_and_commands_are_none(clock):
    limits = counting(clock, Limit(turns_per_day=2))
    assert fate(limits, 5, turn=False) == "....."
    assert fate(limits, 4) == "..!-" and fate(limits, 1, turn=False) == "."
    clock.advance(DAY)
    assert fate(limits, 1) == "."


def test_tokens_are_counted_as_the_agent_reports_them(clock):
    limits = counting(clock, Limit(tokens_per_day=100))
    limits.spent(peer(), {"total_tokens": 60})
    assert fate(limits, 1) == "."
    limits.spent(peer(), {"prompt_tokens": 30, "completion_tokens": 10})
    assert not limits.passes(peer()) and fate(limits, 2) == "!-"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, 0),
        ({}, 0),
        ({"total_tokens": "7"}, 0),
        ({"total_tokens": -7}, 0),
        ({"input_tokens": 3, "output_tokens": 4}, 7),
    ],
)
def test_usage_of_any_form_is_read_as_far_as_it_goes(usage, tokens):
    assert tokens_of(usage) == tokens


def test_asking_whether_a_message_would_pass_counts_nothing(clock):
    limits = counting(clock, Limit(messages_per_minute=1, turns_per_day=1))
    assert all(limits.passes(peer()) for _ in range(5))
    assert fate(limits, 1) == "." and not limits.passes(peer())


def test_the_counts_of_the_day_survive_a_restart_and_those_of_yesterday_do_not(clock):
    rules = Limit(turns_per_day=2)
    changes = []
    before = counting(clock, rules, changed=lambda: changes.append(1))
    assert fate(before, 2) == ".." and len(changes) == 2
    state = json.loads(json.dumps(before.state()))
    assert fate(counting(clock, rules, state=state), 2) == "!-"
    clock.advance(DAY)
    assert fate(counting(clock, rules, state=state), 1) == "."


def test_limits_change_while_we_run(clock):
    rules = [Rules(Limit(messages_per_minute=1))]
    limits = Limits(clock, lambda: rules[0])
    assert fate(limits, 2) == ".!"
    rules[0] = Rules()
    assert fate(limits, 9) == "." * 9


def test_however_many_there_are_only_so_many_are_counted(clock):
    limits = counting(clock, Limit(messages_per_minute=1, turns_per_day=1))
    for number in range(SUBJECTS + 100):
        limits.admit(peer(f"u{number}"))
    assert len(limits._minutes) == len(limits.state()["counts"]) == SUBJECTS
    assert fate(limits, 1, peer(f"u{SUBJECTS + 99}")) == "!", "the latest are remembered"
    assert f"user one u{SUBJECTS + 99}" in limits.state()["counts"] and "user one u0" not in limits.state()["counts"]
