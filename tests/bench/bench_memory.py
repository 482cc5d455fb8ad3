"""Memory: what an idle gateway with Feishu, QQ and the web chat keeps for itself (USS), and what holds it.

USS is what would be free again if the process ended. The second table loads the same modules one after
the other in a fresh process; the rest is what running costs: greenlets, threads, SQLite's cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._town import MB, QUICK, Page, Town, cpu_of, figure  # noqa: E402
from tests.support.stage import until  # noqa: E402

IDLE = 10 if QUICK else 60
AIM = 60.0
STEPS = {
    "python": "pass",
    "gevent, patched": "from gevent import monkey; monkey.patch_all()",
    "loguru": "import loguru",
    "yaml": "import yaml",
    "prometheus_client": "import prometheus_client",
    "sqlite3, ssl, http": "import sqlite3, ssl, http.client, gevent.pywsgi",
    "requests": "import requests",
    "websocket-client": "import websocket",
    "the gateway itself": "import hermes_green.cli, hermes_green.app",
    "Feishu": "import hermes_green.adapters.feishu.adapter",
    "QQ": "import hermes_green.adapters.qq.adapter",
}


def uss(pid: int) -> float:
    """MB."""
    return float(psutil.Process(pid).memory_full_info().uss) / MB


def talk(town: Town, page: Page) -> None:
    """One turn on each, so that nothing is counted that has never been used."""
    town.feishu.say(text="hello", chat="oc_memory", user="ou_memory")
    town.qq.say(text="hello", chat="memory", user="memory")
    page.turn("hello")
    for sim in (town.feishu, town.qq):
        until(sim.sends, 10)


def modules() -> None:
    """USS after each step of loading."""
    code = f"""
import json, os
found = {{}}
def uss():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
for name, step in {STEPS!r}.items():
    exec(step)
    found[name] = uss()
print(json.dumps(found))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    print("  where it goes (MB, each with what it brings along and nobody before it brought):")
    before = 0.0
    for name, now in json.loads(answer).items():
        print(f"    {name:24} {now - before:6.1f}")
        before = now
    print(f"    {'all of it, loaded':24} {before:6.1f}")


def main() -> None:
    print(f"memory: Feishu, QQ and web, {IDLE} s idle" + (" (the aim is for 60 s)" if QUICK else ""))
    with Town() as town:
        gateway = town.open()
        page = Page(gateway.url)
        talk(town, page)
        page.close()
        cpu = cpu_of(gateway.pid)
        time.sleep(IDLE)
        figure("private memory, idle", uss(gateway.pid), "MB", AIM)
        figure("CPU while idle", (cpu_of(gateway.pid) - cpu) / IDLE * 100, "%")
        figure("threads", psutil.Process(gateway.pid).num_threads(), "")
    if sys.platform == "linux":
        modules()


if __name__ == "__main__":
    main()
