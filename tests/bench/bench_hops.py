"""Hops: where the time of a warm turn goes, from the platform's push to its receipt of the answer.

The steps of a turn, each with its median; its clocks cost the turn some hundredths of a millisecond.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Sequence

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import QUICK, Town, figure, median  # noqa: E402
from tests.bench.bench_gateway import WARM, turns  # noqa: E402
from tests.support.stage import Sim  # noqa: E402

TURNS = 100 if QUICK else 300
# What the clocks of a turn say, in order, and what lies before each.
STEPS = (
    ("parsed", "1, 2  received and parsed"),
    ("thread", "3     at the thread of the disk"),
    ("committed", "3     committed, and leased with it"),
    ("turn", "4     back on the hub and routed to its lane"),
    ("answered", "5     the turn (echo)"),
    ("thread", "6     at the thread of the disk"),
    ("committed", "6     committed, and the part leased with it"),
    ("request", "7     back on the hub and at its adapter"),
    ("receipt", "7     received by the platform"),
)


def steps(seen: Sequence[tuple[str, float]], push: float, receipt: float) -> list[float] | None:
    """Milliseconds of each step of one turn; None where something else ran in between."""
    marks = [(name, at) for name, at in seen if push <= at <= receipt] + [("receipt", receipt)]
    if [name for name, _ in marks] != [name for name, _ in STEPS]:
        return None
    times = [push, *(at for _, at in marks)]
    return [(after - before) * 1000 for before, after in zip(times, times[1:])]


def walk(town: Town, sim: Sim) -> None:
    """Turns on one platform, step by step."""
    clocks = town.home / f"hops-{sim.platform}.json"
    town.stage.env["HERMES_GREEN_HOPS"] = str(clocks)
    gateway = town.open()
    turns(sim, WARM)
    whole, _ = turns(sim, TURNS)
    gateway.kill(signal.SIGTERM)
    pushes, sends = ([entry["t"] for entry in sim.record(kind)][-TURNS:] for kind in ("push", "send"))
    seen = json.loads(clocks.read_text())
    found = [each for each in (steps(seen, *ends) for ends in zip(pushes, sends)) if each is not None]
    print(f"{sim.platform}: {median(whole):.2f} ms, p50 of {TURNS}; {len(found)} of them went so")
    for place, (_, name) in enumerate(STEPS):
        figure(name, median([each[place] for each in found]), "ms")


def main() -> None:
    with Town(qq=["--identify-interval", "0.1"]) as town:
        town.stage.program = "tests.bench._hops"
        for sim in (town.feishu, town.qq):
            walk(town, sim)


if __name__ == "__main__":
    main()
