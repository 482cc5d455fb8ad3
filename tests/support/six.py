"""All six platforms behind one gateway, at the pace that a test wants, and how late their heartbeats come."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from tests.support.pulse import Pulse
from tests.support.scene import QUICK, Scene
from tests.support.stage import Sim, Stage, until

PLATFORMS = ("feishu", "qq", "dingtalk", "wecom", "telegram", "slack")
# A send repeated under its key is recognised; the others are told apart only by asking, or not at all.
KEYED = ("feishu", "qq", "wecom")
# What was not acknowledged is sent again; elsewhere a frame that is cut off is gone.
RESENDS = ("feishu", "qq", "telegram", "slack")
# The record's kind that shows each of our heartbeats at regular intervals.
BEATS = {"feishu": "beat", "qq": "beat", "wecom": "beat", "dingtalk": "ping", "slack": "ping"}
# Redelivery at a pace for tests: what no living process took within the last pause would be lost.
OFTEN = ",".join(["0.5", "1", "2", *["4"] * 40])
ARGUMENTS = {
    "telegram": ("--guard-timeout", "0", "--guard-limit", "0"),
    "feishu": ("--redelivery", OFTEN),
    "slack": ("--redelivery", OFTEN, "--ack-deadline", "1"),
}


def six(
    stage: Stage,
    *,
    beat: float | None = None,
    timeout: float = 5.0,
    gateway: Mapping[str, Any] | None = None,
    files: Mapping[str, Mapping[str, Any]] | None = None,
    arguments: Mapping[str, Sequence[str]] | None = None,
    platforms: Sequence[str] = PLATFORMS,
    ready: bool = True,
) -> Scene:
    """A scene without dial budgets (what kills and cuts cost is not what is measured here); ``beat`` seconds
    between heartbeats, which are due in ``timeout``."""
    merged: dict[str, dict[str, Any]] = {}
    for name in platforms:
        merged[name] = {"dial_budget": []}
        if beat is not None:
            merged[name] |= {"ping_interval": max(1, round(beat)) if name == "telegram" else beat}
            merged[name] |= {"ping_timeout": timeout}
        merged[name] |= (files or {}).get(name, {})
    told = {name: (*ARGUMENTS.get(name, ()), *(arguments or {}).get(name, ())) for name in platforms}
    whole = {"supervisor": QUICK, **(gateway or {})}
    return Scene(stage, platforms=platforms, gateway=whole, files=merged, arguments=told, ready=ready)


class Lateness:
    """The heartbeats that these simulators see from now on, which should come each ``beat`` seconds, or each
    platform's."""

    def __init__(self, sims: Mapping[str, Sim], beat: float | Mapping[str, float]) -> None:
        self._sims = {name: sims[name] for name in BEATS if name in sims}
        self._beats = beat if isinstance(beat, Mapping) else dict.fromkeys(BEATS, beat)
        self._seen = {name: len(sim.record(BEATS[name])) for name, sim in self._sims.items()}

    def worst(self) -> tuple[float, str]:
        """Milliseconds by which the latest one was late, and whose it was."""
        return max((late * 1000, name) for late, _, _, name in self._gaps())

    def beyond(self, pulse: Pulse) -> float:
        """The same without what the machine was late by."""
        return max((late - pulse.late(begin, end)) * 1000 for late, begin, end, _ in self._gaps())

    def _gaps(self) -> list[tuple[float, float, float, str]]:
        """Between each two heartbeats: seconds by which it was too long, when it began and ended, whose it was."""
        found = []
        for name, sim in self._sims.items():
            seen, beat = max(0, self._seen[name] - 1), self._beats[name]
            until(lambda: len(sim.record(BEATS[name])) >= seen + 2, what=f"heartbeats that {name} sees")
            times = [entry["t"] for entry in sim.record(BEATS[name])][seen:]
            found += [(b - a - beat, a, b, name) for a, b in zip(times, times[1:])]
        return found
