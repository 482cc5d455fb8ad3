"""Doomed: an agent that takes the whole process with it, or stops the hub, when it is told to.

Meant for ``isolation: greenlet``, where nothing keeps it from that. The first word of a message says how.
"""

from __future__ import annotations

import os
import re
import time

import gevent

from hermes_green.core.model import Turn


def answer(turn: Turn) -> str:
    """``die``: end the process. ``loop S`` and ``hold S``: stop the hub in Python, and with the GIL held, at the
    first attempt only. ``wait S``: at the first attempt, as a turn that waits for something. Else answer at once."""
    how, _, much = turn.text.partition(" ")
    if how == "die":
        gevent.sleep(0.3)  # so that others are in the middle of theirs
        os._exit(9)
    if how == "wait" and turn.attempt == 1:
        gevent.sleep(float(much.split()[0]))
    if how in ("loop", "hold") and turn.attempt == 1:
        until = time.monotonic() + float(much)
        if how == "hold":
            re.match("(a+)+$", "a" * 34 + "b")  # hours; nothing of Python runs meanwhile
        while time.monotonic() < until:
            pass
    return f"echo: {turn.text}"
