"""Sessions: whoever begins one below us comes last at the processor, where Linux shares it by session.

Free of gevent. With autogroup (sched(7)) each session has the same share, whatever its processes' nice values:
beside a hundred new ones, a hundredth is left for us. A session can be told to be nice; but who may not
administer the system may say so once in 100 ms only (kernel/sched/autogroup.c, proc_sched_autogroup_set_nice).
So as many as there are processors run untold; those beyond are stopped until it is their turn to be told.
"""

from __future__ import annotations

import os
import signal
import time
from itertools import chain
from typing import Iterable

from hermes_green.agents import kernel

AGENTS = kernel.NICE  # what the agents' own session is told: the share that their nice value would give them
LAST = kernel.LAST  # what all others are told
PATIENCE = 3.0  # seconds without a word that the kernel takes, until those that are stopped run untold

_now = time.monotonic
_session = os.getsid


class Sessions:
    """Is shown all processes below us, again and again."""

    def __init__(self) -> None:
        ours = kernel.autogroup(os.getpid()) if kernel.shares_by_session() else None
        self._ours = ours[0] if ours else None
        self._waiting: list[int] = []
        self._stopped: set[int] = set()
        self._taken = 0.0

    @property
    def waiting(self) -> bool:
        """There are some to be told still."""
        return bool(self._waiting)

    def humble(self, agents: Iterable[int], below: Iterable[int]) -> None:
        """Tell those that were not told. ``agents``: what was begun by us, whose sessions are the agents'
        own; ``below``: these and all others, parents before their children."""
        if self._ours is None:
            return
        favoured, found = _by_session(agents), _by_session(below)
        found = {**favoured, **found}
        found.pop(_session(0), None)
        wanted = {each: AGENTS if each in favoured else LAST for each in found}
        untold = {each: None for each, members in found.items() if self._untold(members, wanted[each])}
        row = [*(each for each in self._waiting if each in untold), *untold]
        if not self._waiting:
            self._taken = _now()
        self._waiting = self._tell(sorted(dict.fromkeys(row), key=wanted.__getitem__), found, wanted)
        patient = _now() - self._taken <= PATIENCE
        strangers = [each for each in self._waiting if patient and each not in favoured]
        self._hold([pid for each in strangers[kernel.processors() :] for pid in found[each]], found)

    def _untold(self, members: list[int], nice: int) -> bool:
        """One that is being begun has our group for a moment still; its word would be for ourselves. None is
        taken for the root group, which may be ours."""
        told = next(filter(None, map(kernel.autogroup, members)), None)
        return told is not None and told[0] not in ("", self._ours) and told[1] < nice

    def _tell(self, row: list[int], found: dict[int, list[int]], nice: dict[int, int]) -> list[int]:
        """In turn, as far as the kernel lets us; those that are left."""
        for place, session in enumerate(row):
            try:
                any(kernel.tell_autogroup(pid, nice[session]) for pid in found[session])
            except BlockingIOError:
                return row[place:]
            self._taken = _now()
        return []

    def _hold(self, pids: list[int], found: dict[int, list[int]]) -> None:
        """These are stopped, parents first; all others that we have stopped go on."""
        self._stopped.intersection_update(chain.from_iterable(found.values()))
        for pid in self._stopped.difference(pids):
            kernel.send(pid, signal.SIGCONT)
        self._stopped.intersection_update(pids)
        for pid in pids:
            if pid not in self._stopped and not kernel.stopped(pid):
                kernel.send(pid, signal.SIGSTOP)
                self._stopped.add(pid)


def _by_session(pids: Iterable[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for pid in pids:
        try:
            found.setdefault(_session(pid), []).append(pid)
        except OSError:
            continue  # it has ended
    return found
