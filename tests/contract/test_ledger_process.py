"""The dial ledger among real processes: what a killed one dialled, the next one counts."""

import os
import signal
import subprocess
import sys

import gevent
import gevent.monkey
import pytest

from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import Throttled
from hermes_green.ops.ledger import Ledger, boot_id
from hermes_green.ops.offhub import OffHub, OffHubTimeout
from tests.support.stage import PATIENCE

BUDGET = ((4, 120), (8, 900))

DIAL = """
import sys, time
from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import Throttled
from hermes_green.ops.ledger import Ledger
ledger = Ledger(sys.argv[1], SystemClock())
while True:
    try:
        ledger.book("dial", ((4, 120), (8, 900)))
        print("dial", flush=True)
    except Throttled:
        print("refused", flush=True)
        time.sleep(60)
"""

RACE = """
import sys
from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import Throttled
from hermes_green.ops import ledger as module
module.MAX_LINES, module.MAX_KEPT = 20, 15
ledger = module.Ledger(sys.argv[1], SystemClock())
granted = 0
for _ in range(40):
    ledger.note("noise")
    try:
        ledger.book("dial", ((10, 900),))
        granted += 1
    except Throttled:
        pass
print(granted)
"""


def test_four_dials_in_two_minutes_hold_through_kill_9_and_new_processes(tmp_path):
    path = tmp_path / "cred.ledger"
    dials = refused = 0
    for n in range(10):
        process = subprocess.Popen([sys.executable, "-c", DIAL, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            said = process.stdout.readline()
        finally:
            process.send_signal(signal.SIGKILL)
            rest = process.communicate()[0]
        dials += (said + rest).count("dial")
        refused += (said + rest).count("refused")
    # A process may book once more before the kill than it lived to print, never the other way round.
    assert dials <= 4
    assert refused >= 5
    assert Ledger(path, SystemClock()).usage("dial", BUDGET)[0]["used"] == 4


def test_processes_that_race_share_one_budget_even_while_the_file_is_rewritten(tmp_path):
    path = str(tmp_path / "cred.ledger")
    racers = [subprocess.Popen([sys.executable, "-c", RACE, path], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    granted = [int(racer.communicate(timeout=5 * PATIENCE)[0]) for racer in racers]
    assert sum(granted) == 10


def test_off_the_hub_the_ledger_delays_no_timer_and_errors_come_through(tmp_path):
    pool = OffHub(2)
    ledger = Ledger(tmp_path / "cred.ledger", SystemClock())
    for _ in range(4):
        pool.call(ledger.book, "dial", BUDGET)
    with pytest.raises(Throttled):
        pool.call(ledger.book, "dial", BUDGET)
    greenlets = [gevent.spawn(pool.call, ledger.note, "noise") for _ in range(20)]
    gevent.joinall(greenlets, timeout=PATIENCE, raise_error=True)
    assert pool.call(ledger.last, "noise")["pid"] == os.getpid()
    pool.close()


def test_a_call_that_hangs_is_left_behind_at_its_deadline():
    native_sleep = gevent.monkey.get_original("time", "sleep")
    pool, over = OffHub(1), []

    def hang():
        while not over:
            native_sleep(0.02)

    try:
        with gevent.Timeout(PATIENCE):
            with pytest.raises(OffHubTimeout):
                pool.call(hang, timeout=0.1)
            with pytest.raises(OffHubTimeout):
                pool.call(os.getpid, timeout=0.1)  # no thread is free; waiting for one is bounded too
    finally:
        over.append(True)
    assert pool.call(os.getpid, timeout=PATIENCE) == os.getpid()
    pool.close()


def test_this_machine_names_its_boot_and_always_the_same():
    assert boot_id() == boot_id()
    if sys.platform.startswith("linux"):
        assert len(boot_id()) == 36
