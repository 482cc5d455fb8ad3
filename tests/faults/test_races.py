"""Two processes that start at the same time for one bot: exactly one runs, the other says why not."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.subprocess

from tests.support.stage import PATIENCE, ROOT, Stage, clean_env, credentials, until


class Starter:
    """``hermes-green run`` that may win or lose."""

    def __init__(self, stage: Stage) -> None:
        argv = [sys.executable, "-m", "hermes_green", "run", "--conf", str(stage.conf)]
        env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        self.popen = gevent.subprocess.Popen(argv, env=env, cwd=ROOT, stdout=pipe, stderr=pipe, stdin=none)
        self.said = gevent.spawn(self.popen.stdout.readline)
        self.errors: list[bytes] = []
        self._reader = gevent.spawn(lambda: self.errors.extend(self.popen.stderr))

    def runs(self) -> bool:
        return bool(self.said.ready() and self.said.value)

    def told(self) -> None:
        """Wait until all that it said has been read."""
        self._reader.join(PATIENCE)

    def end(self) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        code = self.popen.wait(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        return int(code)


def race(one: Stage, other: Stage, apart: float) -> dict[str, Any]:
    """Start both, ``apart`` seconds apart; which of them runs, and what the loser says."""
    starters = [Starter(one)]
    gevent.sleep(apart)
    starters.append(Starter(other))
    until(lambda: any(each.popen.poll() is not None for each in starters), what="a loser")
    until(lambda: any(each.runs() for each in starters), what="a winner")
    gevent.sleep(0.1)
    winners = [each for each in starters if each.runs() and each.popen.poll() is None]
    losers = [each for each in starters if each not in winners]
    for each in losers:
        each.popen.wait(timeout=PATIENCE)
        each.told()
    codes = [each.popen.returncode for each in losers]
    said = b"".join(line for each in losers for line in each.errors).decode()
    ends = [each.end() for each in winners]
    return {"winners": len(winners), "codes": codes, "said": said, "ends": ends, "pids": [w.popen.pid for w in winners]}


def test_of_two_starters_exactly_one_runs_and_the_other_exits_78(stage, long_run, seed, tmp_path: Path) -> None:
    sim = stage.sim("feishu")
    other = Stage(tmp_path / "second")
    other.state = stage.state
    for each in (stage, other):
        each.write("gateway", {"http": {"port": 0}, "supervisor": {"lock_wait": 0.3}})
        each.write("feishu", {**credentials(sim), "dial_budget": []})
    draw = random.Random(seed)
    races = 50 if long_run else 2
    for number in range(races):
        rival = stage if number % 2 else other
        pair = [stage, rival]
        draw.shuffle(pair)
        began = time.monotonic()
        done = race(pair[0], pair[1], draw.choice([0.0, 0.0, draw.uniform(0, 0.3)]))
        assert done["winners"] == 1 and done["codes"] == [78], (number, done)
        assert f"process {done['pids'][0]}" in done["said"] or "another process" in done["said"], done
        assert done["ends"] == [0], done
        print(f"race {number}: {'same' if rival is stage else 'two'} data_dir, {time.monotonic() - began:.1f} s")
    until(lambda: sim.state()["links"] == [], what="the last link to end")
