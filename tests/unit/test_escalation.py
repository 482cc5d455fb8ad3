"""A restart is asked for only when a fresh process proves that the fault is ours, and rarely."""

import gevent
import pytest
from loguru import logger

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import Throttled
from hermes_green.core.machine import State
from hermes_green.runtime.escalation import AGAIN_AFTER, Escalation
from tests.support.children import eventually
from tests.unit.test_suspicion import Notes


class Failing:
    id = "one"
    state = State.WAITING


class Case:
    def __init__(self, answer=(True, "bot")):
        self.clock = ManualClock()
        self.answer = answer
        self.spent = None
        self.probed = 0
        self.restarts = 0
        self.escalation = Escalation(
            ledger=Notes(self.clock),
            offhub=lambda fn, *args: fn(*args),
            book=self.book,
            probe=self.probe,
            restart=self.restart,
            clock=self.clock,
            log=logger,
        )

    def book(self, child):
        if self.spent:
            raise self.spent

    def probe(self, child):
        self.probed += 1
        gevent.sleep(0.004)
        return self.answer

    def restart(self):
        self.restarts += 1

    def fail(self):
        self.escalation.consider(Failing())
        eventually(lambda: self.escalation._asking.dead)


def test_a_fresh_process_that_connects_means_the_fault_is_ours():
    case = Case()
    case.fail()
    assert case.restarts == 1


def test_a_fresh_process_that_fails_as_well_asks_for_nothing():
    case = Case((False, "LinkLost: refused"))
    case.fail()
    assert case.probed == 1 and case.restarts == 0


def test_a_restart_is_asked_for_at_most_once_in_six_hours():
    case = Case()
    case.fail()
    case.clock.advance(AGAIN_AFTER - 60)
    case.fail()
    assert case.restarts == 1
    case.clock.advance(120)
    case.fail()
    assert case.restarts == 2


def test_no_budget_no_question():
    case = Case()
    case.spent = Throttled("cooling down", after=60)
    case.fail()
    assert case.probed == 0


def test_a_record_that_cannot_be_written_means_no_restart_and_no_crash():
    case, said = Case(), []
    handler = logger.add(lambda line: said.append(str(line)), level="INFO")

    def full(kind, **data):
        raise OSError(28, "No space left on device")

    case.escalation._ledger.note = full
    case.fail()
    logger.remove(handler)
    assert case.restarts == 0 and case.escalation._asking.successful()
    assert any("could not be asked now" in line for line in said)


def test_only_one_question_is_asked_at_a_time():
    case = Case()
    for _ in range(5):
        case.escalation.consider(Failing())
    eventually(lambda: case.escalation._asking.dead)
    assert case.probed == 1


@pytest.mark.parametrize("state", [State.READY])
def test_a_child_that_came_back_meanwhile_needs_no_restart(state):
    case = Case()
    child = Failing()
    child.state = state
    case.escalation.consider(child)
    eventually(lambda: case.escalation._asking.dead)
    assert case.restarts == 0
