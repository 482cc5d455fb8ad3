"""Dials are counted through crashes: a platform never sees more of them than the budget allows."""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime

import gevent
import pytest

from hermes_green.ops.ledger import MARGIN
from tests.faults.conftest import LONG
from tests.support.scene import Scene, booked, hermes, kill_linked
from tests.support.stage import PATIENCE, until

# Ten starts fit into the window on any machine; the long run waits for its end.
LIMIT, WINDOW = 4, 120 if LONG else 900


def most_within(times: list[float], window: float) -> int:
    """The most dials that any window of so many seconds has seen."""
    return max(sum(1 for other in times if at <= other < at + window) for at in times)


def restart_often(scene: Scene, restarts: int) -> list[dict]:
    """kill -9 and start again; the child's status each time it has settled."""
    settled = []
    for _ in range(restarts):
        kill_linked(scene.stage, scene.gateway, "feishu")
        scene.gateway = scene.stage.gateway()
        calm = ("READY", "WAITING")
        settled.append(until(lambda: (s := scene.gateway.child("feishu"))["state"] in calm and s))
    return settled


def wall(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def test_ten_kills_never_show_the_platform_a_fifth_dial_and_the_status_says_until_when(stage, long_run, seed):
    scene = Scene(stage, platforms=("feishu",), files={"feishu": {"dial_budget": [[LIMIT, WINDOW]]}})
    sim = scene.sims["feishu"]
    settled = restart_often(scene, 10)
    times = [dial["t"] for dial in sim.record("dial")]
    assert len(times) == LIMIT == len(booked(stage))
    first = booked(stage)[0]
    for number, status in enumerate(settled, start=2):
        assert status["dials"] == [{"window": WINDOW, "used": min(number, LIMIT), "limit": LIMIT}]
        if number > LIMIT:
            assert status["state"] == "WAITING"
            # The truth at once, also while our own spacing of starts would end sooner.
            free = wall(status["cooldown_until"])
            assert first + WINDOW <= free <= first + WINDOW + MARGIN + 10, status
            assert re.search(r"cooling down until \d\d:\d\d:\d\d", status["reason"]["text"]), status
    cooling(scene, len(times))
    if long_run:
        until(lambda: len(sim.record("dial")) > LIMIT, WINDOW + PATIENCE)
        scene.until_state("feishu", "READY")
        assert most_within([dial["t"] for dial in sim.record("dial")], WINDOW) == LIMIT
    else:
        more_allowed(scene, LIMIT)


def cooling(scene: Scene, dials: int) -> None:
    """Everybody who asks is told the time, and nobody can force a dial."""
    shown = hermes(scene.stage, "status")
    assert shown.code == 1 and "cooling down until" in shown.out
    assert "cooling down until" in str(scene.gateway.get("/readyz")[1])
    asked = hermes(scene.stage, "adapters", "restart", "feishu")
    assert asked.code == 0 and "cooling down until" in asked.out, asked
    answer = scene.gateway.post("/api/adapters/feishu/restart")[1]
    assert answer["state"] == "WAITING" and answer["cooldown_until"], answer
    gevent.sleep(1)
    assert len(scene.sims["feishu"].record("dial")) == dials


def more_allowed(scene: Scene, dials: int) -> None:
    """A larger budget is the operator's own decision; it needs no restart of the process."""
    scene.change("feishu", dial_budget=[[LIMIT + 1, WINDOW]])
    assert hermes(scene.stage, "reload").code == 0
    assert hermes(scene.stage, "adapters", "restart", "feishu").code == 0
    scene.until_state("feishu", "READY")
    assert len(scene.sims["feishu"].record("dial")) == dials + 1


def test_without_a_limit_the_same_ten_kills_show_eleven_dials(stage, long_run, seed):
    scene = Scene(stage, platforms=("feishu",), files={"feishu": {"dial_budget": []}})
    restarts = 10 if long_run else 5
    settled = restart_often(scene, restarts)
    assert all(status["state"] == "READY" for status in settled)
    times = [dial["t"] for dial in scene.sims["feishu"].record("dial")]
    assert most_within(times, WINDOW) == restarts + 1 > LIMIT


def test_a_flapping_network_spends_the_budget_and_not_more(stage, long_run, seed):
    window = 2
    budget = {"supervisor": {"healthy_after": 0, "backoff_max": 0.2, "backoff_min": 0.1}}
    scene = Scene(stage, platforms=("feishu",), files={"feishu": {"dial_budget": [[3, window]]}}, gateway=budget)
    sim = scene.sims["feishu"]
    until_at = time.monotonic() + (60 if long_run else 5)
    while time.monotonic() < until_at:
        if sim.state()["links"]:
            sim.fault("rst")
        gevent.sleep(0.1)
    times, written = [dial["t"] for dial in sim.record("dial")], booked(stage)
    # How long a dial takes from its record to the platform is the machine's business, and at most the margin's.
    late = max(t - at for t, at in zip(times, written))
    assert len(times) > 3 and len(times) <= len(booked(stage)), times
    assert most_within(written, window) == 3 and most_within(times, window + MARGIN - late - 0.01) <= 3, times
    scene.until_state("feishu", "READY")


@pytest.mark.parametrize("replace", [False, True], ids=["stop and start", "replace"])
def test_orderly_restarts_and_replacements_are_counted_too(stage, seed, replace):
    scene = Scene(stage, platforms=("feishu",), files={"feishu": {"dial_budget": [[2, WINDOW]]}})
    for _ in range(2):
        if not replace:
            scene.gateway.kill(signal.SIGTERM)
        scene.gateway = stage.gateway(*(["--replace"] if replace else []))
        until(lambda: scene.state("feishu") in ("READY", "WAITING"))
    assert "cooling down until" in scene.until_state("feishu", "WAITING")["reason"]["text"]
    assert len(scene.sims["feishu"].record("dial")) == 2
