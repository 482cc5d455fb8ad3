"""A stranger is let in by a code that only he was told, once, in time, and not by guessing."""

import json

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.runtime import pairing as module
from hermes_green.runtime.pairing import CODE_TTL, FAILURES, LOCK, SILENCE, Pairing, PairingRefused, spoken


class Saved:
    def __init__(self):
        self.state = None

    def __call__(self, state):
        self.state = json.loads(json.dumps(state))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def saved():
    return Saved()


@pytest.fixture
def pairing(clock, saved):
    return Pairing(clock, None, saved)


def test_a_code_lets_its_stranger_in_and_nobody_else(pairing):
    code = pairing.ask("web", "u1", "Ann").code
    assert not pairing.knows("web", "u1")
    assert pairing.approve(spoken(code).lower()).user == "u1"
    assert pairing.knows("web", "u1") and not pairing.knows("web", "u2") and not pairing.knows("qq", "u1")
    assert not pairing.knows("web", None)


def test_a_code_works_once_and_not_for_ever(pairing, clock):
    code = pairing.ask("web", "u1").code
    pairing.approve(code)
    with pytest.raises(PairingRefused):
        pairing.approve(code)
    late = pairing.ask("web", "u2").code
    clock.advance(CODE_TTL)
    assert pairing.waiting() == ()
    with pytest.raises(PairingRefused):
        pairing.approve(late)


def test_a_stranger_who_writes_on_meets_silence_then_a_new_code(pairing, clock):
    first = pairing.ask("web", "u1")
    assert pairing.ask("web", "u1") is None
    clock.advance(SILENCE + 1)
    second = pairing.ask("web", "u1")
    assert second.code != first.code and len(pairing.waiting()) == 1


def test_a_flood_of_strangers_has_a_bound(pairing, monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 50)
    told = [pairing.ask("web", f"u{number}") for number in range(100)]
    assert told[49] and told[50:] == [None] * 50 and len(pairing.waiting()) == 50


def test_guessing_locks_the_mechanism_even_for_the_right_code(pairing, clock):
    def guess(times):
        for _ in range(times):
            with pytest.raises(PairingRefused) as caught:
                pairing.approve("WRONGCOD")
            assert caught.value.code == "pairing_code"

    code = pairing.ask("web", "u1").code
    guess(FAILURES)
    with pytest.raises(PairingRefused) as caught:
        pairing.approve(code)
    assert caught.value.code == "pairing_locked"
    clock.advance(LOCK)
    guess(FAILURES - 1)
    assert pairing.approve(pairing.ask("web", "u1").code).user == "u1", "one guess less locks nothing"
    guess(FAILURES - 1)
    assert pairing.approve(pairing.ask("web", "u2").code).user == "u2", "who knew a code begins the count anew"


def test_an_admin_of_one_bot_cannot_open_another(pairing):
    code = pairing.ask("qq", "u1").code
    with pytest.raises(PairingRefused):
        pairing.approve(code, "web")
    assert pairing.approve(code, "qq").child == "qq"


def test_everything_survives_a_restart_the_lock_included(pairing, clock, saved):
    pairing.approve(pairing.ask("web", "u1").code)
    code = pairing.ask("web", "u2").code
    for _ in range(FAILURES):
        with pytest.raises(PairingRefused):
            pairing.approve("WRONGCOD")
    again = Pairing(clock, saved.state, saved)
    assert again.knows("web", "u1") and [each.code for each in again.waiting()] == [code]
    with pytest.raises(PairingRefused) as caught:
        again.approve(code)
    assert caught.value.code == "pairing_locked"
    assert again.revoke("web", "u1") and not again.knows("web", "u1") and not again.revoke("web", "u1")
    assert not Pairing(clock, saved.state, saved).knows("web", "u1"), "nor after the next restart"
