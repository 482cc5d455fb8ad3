"""Losses of several children within 15 s are told as one, with the hub's lag of that time."""

from hermes_green.core.clock import ManualClock
from hermes_green.runtime.outage import BEFORE, TOGETHER, Outage


class Scene:
    """An outage whose time passes when told; ``told``: children and lag, ``asked``: of how long the lag was."""

    def __init__(self, lag=1.0):
        self.clock, self.told, self.asked, self._due = ManualClock(), [], [], []
        self.outage = Outage(self.clock.monotonic, self._lag, lambda *what: self.told.append(what), self._later)
        self.lag = lag

    def _lag(self, seconds):
        self.asked.append(seconds)
        return self.lag

    def _later(self, seconds, function):
        assert 0 <= seconds <= TOGETHER
        self._due.append((self.clock.monotonic() + seconds, function))

    def after(self, seconds):
        until = self.clock.monotonic() + seconds
        for at, function in [due for due in self._due if due[0] <= until]:
            self._due.remove((at, function))
            self.clock.advance(at - self.clock.monotonic())
            function()
        self.clock.advance(until - self.clock.monotonic())


def test_one_child_that_flaps_is_its_own_affair():
    scene = Scene()
    for _ in range(5):
        scene.outage.lost("a")
        scene.after(10)
    scene.after(60)
    assert scene.told == []


def test_all_that_are_lost_within_the_window_are_one_event_told_once_with_the_lag_of_that_window():
    scene = Scene(lag=350.0)
    for name in ("c", "a", "b", "a"):
        scene.outage.lost(name)
        scene.after(TOGETHER / 4 - 0.1)
    assert scene.told == []
    scene.after(1)
    assert scene.told == [(["a", "b", "c"], 350.0)] and scene.asked == [TOGETHER + BEFORE]


def test_the_next_outage_is_told_anew():
    scene = Scene()
    for _ in range(2):
        scene.outage.lost("a")
        scene.outage.lost("b")
        scene.after(TOGETHER + 1)
    assert [children for children, _ in scene.told] == [["a", "b"], ["a", "b"]]


def test_losses_far_apart_have_nothing_to_do_with_each_other():
    scene = Scene()
    scene.outage.lost("a")
    scene.after(TOGETHER + 1)
    scene.outage.lost("b")
    scene.after(TOGETHER + 1)
    assert scene.told == []


def test_a_window_begins_with_any_loss_and_not_only_with_the_first():
    scene = Scene()
    scene.outage.lost("a")
    scene.after(TOGETHER - 1)
    scene.outage.lost("a")
    scene.after(TOGETHER - 1)
    scene.outage.lost("b")
    scene.after(1.5)
    assert [children for children, _ in scene.told] == [["a", "b"]]
