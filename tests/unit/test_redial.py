"""When a child dials again: soon after a healthy link, later after failures, never before it may."""

from hermes_green.core.errors import AuthRejected, ConfError, Displaced, LinkLost, Throttled
from hermes_green.runtime.redial import DISPLACED_RETRIES, FIRST_REDIAL, REJECTED_RETRIES, Pace, Redial
from hermes_green.settings.schema import Supervisor


def highest(low: float, high: float) -> float:
    return high


def test_failures_in_a_row_wait_longer_up_to_the_ceiling():
    redial = Redial(Pace(backoff_min=1, backoff_max=8), highest)
    assert [redial.after_run(None, LinkLost("x")) for _ in range(5)] == [1, 2, 4, 8, 8]


def test_the_first_dial_after_a_healthy_link_comes_at_once_and_forgets_the_failures():
    redial = Redial(Pace(backoff_min=1, backoff_max=60, healthy_after=30), highest)
    for _ in range(6):
        redial.after_run(None, LinkLost("x"))
    assert redial.after_run(30, LinkLost("x")) == FIRST_REDIAL == 0.4
    assert redial.after_run(None, LinkLost("x")) == 2
    assert redial.after_run(29, LinkLost("x")) == 4, "that link was not healthy"
    redial.reset()
    assert redial.after_failure() == 1, "the operator asked for a dial now"


def test_the_numbers_that_are_shipped_are_those_of_the_settings():
    shipped = Supervisor()
    assert all(getattr(Pace(), name) == getattr(shipped, name) for name in Pace.__slots__)


def test_other_numbers_hold_from_the_next_wait_on():
    redial = Redial(Pace(backoff_min=1, backoff_max=60, healthy_after=30), highest)
    assert [redial.after_failure() for _ in range(4)] == [1, 2, 4, 8]
    redial.repace(Pace(backoff_min=0.5, backoff_max=6, healthy_after=5))
    assert [redial.after_failure() for _ in range(2)] == [6, 6]
    assert redial.after_run(5, LinkLost("x")) == FIRST_REDIAL, "that is healthy by now"
    assert redial.after_failure() == 1, "the second wait of those that begin with half a second"


def test_a_planned_close_of_a_short_link_is_redialled_at_once_without_raising_the_back_off():
    redial = Redial(Pace(), highest)
    assert redial.after_run(6, None) <= FIRST_REDIAL
    assert redial.failures == 0


def test_a_server_that_accepts_and_closes_at_once_meets_the_back_off():
    redial = Redial(Pace(backoff_min=1, backoff_max=60), highest)
    assert [redial.after_run(0.2, None) for _ in range(4)] == [1, 2, 4, 8]


def test_a_throttled_dial_waits_at_least_as_long_as_it_was_told():
    redial = Redial(Pace(), highest)
    assert redial.after_run(None, Throttled("slow", after=45)) == 45


def test_our_own_budget_says_exactly_when_and_raises_no_back_off():
    redial = Redial(Pace(), highest)
    assert redial.after_run(None, Throttled("cooling", after=77.5, code="budget_spent")) == 77.5
    assert redial.failures == 0


def test_a_credential_never_accepted_waits_for_a_human():
    redial = Redial(Pace(), highest)
    assert redial.after_rejection(AuthRejected("no"), accepted_before=False) is None


def test_a_credential_that_worked_before_is_tried_again_ever_more_rarely():
    redial = Redial(Pace(), highest)
    waits = [redial.after_rejection(AuthRejected("no"), accepted_before=True) for _ in range(4)]
    assert waits == [*REJECTED_RETRIES, REJECTED_RETRIES[-1]]
    redial.accepted()
    assert redial.after_rejection(AuthRejected("no"), accepted_before=True) == REJECTED_RETRIES[0]


def test_a_displaced_bot_comes_back_jittered_and_a_wrong_configuration_never():
    redial = Redial(Pace(), highest)
    assert redial.after_rejection(Displaced("other"), accepted_before=False) == DISPLACED_RETRIES[0] * 1.25
    soonest = Redial(Pace(), lambda low, high: low)
    assert soonest.after_rejection(Displaced("other"), accepted_before=False) == DISPLACED_RETRIES[0] * 0.75
    assert redial.after_rejection(ConfError("bad"), accepted_before=True) is None
