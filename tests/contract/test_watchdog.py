"""A hub that hangs is written down by a thread of its own, and ended when nothing puts that off."""

import subprocess
import sys
import textwrap

from tests.support.stage import PATIENCE

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
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=2 * PATIENCE)


def test_a_blocked_hub_is_reported_once_with_the_guilty_line_and_how_long_it_was():
    done = run(
        """
        from gevent.monkey import get_original
        def guilty(seconds):
            get_original("time", "sleep")(seconds)
        gevent.sleep(0.1)
        for seconds in (0.6, 0.3):
            guilty(seconds)
            gevent.sleep(0.2)
        # A busy machine may make the hub late besides, but then nobody is guilty.
        told = [late for late, stack in seen if "guilty" in stack]
        assert len(told) == 2 and told[0] >= 0.55 and told[1] >= 0.25, seen
        dog.stop()
        """
    )
    assert done.returncode == 0 and "guilty" not in done.stderr, done.stderr


def test_a_hub_that_may_never_come_back_is_reported_at_once_and_not_again():
    done = run(
        """
        from gevent.monkey import get_original
        from hermes_green.ops import watchdog
        watchdog.PATIENCE = 0.2
        def guilty():
            get_original("time", "sleep")(0.8)
        gevent.sleep(0.1)
        guilty()
        gevent.sleep(0.2)
        assert not [stack for _, stack in seen if "guilty" in stack], seen
        dog.stop()
        """
    )
    assert done.returncode == 0, done.stderr
    told = done.stderr.split("the hub has been blocked for")[1:]
    assert sum("guilty" in stack for stack in told) == 1, done.stderr


def test_a_hub_that_never_comes_back_is_reported_before_the_process_ends():
    done = run(
        """
        from gevent.monkey import get_original
        gevent.sleep(0.02)
        def hopeless():
            get_original("time", "sleep")(600)
        hopeless()
        """,
        kill=0.9,
    )
    assert done.returncode == 1
    assert done.stderr.index("the hub has been blocked for") < done.stderr.index("Timeout (")


def test_a_hub_that_turns_is_never_reported():
    done = run(
        """
        for _ in range(20):
            gevent.sleep(0.02)
        dog.stop()
        """,
        warn=5,
    )
    assert done.returncode == 0 and done.stderr == ""


def test_what_holds_the_interpreter_lock_is_ended_with_all_stacks():
    done = run(
        """
        gevent.sleep(0.02)
        def hopeless():
            re.match("(a+)+$", "a" * 64 + "b")
        hopeless()
        """,
        kill=1.0,
    )
    assert done.returncode == 1 and "hopeless" in done.stderr


def test_a_process_that_a_terminal_has_stopped_lives_on_when_it_goes_on():
    done = run(
        """
        import os, signal, subprocess
        gevent.signal_handler(signal.SIGTSTP, dog.suspend)
        gevent.sleep(0.02)
        me = os.getpid()
        subprocess.Popen(["sh", "-c", f"until grep -q '^State:.T' /proc/{me}/status; do sleep 0.05; done; "
                          f"sleep 2.5; kill -CONT {me}"])
        dog.put_off()
        began = time.monotonic()
        os.kill(me, signal.SIGTSTP)
        while time.monotonic() - began < 2.5:
            gevent.sleep(0.05)
            dog.put_off()
        gevent.sleep(0.2)
        assert not [stack for _, stack in seen if "suspend" in stack], seen
        dog.stop()
        """,
        kill=2,
    )
    assert done.returncode == 0 and "blocked" not in done.stderr, done.stderr


def test_a_process_that_puts_it_off_lives_on():
    done = run(
        """
        for _ in range(36):
            gevent.sleep(0.05)
            dog.put_off()
        dog.stop()
        gevent.sleep(1.6)
        """,
        kill=1.5,
    )
    assert done.returncode == 0, done.stderr
