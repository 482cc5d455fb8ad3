"""Hops: the gateway with a clock at each hop of a turn.

``python -m tests.bench._hops run --conf DIR`` is run in place of ``hermes_green``; at its end it writes what
it saw, a list of [name, wall time], to the file that HERMES_GREEN_HOPS names.
"""

from gevent import monkey

monkey.patch_all()

import atexit  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from hermes_green import cli  # noqa: E402
from hermes_green.link.http import Http  # noqa: E402
from hermes_green.runtime.run import Run  # noqa: E402
from hermes_green.runtime.turn import Turns  # noqa: E402
from hermes_green.store.writer import Writer  # noqa: E402

# Where a clock stands: class, method, name of its begin, name of its end ("" for none).
CLOCKS = (
    (Run, "accept", "parsed", ""),
    (Writer, "_execute", "thread", "committed"),
    (Turns, "run", "turn", ""),
    (Turns, "end", "answered", ""),
    (Http, "request", "request", ""),
)
seen: list[tuple[str, float]] = []


def watch(owner: Any, method: str, begin: str, end: str) -> None:
    """Note the time whenever a method begins and ends."""
    inner = getattr(owner, method)

    @functools.wraps(inner)
    def timed(*args: Any, **kwargs: Any) -> Any:
        seen.append((begin, time.time()))
        try:
            return inner(*args, **kwargs)
        finally:
            if end:
                seen.append((end, time.time()))

    setattr(owner, method, timed)


if __name__ == "__main__":
    for clock in CLOCKS:
        watch(*clock)
    atexit.register(lambda: Path(os.environ["HERMES_GREEN_HOPS"]).write_text(json.dumps(seen)))
    sys.exit(cli.main(sys.argv[1:]))
