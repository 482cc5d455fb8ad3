"""Flood: one platform pushes without pause and without regard to acknowledgements; how late is everybody else?

Three views: the gateway's own timer (50 ms, the status says its worst lateness), the heartbeats of
the sibling as the sibling's platform sees them, and the page's answer to a question. The same
without a flood stands beside it: what is late there is the machine's doing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import gevent

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import QUICK, Blaster, Town, cpu_of, figure, quantile  # noqa: E402
from tests.support.stage import Gateway, http  # noqa: E402

SECONDS = 4.0 if QUICK else 8.0
BEAT = 0.2
AIM = 25.0


def watch(gateway: Gateway, seconds: float) -> tuple[list[float], float]:
    """Milliseconds that the page's status takes, time and again, and the worst lateness it told."""
    until, asked, worst = time.monotonic() + seconds, [], 0.0
    while time.monotonic() < until:
        began = time.perf_counter()
        worst = max(worst, gateway.status()["hub_lag_ms"])
        asked.append((time.perf_counter() - began) * 1000)
        time.sleep(0.1)
    return asked, worst


def late_beats(town: Town, since: float) -> list[float]:
    """By how many milliseconds the sibling's heartbeats were further apart than they should be."""
    beats = [entry["t"] for entry in town.qq.record("beat") if entry["t"] > since]
    return [(after - before - BEAT) * 1000 for before, after in zip(beats, beats[1:])]


def lag_of(gateway: Gateway) -> dict[str, float]:
    """The histogram of the hub's lateness: how many samples up to which bound."""
    lines = str(gateway.get("/metrics")[1]).splitlines()
    found = [line for line in lines if line.startswith("hermes_green_hub_lag_seconds_bucket")]
    return {line.split('le="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in found}


def measure(name: str, town: Town, gateway: Gateway, **blast: Any) -> None:
    """One kind of flood; ``blast`` empty: none."""
    gevent.sleep(6)  # the status looks back 5 s
    since, cpu, before = time.time(), cpu_of(gateway.pid), lag_of(gateway)
    flood = gevent.get_hub().threadpool.spawn(town.feishu.blast, seconds=SECONDS, **blast) if blast else None
    asked, worst = watch(gateway, SECONDS + 2)
    after = lag_of(gateway)
    counts = {bound: after[bound] - before[bound] for bound in after}
    told = flood.get() if flood is not None else {}
    print(f"{name}:", f"{told['sent']} pushed, {told['acked']} acknowledged," if told else "", end=" ")
    print(f"gateway's CPU {(cpu_of(gateway.pid) - cpu) / (SECONDS + 2) * 100:.0f} %")
    figure("hub lag, worst (status)", worst, "ms", AIM)
    over = counts["+Inf"] - counts["0.025"]
    figure("hub lag, samples above 25 ms", over, "", None, f"of {counts['+Inf']:.0f}")
    beats = late_beats(town, since)
    figure("sibling's heartbeat, latest", max(beats), "ms", AIM, f"of {len(beats)}, seen by its platform")
    figure("the page's status, p99", quantile(asked, 0.99), "ms")


def main() -> None:
    print(f"flood: {SECONDS:g} s on Feishu; its sibling QQ beats every {BEAT:g} s")
    with Town(qq=["--heartbeat-interval", str(BEAT)], blaster=True) as town:
        gateway = town.open()
        assert isinstance(town.feishu, Blaster)
        assert http("GET", gateway.url + "/healthz")[0] == 200
        measure("no flood", town, gateway)
        measure("events that nobody handles", town, gateway, count=10**9, kind="reaction")
        measure("messages in 50 chats", town, gateway, count=10**9)
        print(f"  afterwards: links {len(town.feishu.state()['links'])}, status {gateway.child('feishu')['state']}")


if __name__ == "__main__":
    main()
