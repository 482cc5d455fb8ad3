"""The states of a child, as one total table with one writer (the supervisor's greenlet)."""

from __future__ import annotations

from enum import StrEnum

from hermes_green.core.errors import IllegalMove


class State(StrEnum):
    """Where a child stands."""

    IDLE = "IDLE"
    STARTING = "STARTING"
    READY = "READY"
    WAITING = "WAITING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    HALTED = "HALTED"
    FAILED = "FAILED"


class Event(StrEnum):
    """What may happen to a child; each end of the current run is exactly one of these."""

    START = "START"
    READY = "READY"
    LOST = "LOST"
    CRASH = "CRASH"
    TRIP = "TRIP"
    REJECT = "REJECT"
    TIMER = "TIMER"
    REFRESH = "REFRESH"
    STOP = "STOP"
    GONE = "GONE"


_S, _E = State, Event

TABLE: dict[State, dict[Event, State]] = {
    _S.IDLE: {_E.START: _S.STARTING, _E.REJECT: _S.HALTED, _E.STOP: _S.STOPPED},
    _S.STARTING: {
        _E.READY: _S.READY,
        _E.LOST: _S.WAITING,
        _E.CRASH: _S.WAITING,
        _E.TRIP: _S.FAILED,
        _E.REJECT: _S.HALTED,
        _E.STOP: _S.STOPPING,
    },
    _S.READY: {
        _E.LOST: _S.WAITING,
        _E.CRASH: _S.WAITING,
        _E.TRIP: _S.FAILED,
        _E.REJECT: _S.HALTED,
        _E.REFRESH: _S.READY,
        _E.STOP: _S.STOPPING,
    },
    _S.WAITING: {
        _E.START: _S.STARTING,
        _E.REJECT: _S.HALTED,
        _E.TIMER: _S.STARTING,
        _E.STOP: _S.STOPPED,
    },
    _S.STOPPING: {_E.STOP: _S.STOPPING, _E.GONE: _S.STOPPED},
    _S.STOPPED: {_E.START: _S.STARTING, _E.STOP: _S.STOPPED},
    _S.HALTED: {_E.START: _S.STARTING, _E.TIMER: _S.STARTING, _E.STOP: _S.STOPPED},
    _S.FAILED: {_E.START: _S.STARTING, _E.TIMER: _S.STARTING, _E.STOP: _S.STOPPED},
}


def step(state: State, event: Event) -> State:
    """The state after ``event``.

    Raises:
        IllegalMove: the table does not list the pair; nothing has changed.
    """
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalMove(state, event) from None


def as_markdown() -> str:
    """The table as ARCHITECTURE.md shows it."""
    lines = ["| state | " + " | ".join(Event) + " |", "|---" * (len(Event) + 1) + "|"]
    for state in State:
        cells = [TABLE[state].get(event, "") for event in Event]
        lines.append(f"| {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
