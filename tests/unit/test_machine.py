"""The table of child states is total, closed and says no to what it does not list."""

import pytest

from hermes_green.core.errors import IllegalMove
from hermes_green.core.machine import TABLE, Event, State, step


def test_every_state_has_a_row_and_every_target_is_a_state():
    assert set(TABLE) == set(State)
    assert {target for row in TABLE.values() for target in row.values()} <= set(State)


def test_an_unlisted_pair_raises_and_names_both():
    with pytest.raises(IllegalMove) as caught:
        step(State.STOPPED, Event.READY)
    assert caught.value.state is State.STOPPED and caught.value.event is Event.READY


def test_every_state_but_stopping_can_be_stopped_at_once():
    for state in State:
        assert step(state, Event.STOP) in {State.STOPPED, State.STOPPING}


def test_a_child_that_gave_up_can_be_started_again():
    for state in (State.HALTED, State.FAILED, State.STOPPED, State.WAITING, State.IDLE):
        assert step(state, Event.START) is State.STARTING
