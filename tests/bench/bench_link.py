"""Link: frames a second against websocket-client's own recv, cost of paced frames, hub lag under a flood."""

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Callable  # noqa: E402

import gevent  # noqa: E402
import websocket  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from hermes_green.agents import registry  # noqa: E402
from hermes_green.agents.yard import Yard  # noqa: E402
from hermes_green.core.model import Secret, Turn  # noqa: E402
from hermes_green.link.http import Http  # noqa: E402
from hermes_green.link.trust import trust  # noqa: E402
from hermes_green.link.websocket import dial  # noqa: E402
from hermes_green.settings.schema import OpenaiAgent  # noqa: E402
from tests.bench.flood import Flood  # noqa: E402
from tests.support.wsserver import WsServer, echo  # noqa: E402

SECONDS = 2.0


def ours(url: str) -> int:
    return sum(1 for _ in dial(url).frames())


def together(urls: list[str]) -> int:
    return sum(job.get() for job in [gevent.spawn(ours, url) for url in urls])


def plain(url: str, **options: Any) -> int:
    """websocket-client as its documents use it, yielding every millisecond to be comparable."""
    link = websocket.create_connection(url, **options)
    count, at = 0, time.monotonic()
    while link.recv():
        count += 1
        if time.monotonic() - at > 0.001:
            gevent.sleep(1e-9)
            at = time.monotonic()
    link.shutdown()
    return count


class Pulse:
    """How late a 5 ms timer comes: in wall time, and in this process's own CPU time (what other
    processes take from us does not count there)."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._job = gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            wall, cpu = time.monotonic(), time.process_time()
            gevent.sleep(0.005)
            self.wall.append(time.monotonic() - wall - 0.005)
            self.cpu.append(time.process_time() - cpu - 0.005)

    def stop(self) -> str:
        self._job.kill()
        wall, cpu = self.wall, self.cpu
        return f"wall p99 {at(wall, 0.99)} max {at(wall, 1)} ms, own CPU p99 {at(cpu, 0.99)} max {at(cpu, 1)} ms"


def at(values: list[float], share: float) -> str:
    ordered = sorted(values)
    return f"{max(0.0, ordered[min(len(ordered) - 1, int(len(ordered) * share))]) * 1000:.1f}"


def measured(name: str, call: Callable[[str], int], flood: Flood) -> float:
    """Frames per second of this process's CPU time."""
    pulse = Pulse()
    cpu, wall = time.process_time(), time.monotonic()
    count = call(flood.url)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(f"  {name:34} {count / wall:9.0f} frames/s  {cpu / count * 1e6:6.1f} us CPU each  lag: {pulse.stop()}")
    return count / cpu


def tokens() -> None:
    """What one streamed piece of an agent's answer costs, and what a flood of them delays."""
    options = OpenaiAgent(type="openai", base_url="http://127.0.0.1/v1", model="m", api_key=Secret("k"))
    command = [sys.executable, "-m", "tests.support.llm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as endpoint:
        assert endpoint.stdout is not None
        url = endpoint.stdout.readline().split()[-1]
        Http(url.removesuffix("/v1")).request("POST", "/_llm/behave", json={"long": 1000, "chunks": 10_000})
        yard = Yard(logging.getLogger(), Path.cwd())
        agent = registry.create(replace(options, base_url=url), logging.getLogger(), yard)
        turn = Turn("t", 1, "s", "web", "web", "", "c", "dm", None, None, None, "hello")
        next(iter(agent.run(turn)))
        pulse, cpu = Pulse(), time.process_time()
        count = sum(1 for _ in agent.run(turn))
        each = (time.process_time() - cpu) / count * 1e6
        print(f"agent: {each:.0f} us CPU per streamed piece  lag: {pulse.stop()}")
        endpoint.kill()


def dials() -> None:
    """What opening a link costs on loopback."""
    with WsServer(echo) as server:
        dial(server.url).close()
        begun = time.monotonic()
        for _ in range(50):
            dial(server.url).close()
        print(f"dial and close: {(time.monotonic() - begun) / 50 * 1000:.1f} ms, the test server's share included")
    begun = time.monotonic()
    trust()
    print(f"loading the machine's certificate authorities, once: {(time.monotonic() - begun) * 1000:.0f} ms of the hub")


def main() -> None:
    print("link: one peer sends 200-byte texts without pause")
    with Flood(SECONDS) as flood:
        base = measured("websocket-client recv", plain, flood)
        skip = measured("  + skip_utf8_validation", lambda url: plain(url, skip_utf8_validation=True), flood)
        mine = measured("hermes_green.link", ours, flood)
        print(f"  ratio to websocket-client: {mine / base:.1f} (skip alone: {skip / base:.1f}); aims: 4, lag 25 ms")
    floods = [Flood(SECONDS).__enter__() for _ in range(3)]
    print("three such peers at once")
    measured("hermes_green.link", lambda _: together([flood.url for flood in floods]), floods[0])
    for flood in floods:
        flood.__exit__()
    print("5000 frames a second, one a packet")
    with Flood(SECONDS, rate=5000) as flood:
        measured("websocket-client recv", plain, flood)
        measured("hermes_green.link", ours, flood)
    dials()
    tokens()


if __name__ == "__main__":
    main()
