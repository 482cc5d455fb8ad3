"""A platform that is dialled too often goes on to look well and routes nothing: the budget keeps it from that.

The simulator stops routing at the fifth connection within two minutes, as DingTalk was seen to do.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from hermes_green.ops.ledger import MARGIN
from tests.support.scene import QUICK, Scene, booked, hermes, kill_linked
from tests.support.stage import Stage, until

RESTARTS, LIMIT, WINDOW = 10, 4, 120.0  # the limit and the window are the adapter's own
CALM = ("READY", "WAITING")


def begin(stage: Stage, **keys: Any) -> tuple[Scene, Any]:
    """A gateway whose model says nothing until it is told to."""
    model = stage.model()
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    gateway = {"agent": agent, "supervisor": QUICK, "turns": {"poison_limit": 1000}}
    stuck = ("--stuck-opens", str(LIMIT + 1), "--stuck-window", str(WINDOW))
    files, arguments = {"dingtalk": keys}, {"dingtalk": stuck}
    return Scene(stage, platforms=("dingtalk",), gateway=gateway, files=files, arguments=arguments), model


def restart(scene: Scene) -> dict[str, Any]:
    """kill -9, another process, and its child's status once that has settled."""
    kill_linked(scene.stage, scene.gateway, "dingtalk")
    scene.gateway = scene.stage.gateway()
    child: dict[str, Any] = until(lambda: (c := scene.gateway.child("dingtalk"))["state"] in CALM and c)
    return child


def test_ten_kills_within_two_minutes_spend_the_budget_and_leave_the_platform_routing(stage, long_run, seed) -> None:
    scene, model = begin(stage)
    sim = scene.sims["dingtalk"]
    model.behave(hang=True)
    scene.say("dingtalk", "earlier", "earlier")
    until(lambda: scene.gateway.status()["turns"] == 1, what="a turn")
    until(lambda: sim.record("ack"), what="its acknowledgement")
    began = time.monotonic()
    for number in range(RESTARTS):
        if number == RESTARTS - 1:
            model.behave(hang=False)
        child = restart(scene)
    assert time.monotonic() - began < WINDOW
    dials = [dial["t"] for dial in sim.record("dial")]
    print(f"{RESTARTS} kills in {time.monotonic() - began:.0f} s, {len(dials)} dials")
    assert len(dials) <= LIMIT and sim.state()["stuck"] == 0
    told(scene, child, dials)
    until(lambda: scene.texts("dingtalk", "earlier"), what="the answer to an earlier chat")
    assert scene.texts("dingtalk", "earlier") == ["echo: earlier"]
    assert scene.state("dingtalk") == "WAITING" and len(sim.record("dial")) == len(dials), "no link was needed"
    if not long_run:
        # A larger budget is the operator's own decision; the simulator stays below its limit.
        scene.change("dingtalk", dial_budget=[[LIMIT + 1, WINDOW]])
        assert hermes(stage, "reload").code == 0
        assert hermes(stage, "adapters", "restart", "dingtalk").code == 0
    scene.until_state("dingtalk", "READY", WINDOW + 60)
    if long_run:
        assert sim.record("dial")[-1]["t"] >= dials[0] + WINDOW
    assert sim.state()["stuck"] == 0
    scene.say("dingtalk", "after", "after")
    scene.expect("dingtalk", "after", ["echo: after"])
    assert sim.record("lost") == []


def told(scene: Scene, child: dict[str, Any], dials: list[float]) -> None:
    """Everybody who looks is told until when."""
    assert child["state"] == "WAITING" and not child["suspect"], child
    free = datetime.fromisoformat(child["cooldown_until"].replace("Z", "+00:00")).timestamp()
    first = booked(scene.stage)[0]
    assert first + WINDOW <= free <= first + WINDOW + MARGIN + 10, (child, dials)
    assert f"cooling down until {datetime.fromtimestamp(free):%H:%M}" in child["reason"]["text"], child
    assert scene.metric("dials_total", child="dingtalk", outcome="refused") >= 1
    assert "WAITING: cooling down until" in scene.gateway.log.read_text()


def test_without_the_budget_the_same_kills_make_it_deaf(stage, seed) -> None:
    scene, _ = begin(stage, dial_budget=[])
    sim = scene.sims["dingtalk"]
    for _ in range(RESTARTS):
        restart(scene)
        scene.until_state("dingtalk", "READY")
    assert sim.state()["stuck"] > 0, "the control: it is the budget that helps"
    scene.say("dingtalk", "deaf", "can you hear me?")
    until(lambda: sim.record("lost"), what="a message lost for good")
    assert scene.state("dingtalk") == "READY", "nothing but silence shows it"


@pytest.mark.parametrize("heard", [False, True], ids=["nothing came", "a message came"])
def test_a_burst_without_a_message_makes_it_suspect_for_whoever_asks_and_in_every_process(stage, seed, heard) -> None:
    scene, _ = begin(stage, dial_budget=[[2, WINDOW]])
    if heard:
        scene.say("dingtalk", "before", "before")
        scene.expect("dingtalk", "before", ["echo: before"], settle=0)
    for _ in range(2):
        child = restart(scene)
    assert child["state"] == "WAITING" and child["suspect"] is not heard, child
    child = restart(scene)
    dial = booked(stage)[-1]
    free = datetime.fromisoformat(child["cooldown_until"].replace("Z", "+00:00")).timestamp()
    print(f"suspect: {child['suspect']}; free {free - dial:.0f} s after the last dial; {child['reason']}")
    assert child["suspect"] is not heard
    if heard:
        assert free < dial + WINDOW + MARGIN + 10
        return
    assert dial + 299 <= free <= dial + 300 + MARGIN + 10, "five minutes, in which nothing is dialled"
    assert "developer console" in child["reason"]["action"], "the other remedy"
    assert "Stream" in child["reason"]["zh"]["action"] and "冷却至" in child["reason"]["zh"]["text"], child["reason"]
    asked = hermes(stage, "adapters", "restart", "dingtalk")
    assert asked.code == 0 and "cooling down until" in asked.out, asked
    assert scene.gateway.get("/readyz")[1]["not_ready"][0]["child"] == "dingtalk"
