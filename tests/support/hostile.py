"""Hostile: a user's agent at its worst. The first word of a message says how, the second how much."""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import time
from typing import Any, Iterator

from hermes_green.core.model import Turn

# What the children are; their last argument tells whose they are.
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def answer(turn: Turn) -> Any:
    """An echo, unless the message asks for something else."""
    how, _, much = turn.text.partition(" ")
    deed = DEEDS.get(how)
    return deed(much) if deed else f"echo: {turn.text}"


def spin(seconds: str) -> str:
    """Compute in Python."""
    until = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < until:
        number += 1
    return "spun"


def regex(seconds: str) -> str:
    """Keep the interpreter's lock in C: each more letter doubles the time of one call."""
    until = time.monotonic() + float(seconds)
    letters = 20
    while (left := until - time.monotonic()) > 0:
        begun = time.monotonic()
        re.match("(a+)+$", "a" * letters + "b")
        if time.monotonic() - begun < left / 2:
            letters += 1
    return "matched nothing"


def sort(numbers: str) -> str:
    """Keep the interpreter's lock in C, once."""
    values = [random.random() for _ in range(int(numbers))]
    values.sort()
    return "sorted"


def children(count_and_mark: str) -> str:
    """Leave processes behind, half of them in sessions of their own and of nobody's."""
    count, mark = count_and_mark.split()
    for number in range(int(count)):
        if number % 2 or os.fork() == 0:
            subprocess.Popen([*SLEEP, mark], start_new_session=not number % 2)
            if not number % 2:
                os._exit(0)
    return "left them"


def spinners(count_and_mark_and_seconds: str) -> str:
    """Leave processes behind that compute, all in sessions of their own, and go on for so long."""
    count, mark, *seconds = count_and_mark_and_seconds.split()
    for _ in range(int(count)):
        subprocess.Popen([sys.executable, "-c", "while True: pass", mark], start_new_session=True)
    time.sleep(float(seconds[0] if seconds else 600))
    return "left them"


def multiply(mark: str) -> str:
    """Start processes without end."""
    while True:
        if os.fork() == 0:
            time.sleep(600)


def brood(count_and_mark: str) -> str:
    """Leave processes behind as ``children`` does, and go on."""
    children(count_and_mark)
    time.sleep(600)
    return ""


def memory(megabytes: str) -> str:
    """Take memory and keep it a while."""
    kept = bytearray(int(megabytes) * 1_000_000)
    kept[::4096] = b"x" * len(kept[::4096])
    time.sleep(1)
    return f"had {len(kept)}"


def endless(_: str) -> Iterator[str]:
    """Answer for ever, in large pieces."""
    while True:
        yield "x" * 10_000


def drops(_: str) -> Iterator[str]:
    """Answer for ever, in small pieces."""
    while True:
        yield "x"


def shout(seconds: str) -> str:
    """Print without end."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        print("y" * 100)
    return "hoarse"


def segfault(_: str) -> None:
    """Break the process."""
    ctypes.string_at(0)


def leave(code: str) -> None:
    """End the process behind Python's back."""
    os._exit(int(code or 0))


def suicide(_: str) -> None:
    """End it from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


def recursion(_: str) -> None:
    """Recurse for ever."""
    recursion(_)


def sleep(seconds: str) -> str:
    """Wait in the kernel."""
    time.sleep(float(seconds))
    return "awake"


def wait(path: str) -> str:
    """Wait until there is such a file."""
    while not os.path.exists(path):
        time.sleep(0.02)
    return "waited"


DEEDS = {
    deed.__name__: deed
    for deed in (
        spin, regex, sort, children, spinners, multiply, brood, memory, endless, drops, shout, segfault, leave,
        suicide, recursion, sleep, wait,
    )
}  # fmt: skip


def hook_that_spins(event: str, context: Any) -> None:
    """A hook that never ends."""
    while True:
        pass


def hook_that_sleeps(event: str, context: Any) -> None:
    """A hook that waits in the kernel."""
    time.sleep(600)
