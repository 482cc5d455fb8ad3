"""Links of all six platforms that are up and deaf: noticed in time, replaced, and no sibling hurt.

The deadlines are the platforms' own at a twentieth of their length; the table is printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gevent

from tests.support.pulse import Pulse
from tests.support.scene import Scene
from tests.support.six import six
from tests.support.stage import until

SCALE = 20
# Seconds (8 in earnest) for processes that share two cores with others, beside what the machine is seen to be late by.
GRACE = 0.4


@dataclass(frozen=True, slots=True)
class Line:
    """One platform's beat and deadline as it is in earnest, in seconds."""

    interval: float
    timeout: float
    deadline: float

    def keys(self, platform: str) -> dict[str, float]:
        """The keys of the platform's file, scaled; a poll waits for whole seconds."""
        interval = self.interval / SCALE
        return {
            "ping_interval": math.ceil(interval) if platform == "telegram" else interval,
            "ping_timeout": self.timeout / SCALE,
        }

    def due(self, platform: str) -> float:
        """Seconds in which the scaled link must be noticed."""
        rounding = self.keys(platform)["ping_interval"] - self.interval / SCALE
        return self.deadline / SCALE + rounding


@dataclass(frozen=True, slots=True)
class Row:
    """After how many seconds a fault was noticed, when it was due, and how late the machine was meanwhile."""

    platform: str
    fault: str
    took: float
    due: float
    machine: float


LINES = {
    "feishu": Line(20, 20, 40),
    "qq": Line(45, 45, 90),
    "wecom": Line(30, 30, 75),
    "dingtalk": Line(45, 45, 90),
    "telegram": Line(50, 10, 60),
    "slack": Line(20, 15, 35),
}
# What hides behind the kit's words: half_open, a wire that is dead; mute_acks, a peer that answers no
# beat (on the platform that is polled, a poll that hangs); unsubscribe, a subscription that is gone.
CASES = [
    ("half_open", ("feishu", "wecom", "slack")),
    ("half_open", ("qq", "dingtalk", "telegram")),
    ("mute_acks", ("feishu", "wecom", "slack")),
    ("mute_acks", ("qq", "dingtalk", "telegram")),
]
SHORT = [CASES[0], CASES[3]]


def test_every_deaf_link_is_noticed_in_time_and_replaced_and_no_sibling_is_touched(
    stage, long_run, seed, pulse
) -> None:
    files = {name: line.keys(name) for name, line in LINES.items()}
    gateway = {"log": {"format": "json"}}
    scene = six(stage, files=files, gateway=gateway, arguments={"qq": ("--heartbeat-interval", "2.25", "--late", "12")})
    rows: list[Row] = []
    for number in range(5 if long_run else 1):
        for fault, platforms in CASES if long_run else SHORT:
            rows += deafened(scene, pulse, fault, platforms, number)
        rows.append(unsubscribed(scene, pulse))
    print(f"\n{'platform':10}{'fault':14}{'noticed after':>15}{'deadline/20':>14}{'machine late':>14}")
    for row in rows:
        print(f"{row.platform:10}{row.fault:14}{row.took:13.2f} s{row.due:12.2f} s{row.machine:12.2f} s")
    late = [row for row in rows if row.took > row.due + GRACE + row.machine]
    assert not late, late
    for name, sim in scene.sims.items():
        assert sim.record("violation") == [], name


def lost_at(scene: Scene, platform: str, since: float) -> float:
    """When the gateway gave the link up, by its own log."""
    lines = scene.log(since, child=platform)
    return float(next(line["t"] for line in lines if line["message"].startswith("READY -> WAITING")))


def deafened(scene: Scene, pulse: Pulse, fault: str, platforms: tuple[str, ...], number: int) -> list[Row]:
    """Three links go deaf at once, the other three must not notice; what is asked meanwhile is answered."""
    before = {child["id"]: child for child in scene.gateway.status()["children"]}
    others = {name: sim.state()["links"] for name, sim in scene.sims.items() if name not in platforms}
    began: dict[str, float] = {}
    for name in platforms:
        began[name] = scene.sims[name].fault_at(fault)
    lost: set[str] = set()

    def noticed() -> bool:
        for child in scene.gateway.status()["children"]:
            if child["id"] in began and child["losses"] > before[child["id"]]["losses"] and child["id"] not in lost:
                lost.add(child["id"])
                scene.sims[child["id"]].clear()  # or the next link would be deaf as well
        return len(lost) == len(platforms)

    try:
        until(noticed)
    except AssertionError:
        raise AssertionError(f"{fault}: noticed only {lost} of {platforms}") from None
    for name in platforms:
        scene.until_state(name, "READY")
        text = f"after {fault} {number} on {name}"
        chat = f"{fault}{number}"
        scene.say(name, chat, text)
        scene.expect(name, chat, [text], settle=0)
    for name, links in others.items():
        assert scene.sims[name].state()["links"] == links, f"{name} lost its link beside {platforms}"
        assert scene.gateway.child(name)["losses"] == before[name]["losses"]
    rows = []
    for name, at in began.items():
        given_up = lost_at(scene, name, at)
        rows.append(Row(name, fault, given_up - at, LINES[name].due(name), pulse.late(at, given_up)))
    return rows


def unsubscribed(scene: Scene, pulse: Pulse) -> Row:
    """The one platform whose subscription can be lost while the socket and its beats stay."""
    sim = scene.sims["wecom"]

    def subscriptions() -> list[Any]:
        return [entry for entry in sim.record("subscribe") if entry["code"] == 0]

    known = len(subscriptions())
    began = sim.fault_at("unsubscribe")
    until(lambda: len(subscriptions()) > known, what="another subscription")
    again = subscriptions()[known]["t"]
    gevent.sleep(0.2)
    scene.until_state("wecom", "READY")
    return Row("wecom", "unsubscribe", again - began, LINES["wecom"].due("wecom"), pulse.late(began, again))
