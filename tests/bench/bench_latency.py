"""Latency: what the gateway adds to a warm turn, from a platform's push to the platform's receipt of the answer.

The agent is `echo`, whose own time is nothing. Beside it stands the same way without a gateway behind
it: the same adapter, which answers from its reader at once, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import QUICK, Page, Town, cpu_of, figure, median, quantile  # noqa: E402
from tests.support.stage import Process, Sim, credentials, until  # noqa: E402

TURNS = 100 if QUICK else 300
WARM = 20
PAUSE = 0.02
AIMS = (3.0, 15.0)


def turns(sim: Sim, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from push to answer and from push to ack, a turn at a time."""
    kind = "send"
    for number in range(count):
        chat = f"{'oc_' if sim.platform == 'feishu' else ''}bench{number % 50}"
        seen = len(sim.record(kind))
        sim.say(text=f"turn {number}", chat=chat, user="ou_bench" if sim.platform == "feishu" else chat)
        deadline = time.monotonic() + 10
        while len(sim.record(kind)) <= seen:
            assert time.monotonic() < deadline, f"no answer to turn {number}"
            time.sleep(0.004)
        time.sleep(PAUSE)
    pushes = [entry["t"] for entry in sim.record("push")][-count:]
    answers = [entry["t"] for entry in sim.record(kind)][-count:]
    acks = [entry["t"] for entry in sim.record("ack")][-count:]
    whole = [(answer - push) * 1000 for push, answer in zip(pushes, answers)]
    return whole, [(ack - push) * 1000 for push, ack in zip(pushes, acks)]


def without_gateway(town: Town, sim: Sim) -> float:
    """The median of the plain way."""
    argv = [sys.executable, "-m", "tests.bench._plain", sim.platform, json.dumps(credentials(sim))]
    process = Process(argv, r"^plain ready (\S+)", town.home / "plain.log")
    try:
        turns(sim, WARM)
        before = cpu_of(process.pid)
        whole, _ = turns(sim, TURNS // 2)
        cpu = (cpu_of(process.pid) - before) / len(whole)
    finally:
        process.kill()
        process.popen.stdout.close()
    until(lambda: not sim.state()["links"], 10)
    figure(f"{sim.platform} without a gateway, p50", median(whole), "ms", None, f"{cpu * 1000:.2f} ms CPU each")
    return median(whole)


def show(name: str, times: list[float], cpu: float = 0.0, plain: float = 0.0) -> None:
    note = f"{cpu * 1000:.2f} ms CPU each" if cpu else ""
    if plain:
        note += f", {median(times) / plain:.1f} x the plain way"
    figure(f"{name}, p50 of {len(times)}", median(times), "ms", AIMS[0], note)
    figure(f"{name}, p99", quantile(times, 0.99), "ms", AIMS[1])


def main() -> None:
    print(f"latency added to a warm turn (echo agent), {TURNS} turns a platform")
    with Town() as town:
        plain = {sim.platform: without_gateway(town, sim) for sim in (town.feishu, town.qq)}
        gateway = town.open()
        for sim in (town.feishu, town.qq):
            turns(sim, WARM)
            before = cpu_of(gateway.pid)
            whole, acks = turns(sim, TURNS)
            cpu = (cpu_of(gateway.pid) - before) / TURNS
            show(sim.platform, whole, cpu, plain[sim.platform])
            if sim is town.feishu:
                figure(f"  push to ack (committed), p50", median(acks), "ms")
            assert not sim.record("violation"), sim.record("violation")
        page = Page(gateway.url)
        [page.turn(f"warm {number}") for number in range(WARM)]
        before, times = cpu_of(gateway.pid), []
        for number in range(TURNS):
            times.append(page.turn(f"turn {number}") * 1000)
            time.sleep(PAUSE)
        show("web", times, (cpu_of(gateway.pid) - before) / TURNS)
        page.close()


if __name__ == "__main__":
    main()
