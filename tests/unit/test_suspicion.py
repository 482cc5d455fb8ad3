"""A bot that was dialled in a burst and heard nothing keeps a growing distance until a message comes."""

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import Throttled
from hermes_green.runtime.suspicion import FIRST, LONGEST, Suspicion


class Notes:
    """A ledger in memory."""

    def __init__(self, clock):
        self.clock, self.lines = clock, []

    def note(self, kind, **data):
        self.lines.append((kind, self.clock.wall(), data))

    def last(self, kind):
        for found, at, data in reversed(self.lines):
            if found == kind:
                return {"age": self.clock.wall() - at, **data}
        return None


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def notes(clock):
    return Notes(clock)


def suspicion(notes, clock, remedy="look at the console"):
    return Suspicion(notes, lambda fn, *args: fn(*args), clock, remedy)


def dial(notes, clock, seconds=1.0, subject=None):
    """A dial; ``subject`` learns that it was accepted."""
    notes.note("dial")
    if subject is not None:
        subject.opened()
    clock.advance(seconds)


def wait_of(subject):
    with pytest.raises(Throttled) as caught:
        subject.check()
    return caught.value.after


def test_nobody_is_suspect_without_a_burst(notes, clock):
    subject = suspicion(notes, clock)
    dial(notes, clock)
    subject.check()
    assert subject.level == 0


def test_the_distance_doubles_with_each_burst_up_to_an_hour(notes, clock):
    subject = suspicion(notes, clock)
    for level in range(1, 8):
        dial(notes, clock, subject=subject)
        subject.burst()
        assert subject.level == level
        assert wait_of(subject) == pytest.approx(min(LONGEST, FIRST * 2 ** (level - 1)) - 1.0)
        clock.advance(LONGEST)
        subject.check()


def test_dials_that_no_link_came_of_are_no_burst_but_an_outage(notes, clock):
    subject = suspicion(notes, clock)
    for _ in range(3):
        dial(notes, clock)
        subject.burst()
        subject.check()
    dial(notes, clock, subject=subject)
    dial(notes, clock)
    subject.burst()
    assert subject.level == 1 and wait_of(subject) > 0
    clock.advance(LONGEST)
    subject.check()
    dial(notes, clock)
    subject.burst()
    assert subject.level == 1


def test_asking_again_without_a_dial_is_the_same_burst(notes, clock):
    subject = suspicion(notes, clock)
    dial(notes, clock, subject=subject)
    for _ in range(5):
        subject.burst()
        clock.advance(1)
    assert subject.level == 1


def test_a_message_ends_it_and_a_new_process_remembers(notes, clock):
    subject = suspicion(notes, clock)
    dial(notes, clock, subject=subject)
    subject.burst()
    clock.advance(1)
    assert wait_of(suspicion(notes, clock)) > 0
    wait_of(subject)
    subject.heard()
    subject.check()
    suspicion(notes, clock).check()


def test_a_message_that_could_not_be_written_down_leaves_that_to_the_next(notes, clock):
    subject, note = suspicion(notes, clock), notes.note
    dial(notes, clock, subject=subject)
    subject.burst()
    clock.advance(1)
    wait_of(subject)
    notes.note = lambda kind, **data: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    subject.heard()
    assert subject.level == 0 and subject.listening
    notes.note = note
    subject.heard()
    assert not subject.listening
    suspicion(notes, clock).check()


def test_the_sentence_names_the_time_and_the_other_remedy(notes, clock):
    subject = suspicion(notes, clock)
    dial(notes, clock, subject=subject)
    subject.burst()
    with pytest.raises(Throttled) as caught:
        subject.check()
    assert "cooling down until" in caught.value.text and caught.value.action == "look at the console"


def test_a_platform_that_does_not_do_this_is_never_suspect(notes, clock):
    subject = suspicion(notes, clock, remedy="")
    dial(notes, clock, subject=subject)
    subject.burst()
    subject.check()
    assert subject.level == 0 and [line[0] for line in notes.lines] == ["dial"]


def test_a_burst_in_which_messages_came_is_not_suspect(notes, clock):
    subject = suspicion(notes, clock)
    subject.check()
    dial(notes, clock, subject=subject)
    subject.heard()
    for _ in range(4):
        dial(notes, clock, 5, subject)
    subject.burst()
    subject.check()
    assert subject.level == 0
