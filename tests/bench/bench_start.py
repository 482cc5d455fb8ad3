"""Start: from the spawn of the process to serving, and to the first answer of a message that was waiting.

Then where the time goes: the imports of the gateway process, the slowest by their own time.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import QUICK, Town, figure, median  # noqa: E402
from tests.support.stage import until  # noqa: E402

TIMES = 3 if QUICK else 5
SERVING, ANSWERED = 0.5, 1.0
# The simulated Feishu pushes again what nobody took, so often that a link is found at once.
AGAIN = ",".join(["0.02"] * 1000)


def start(town: Town, number: int) -> dict[str, float]:
    """One start while a message waits on Feishu and one on QQ."""
    texts = {sim: f"waiting {number} on {sim.platform}" for sim in (town.feishu, town.qq)}
    town.feishu.say(text=texts[town.feishu], chat="oc_start", user="ou_start")
    town.qq.say(text=texts[town.qq], chat="start", user="start")
    spawned = time.time()
    gateway = town.open(ready=False)
    found = {"serving": time.time() - spawned}
    for sim, text in texts.items():
        answer = until(lambda: [send for send in sim.sends() if send["text"].endswith(text)], 20)[0]
        found[sim.platform] = answer["t"] - spawned
    found["every child READY"] = time.time() - spawned
    gateway.kill(signal.SIGTERM)
    return found


def imports() -> None:
    """The share of each package in the imports of a gateway with Feishu and QQ, by their own time."""
    code = (
        "from gevent import monkey; monkey.patch_all(); import hermes_green.cli, hermes_green.app, "
        "hermes_green.adapters.feishu.adapter, hermes_green.adapters.qq.adapter"
    )
    lines = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    shares: Counter[str] = Counter()
    for line in lines:
        found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        if found:
            name = found[2].partition(".")[0]
            known = name in {"hermes_green", "gevent", "lark_oapi", "requests", "urllib3", "websocket", "yaml"}
            known = known or name in {"loguru", "prometheus_client", "pkg_resources", "zope"}
            shares[name if known else "standard library and others"] += int(found[1])
    print("  where the imports take their time (ms, with the cost of measuring):")
    print("   ", ", ".join(f"{name} {micros / 1000:.0f}" for name, micros in shares.most_common()))


def main() -> None:
    print(f"start: a gateway with Feishu, QQ and web, median of {TIMES}")
    with Town(feishu=["--redelivery", AGAIN]) as town:
        # Writes bytecode, and leaves a session that QQ keeps messages for.
        town.open().kill(signal.SIGTERM)
        runs = [start(town, number) for number in range(1, TIMES + 1)]
    figure("spawn to serving", median([run["serving"] for run in runs]), "s", SERVING)
    for name in ("feishu", "qq"):
        figure(f"spawn to the first answer on {name}", median([run[name] for run in runs]), "s", ANSWERED)
    imports()


if __name__ == "__main__":
    main()
