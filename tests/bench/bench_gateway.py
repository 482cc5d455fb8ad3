"""Gateway: how many messages a second it takes in durably, and what it adds to a warm turn.

Taking in: WebSocket frame, parsing, commit, acknowledgement, in a process of its own, against the same
without a store. Latency: from a platform's push to the platform's receipt of the answer; the agent is
`echo`, whose own time is nothing. Beside it stands the same way without a gateway behind it: the
same adapter, which answers from its reader at once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import QUICK, Blaster, Page, Town, cpu_of, figure, median, quantile  # noqa: E402
from tests.support.stage import Process, Sim, credentials, until  # noqa: E402

TURNS = 100 if QUICK else 300
WARM = 20
PAUSE = 0.02
AIMS = (3.0, 15.0)
BURST = 5_000 if QUICK else 10_000
ROUNDS = 3
WINDOW = 500


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


def plain(town: Town, sim: Sim, how: str) -> Process:
    """An adapter in a process of its own, without a gateway; see `_plain`."""
    argv = [sys.executable, "-m", "tests.bench._plain", sim.platform, json.dumps(credentials(sim)), how, str(town.home)]
    return Process(argv, r"^plain ready (\S+)", town.home / "plain.log")


def end(process: Process, sim: Sim) -> None:
    process.kill()
    process.popen.stdout.close()
    until(lambda: not sim.state()["links"], 10)


def intake() -> None:
    """Messages a second, durable against not kept."""
    print(f"taking in: {ROUNDS} x {BURST} Feishu messages, at most {WINDOW} not yet acknowledged")
    rates, cpus = {}, {}
    with Town(blaster=True) as town:
        assert isinstance(town.feishu, Blaster)
        for how in ("take", "keep"):
            process = plain(town, town.feishu, how)
            town.feishu.blast(count=1_000, window=WINDOW)
            before, runs = cpu_of(process.pid), []
            for _ in range(ROUNDS):
                told = town.feishu.blast(count=BURST, window=WINDOW, seconds=30)
                assert told["acked"] == told["sent"] == BURST, told
                runs.append(told["sent"] / told["seconds"])
            rates[how], cpus[how] = median(runs), (cpu_of(process.pid) - before) / ROUNDS / BURST
            end(process, town.feishu)
    for how, name in (("take", "parsed and acknowledged, not kept"), ("keep", "parsed, committed, acknowledged")):
        figure(name, rates[how], "/s", None, f"{cpus[how] * 1e6:.0f} us CPU each")
    figure("durable against not kept", rates["keep"] / rates["take"], "x")


def without_gateway(town: Town, sim: Sim) -> float:
    """The median of the plain way."""
    process = plain(town, sim, "answer")
    turns(sim, WARM)
    before = cpu_of(process.pid)
    whole, _ = turns(sim, TURNS // 2)
    cpu = (cpu_of(process.pid) - before) / len(whole)
    end(process, sim)
    figure(f"{sim.platform} without a gateway, p50", median(whole), "ms", None, f"{cpu * 1000:.2f} ms CPU each")
    return median(whole)


def show(name: str, times: list[float], cpu: float, without: float = 0.0) -> None:
    note = f"{cpu * 1000:.2f} ms CPU each"
    if without:
        note += f", {median(times) / without:.1f} x without a gateway"
    figure(f"{name}, p50 of {len(times)}", median(times), "ms", AIMS[0], note)
    figure(f"{name}, p99", quantile(times, 0.99), "ms", AIMS[1])


def latency() -> None:
    """Push to answer, on each platform."""
    print(f"latency added to a warm turn (echo agent), {TURNS} turns a platform")
    with Town(qq=["--identify-interval", "0.1"]) as town:
        without = {sim.platform: without_gateway(town, sim) for sim in (town.feishu, town.qq)}
        gateway = town.open()
        for sim in (town.feishu, town.qq):
            turns(sim, WARM)
            before = cpu_of(gateway.pid)
            whole, acks = turns(sim, TURNS)
            cpu = (cpu_of(gateway.pid) - before) / TURNS
            show(sim.platform, whole, cpu, without[sim.platform])
            if sim is town.feishu:
                figure("feishu, push to ack (committed), p50", median(acks), "ms")
            assert not sim.record("violation"), sim.record("violation")
        page = Page(gateway.url)
        [page.turn(f"warm {number}") for number in range(WARM)]
        before, times = cpu_of(gateway.pid), []
        for number in range(TURNS):
            times.append(page.turn(f"turn {number}") * 1000)
            time.sleep(PAUSE)
        show("web", times, (cpu_of(gateway.pid) - before) / TURNS)
        page.close()


def main() -> None:
    intake()
    latency()


if __name__ == "__main__":
    main()
