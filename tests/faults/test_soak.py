"""All children under load and rotating faults: what should be flat is flat, and nothing is lost.

A slice of seconds by default; ``scripts/soak.sh MINUTES`` for as long as wanted. The slopes are printed, with
what grew, and how much was logged.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Sequence

import gevent
import psutil

from tests.support.load import Load
from tests.support.scene import Scene
from tests.support.six import KEYED, PLATFORMS, RESENDS, six
from tests.support.stage import until

MINUTES = float(os.environ.get("HERMES_GREEN_SOAK_MINUTES", "0.05"))
RATE = float(os.environ.get("HERMES_GREEN_SOAK_RATE", "20"))
EVERY = 3.0  # seconds between two faults
WARM = 0.4  # of the run: what it takes until caches are full is no slope
NAMES = ("memory MB", "descriptors", "threads", "greenlets")
# What a platform that sends nothing twice has lost in the gaps that our faults cut is none of our doing.
ALL_ANSWERED = 120.0
# Flat is: when the load is over there are no more of these than at the start, but for so many. Idle connections to
# APIs, the last that goes, stay for less than a minute.
SPARE = {"descriptors": 10.0, "threads": 5.0, "greenlets": 10.0}
AT_REST = 100.0
# And memory, which caches and fragments make uneven, has grown by no more after the warm-up; asked of runs long enough.
GROWTH_MB, LONG = 6.0, 10.0
PAGE_EVERY = 2.0  # seconds between two messages of the page's own chat


@dataclass
class Gauges:
    """Samples of one process over time."""

    process: psutil.Process
    control: Path
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    types: list[Counter[str]] = field(default_factory=list)  # objects by type, of each sample

    def sample(self) -> None:
        live = self.control.with_suffix(".live")
        live.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        until(live.exists, what="the count of greenlets")
        told = json.loads(live.read_text())
        values = (
            self.process.memory_info().rss / 1e6,
            self.process.num_fds(),
            self.process.num_threads(),
            told["greenlets"],
        )
        self.samples.append((time.monotonic(), dict(zip(NAMES, map(float, values)))))
        self.types.append(Counter(told["types"]))

    @property
    def warm(self) -> int:
        """The first sample after the warm-up."""
        began, ended = self.samples[0][0], self.samples[-1][0]
        return next(n for n, (at, _) in enumerate(self.samples) if at >= began + WARM * (ended - began))

    def grown(self) -> str:
        """What there is more of at the end than after the warm-up, by type."""
        more = self.types[-1] - self.types[self.warm]
        return ", ".join(f"{kind} {self.types[self.warm][kind]}+{n}" for kind, n in more.most_common(8))

    def slope(self, name: str) -> tuple[float, float, float]:
        """The value after the warm-up, the last, and the growth per hour in between (least squares)."""
        settled = [(at, values[name]) for at, values in self.samples[self.warm :]]
        middle = sum(at for at, _ in settled) / len(settled)
        mean = sum(value for _, value in settled) / len(settled)
        spread = sum((at - middle) ** 2 for at, _ in settled) or 1.0
        steep = sum((at - middle) * (value - mean) for at, value in settled) / spread
        return settled[0][1], settled[-1][1], steep * 3600


def faults_of(scene: Scene) -> Sequence[Callable[[], Any]]:
    """One of each kind that a link, an API or a network may have; ``seconds`` ends what lasts."""
    sims = list(scene.sims.values())
    lasting = ("half_open", "mute_acks", "stop_reading")
    deeds: list[Callable[[], Any]] = []
    for sim in sims:
        deeds += [lambda sim=sim: sim.fault("rst"), lambda sim=sim: sim.fault("fin")]
        deeds += [lambda sim=sim: sim.fault("close", code=1000, reason="soak")]
        deeds += [lambda sim=sim, name=name: sim.fault(name, seconds=4) for name in lasting]
        deeds += [lambda sim=sim: sim.fault("slow", delay=0.5, seconds=4)]
        deeds += [lambda sim=sim: sim.fault("refuse", status=503, seconds=3)]
        deeds += [lambda sim=sim: sim.fault("429", after=0.5, count=2)]
        deeds += [lambda sim=sim: sim.fault("duplicate", count=2), lambda sim=sim: sim.fault("redeliver")]
    return deeds


def test_memory_descriptors_greenlets_and_threads_stay_flat_under_load_and_rotating_faults(stage, seed) -> None:
    stage.program, control = "tests.support.faulty", stage.home / "control"
    stage.env = {"HERMES_GREEN_FAULTY": str(control)}
    model = stage.model()
    model.behave(delay=0.02)
    routes = [{"child": "slack", "agent": {"type": "python", "target": "tests.support.hostile:answer"}}]
    agent = {"type": "openai", "base_url": model.url, "model": "test", "history_turns": 2}
    off = {name: {"streaming": "off"} for name in PLATFORMS if name != "wecom"}
    limits = {
        "telegram": ("--account-rate", "0", "--chat-rate", "0"),
        "wecom": ("--rate-minute", "0", "--rate-hour", "0"),
    }
    files = {name: {**off.get(name, {})} for name in PLATFORMS}
    gateway = {"agent": agent, "routes": routes, "log": {"format": "json"}}
    scene = six(stage, beat=1.0, timeout=2.0, gateway=gateway, files=files, arguments=limits)
    gauges = Gauges(psutil.Process(scene.gateway.pid), control)
    draw = random.Random(seed)
    load = Load(list(scene.sims.values()), chats=120, messages=0, rate=RATE, seed=seed)
    ends = time.monotonic() + MINUTES * 60

    asked: list[str] = []

    def page() -> None:
        while time.monotonic() < ends:
            asked.append(f"page {len(asked)}")
            assert scene.gateway.post("/api/chat", {"text": asked[-1], "chat": "soak"})[0] == 202
            gevent.sleep(PAGE_EVERY)

    def users() -> None:
        while time.monotonic() < ends:
            load.messages += 20
            load.more(20)

    def troubles() -> None:
        deeds = list(faults_of(scene))
        while time.monotonic() < ends - 5:
            draw.shuffle(deeds)
            for deed in deeds:
                if time.monotonic() >= ends - 5:
                    return
                deed()
                gevent.sleep(EVERY)

    work = [gevent.spawn(each) for each in (users, troubles, page)]
    gauges.sample()
    while time.monotonic() < ends:
        # Each look stops the gateway for a moment: few of them.
        gevent.sleep(max(0.25, MINUTES * 60 / 30))
        gauges.sample()
    gevent.joinall(work, raise_error=True)
    for sim in scene.sims.values():
        sim.clear()
    report(scene, load, gauges)
    answers_on_the_page(scene, asked)


def answers_on_the_page(scene: Scene, asked: Sequence[str]) -> None:
    """The newest of them, each once and in order."""
    lines = scene.gateway.get("/api/chat?chat=soak&limit=1000")[1]["lines"]
    said = [line["text"] for line in lines if line["text"].startswith("echo: ")]
    wanted = [f"echo: {text}" for text in asked][-len(said) :]
    print(f"on the page   {len(asked)} asked, of the newest {len(said)} answers all in order: {said == wanted}")
    assert said == wanted and len(said) >= min(len(asked), 400)


def at_rest(gauges: Gauges) -> dict[str, float]:
    """What there is more of than at the start, once that is all or as soon as it is within what is spared."""
    before, until_at = gauges.samples[0][1], time.monotonic() + AT_REST
    while True:
        gauges.sample()
        more = {name: gauges.samples[-1][1][name] - before[name] for name in SPARE}
        if time.monotonic() >= until_at or all(more[name] <= SPARE[name] for name in SPARE):
            return more
        gauges.samples.pop()
        gauges.types.pop()
        gevent.sleep(5)


def report(scene: Scene, load: Load, gauges: Gauges) -> None:
    """Print the figures; hold what is promised."""
    scene.gateway.until_ready()
    settled = time.monotonic() + ALL_ANSWERED
    while on(RESENDS, load.faults()["lost"]) and time.monotonic() < settled:
        gevent.sleep(1)
    gevent.sleep(2)
    gauges.sample()
    grown = gauges.slope("memory MB")[2] / 3600 * (gauges.samples[-1][0] - gauges.samples[gauges.warm][0])
    more = at_rest(gauges) if MINUTES >= 1 else {}
    faults = load.faults()
    rate = load.messages / MINUTES / 60
    print(f"\n{MINUTES:g} minutes, {load.messages} messages ({rate:.1f}/s), {len(PLATFORMS)} platforms")
    print(f"{'':14}{'start':>10}{'warm':>10}{'end':>10}{'per hour':>12}")
    for name in NAMES:
        first, last, steep = gauges.slope(name)
        print(f"{name:14}{gauges.samples[0][1][name]:10.1f}{first:10.1f}{last:10.1f}{steep:+12.1f}")
    print(f"at rest       {more}")
    print(f"more objects  {gauges.grown()}")
    for kind, cases in faults.items():
        counts = {name: len(on((name,), cases)) for name in PLATFORMS}
        print(f"{kind:14}" + "  ".join(f"{name} {count}" for name, count in counts.items()))
    losses = {child["id"]: child["losses"] for child in scene.gateway.status()["children"]}
    print(f"links lost    {losses}")
    lines = Counter((line["level"], line["module"]) for line in scene.log())
    told = ", ".join(f"{module} {level} {n}" for (level, module), n in lines.most_common(8))
    print(f"log           {scene.gateway.log.stat().st_size / 1e6:.2f} MB, {lines.total()} lines: {told}")
    print(f"restarts      {sum(child['restarts'] for child in scene.gateway.status()['children'])}")
    assert not on(RESENDS, faults["lost"]), on(RESENDS, faults["lost"])[:5]
    assert not on(KEYED, faults["twice"]), on(KEYED, faults["twice"])[:5]
    assert not faults["out of order"], faults["out of order"][:2]
    assert scene.gateway.popen.poll() is None
    assert rate > 0.9 * RATE or MINUTES < 1, "the load was not what it should be"
    # In seconds nothing comes to rest: then only what is beyond all measure shows.
    started, spare = gauges.samples[0][1], {"descriptors": 200.0, "threads": 20.0}
    assert all(gauges.slope(name)[1] <= started[name] + most for name, most in spare.items())
    assert all(count <= SPARE[name] for name, count in more.items()), f"not flat: {more}"
    assert grown <= GROWTH_MB or MINUTES < LONG, f"memory has grown by {grown:.1f} MB"


def on(platforms: Sequence[str], cases: Sequence[str]) -> list[str]:
    return [case for case in cases if case.split()[0] in platforms]
