"""A hub that hangs is written down by a thread of its own, and ended when nothing puts that off."""

import subprocess
import sys
import textwrap
import time

PREAMBLE = """
from gevent import monkey; monkey.patch_all()
import gevent, re, time
from hermes_green.ops.watchdog import Watchdog
seen = []
dog = Watchdog({warn}, {kill}, lambda late, stack: seen.append((late, stack)))
dog.start()
"""


def run(code: str, warn: float = 0.1, kill: float = 0.0) -> subprocess.CompletedProcess:
    script = PREAMBLE.format(warn=warn, kill=kill) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=40)


def test_a_blocked_hub_is_reported_with_the_guilty_line_while_it_is_blocked_and_after():
    done = run(
        """
        from gevent.monkey import get_original
        def guilty():
            get_original("time", "sleep")(0.6)
        gevent.sleep(0.1)
        guilty()
        gevent.sleep(0.2)
        assert seen and "guilty" in seen[0][1], seen
        dog.stop()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "the hub has been blocked for" in done.stderr and "guilty" in done.stderr


def test_a_hub_that_turns_is_never_reported():
    done = run(
        """
        for _ in range(20):
            gevent.sleep(0.02)
        dog.stop()
        """,
        warn=2,
    )
    assert done.returncode == 0 and done.stderr == ""


def test_what_holds_the_interpreter_lock_is_ended_with_all_stacks():
    began = time.monotonic()
    done = run(
        """
        gevent.sleep(0.1)
        def hopeless():
            re.match("(a+)+$", "a" * 64 + "b")
        hopeless()
        """,
        kill=1.0,
    )
    assert done.returncode == 1 and "hopeless" in done.stderr
    assert time.monotonic() - began < 30


def test_a_process_that_puts_it_off_lives_on():
    done = run(
        """
        for _ in range(15):
            gevent.sleep(0.1)
            dog.put_off()
        dog.stop()
        gevent.sleep(1.2)
        """,
        kill=0.8,
    )
    assert done.returncode == 0, done.stderr
