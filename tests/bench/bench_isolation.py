"""Isolation: what each way of running a user's Python costs, and how late everything else gets meanwhile.

Lateness is that of a 20 ms timer of the hub, in milliseconds, the largest of each run: as late as the
timer, so late are all heartbeats. ``--quick`` runs shorter. Prints the README's table last.
"""

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import psutil  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))

from hermes_green.agents import registry  # noqa: E402
from hermes_green.agents.yard import Yard  # noqa: E402
from hermes_green.core.errors import AgentError  # noqa: E402
from hermes_green.core.ports import Agent  # noqa: E402
from hermes_green.settings.schema import PythonAgent  # noqa: E402
from tests.support.outside import family, said, turn  # noqa: E402

QUICK = "--quick" in sys.argv
SECONDS = 1 if QUICK else 3
ROUNDS = 1 if QUICK else 3
LEVELS = ("process", "thread", "greenlet")
TARGET = "tests.support.hostile:answer"
# What is told to the agent, how many turns of it at a time, and where it may be tried at all.
DEEDS: list[tuple[str, str, int, tuple[str, ...]]] = [
    ("nothing", "", 0, LEVELS),
    (f"pure Python, {SECONDS} s", f"spin {SECONDS}", 1, LEVELS),
    (f"two of these, {SECONDS} s", f"spin {SECONDS}", 2, LEVELS),
    (f"C that keeps the lock (regex), {SECONDS} s", f"regex {SECONDS}", 1, LEVELS),
    ("C that keeps the lock (sort of 4 million)", "sort 4000000", 1, LEVELS),
    ("waits in the kernel, 1 s", "sleep 1", 1, LEVELS),
    ("prints without end, 1 s", "shout 1", 1, ("process",)),
    ("an answer without end", "endless", 1, LEVELS),
    ("leaves 40 processes behind", "children 40 MARK", 1, ("process",)),
    ("takes 1 GB", "memory 1000", 1, ("process",)),
    ("segmentation fault", "segfault", 1, ("process",)),
]


class Timer:
    """The largest lateness of a 20 ms timer, in milliseconds, from its start to its ``end``."""

    def __init__(self) -> None:
        self._late = 0.0
        self._greenlet = gevent.spawn(self._run)
        gevent.sleep(0.1)

    def _run(self) -> None:
        while True:
            begun = time.monotonic()
            gevent.sleep(0.02)
            self._late = max(self._late, time.monotonic() - begun - 0.02)

    def end(self) -> float:
        gevent.sleep(0.1)
        self._greenlet.kill()
        return self._late * 1000


def agent(yard: Yard, level: Any) -> Agent:
    """One whose worker, thread or module is warm."""
    made = registry.create(
        PythonAgent(type="python", target=TARGET, isolation=level, timeout=60), Quiet("bench"), yard
    )
    jobs = [gevent.spawn(lambda: said(made.run(turn("warm")))) for _ in range(4)]
    gevent.joinall(jobs, raise_error=True)
    return made


class Quiet(logging.Logger):
    """A log for nobody."""

    def __init__(self, name: str) -> None:
        super().__init__(name, logging.CRITICAL)

    def opt(self, **_: Any) -> "Quiet":
        return self


def bear(made: Agent, text: str) -> None:
    """One turn, however it ends; of an endless answer as much as a turn may hold."""
    size = 0
    try:
        for delta in made.run(turn(text.replace("MARK", uuid.uuid4().hex))):
            size += len(delta.text)
            if size > 4 * 1024 * 1024:
                return
    except AgentError:
        return


def lateness(yard: Yard, level: str, text: str, turns: int) -> float:
    """The median over the rounds."""
    found = []
    for _ in range(ROUNDS):
        made = agent(yard, level)
        gevent.sleep(0.3)
        timer = Timer()
        if turns:
            gevent.joinall([gevent.spawn(bear, made, text) for _ in range(turns)])
        else:
            gevent.sleep(1)
        found.append(timer.end())
        made.close()
        gevent.sleep(0.2)
    return median(found)


def turns_of(yard: Yard, level: str) -> tuple[float, float]:
    """Milliseconds of one small turn, and turns a second of four at a time."""
    made = agent(yard, level)
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        said(made.run(turn("x")))
        times.append(time.perf_counter() - begun)
    count, begun = 1000, time.perf_counter()
    jobs = [gevent.spawn(lambda: [said(made.run(turn("x"))) for _ in range(count // 4)]) for _ in range(4)]
    gevent.joinall(jobs, raise_error=True)
    rate = count / (time.perf_counter() - begun)
    made.close()
    return median(times) * 1000, rate


def workers_of(yard: Yard) -> None:
    """What a new worker costs."""
    made = registry.create(
        PythonAgent(type="python", target=TARGET, max_turns_per_worker=1), Quiet("bench"), yard
    )
    said(made.run(turn("x")))
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        said(made.run(turn("x")))
        times.append(time.perf_counter() - begun)
    made.close()
    print(f"a turn in a new worker: {median(times) * 1000:.1f} ms (largest {max(times) * 1000:.1f})")
    made = agent(yard, "process")
    jobs = [gevent.spawn(lambda: said(made.run(turn("sleep 1")))) for _ in range(4)]
    gevent.sleep(0.6)
    warden = psutil.Process(yard._warden._process.pid)
    sizes = [psutil.Process(pid).memory_full_info().uss / 1e6 for pid in family(warden.pid)]
    gevent.joinall(jobs)
    made.close()
    print(f"own memory: warden {warden.memory_full_info().uss / 1e6:.1f} MB, "
          f"zygote and workers {min(sizes):.1f} to {max(sizes):.1f} MB each")  # fmt: skip


def main() -> None:
    sys.setswitchinterval(0.001)  # as the gateway does
    home = Path(tempfile.mkdtemp(prefix="hermes-green-bench-"))
    yard = Yard(Quiet("bench"), home)
    try:
        workers_of(yard)
        lines = ["| a turn that | process | thread | greenlet |", "|---|---|---|---|"]
        speeds = {level: turns_of(yard, level) for level in LEVELS}
        lines.append("| costs, in the small | " + " | ".join(f"{speeds[level][0]:.2f} ms" for level in LEVELS) + " |")
        lines.append("| runs so often | " + " | ".join(f"{speeds[level][1]:.0f}/s" for level in LEVELS) + " |")
        for name, text, turns, where in DEEDS:
            cells = []
            for level in LEVELS:
                late = lateness(yard, level, text, turns) if level in where else None
                cells.append("harms the gateway" if late is None else f"{late:.1f} ms")
                print(f"  {name:44}{level:10}{cells[-1]:>26}", flush=True)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print("\nhow late everything else gets (a 20 ms timer of the hub, largest lateness)\n")
        print("\n".join(lines))
    finally:
        yard.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
