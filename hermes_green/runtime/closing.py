"""Closing: one deadline for everything that ends a process, handed down, so that waits do not add up."""

from __future__ import annotations

from typing import Callable, Sequence

import gevent

from hermes_green.core.clock import Clock


class Deadline:
    """When all of it must be over: ``seconds`` from now."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.monotonic() + seconds

    def left(self, most: float = float("inf"), *, leaving: float = 0.0) -> float:
        """Seconds that a step may take: at most ``most``, and so that ``leaving`` remain for what follows it."""
        return max(0.0, min(most, self._at - self._clock.monotonic() - leaving))


def end_all(greenlets: Sequence[gevent.Greenlet], seconds: float) -> None:
    """Kill them and wait until they have ended; whoever does not within ``seconds`` is left behind, because others
    have to end as well. (To be told so by a timeout of gevent's, as by ``killall``, would end whoever asks.)"""
    gevent.killall(greenlets, block=False)
    gevent.joinall(greenlets, timeout=seconds)


def side_by_side(seconds: float, **steps: Callable[[], object]) -> None:
    """Do all steps at once, each in a greenlet of its name; those that take longer are left behind."""
    greenlets = []
    for name, step in steps.items():
        greenlets.append(gevent.spawn(step))
        greenlets[-1].name = f"closing-{name}"
    gevent.joinall(greenlets, timeout=seconds)
    gevent.killall(greenlets, block=False)
