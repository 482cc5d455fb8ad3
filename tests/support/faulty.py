"""A gateway with what the faults need inside: a slow disk, a dead DNS, and a count of what lives in it.

``python -m tests.support.faulty run ...`` is the gateway. The file that HERMES_GREEN_FAULTY names may say how
many seconds each commit takes, or "full": the disk takes none; names under "dead.invalid" are looked up for 20 s
in vain; at SIGUSR2 the file beside it (".live") is told how many greenlets there are, and how many objects of each
type. The file that HERMES_GREEN_KEPT names is told of each frame that is sheltered until its commit: when, and what
it says. HERMES_GREEN_BUG ends each start with an error that nobody reckoned with.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

CONTROL = Path(os.environ.get("HERMES_GREEN_FAULTY", os.devnull))


def slow_commit() -> None:
    """Runs on the writer's thread before each commit."""
    from gevent import monkey

    try:
        said = CONTROL.read_text()
    except OSError:
        return
    if said == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        seconds = float(said or 0)
    except ValueError:
        return
    monkey.get_original("time", "sleep")(seconds)


def dead_dns() -> None:
    """What libc does with a name server that never answers."""
    import _socket

    from gevent import monkey

    real = _socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if str(host).endswith("dead.invalid"):
            monkey.get_original("time", "sleep")(20)
            raise _socket.gaierror(_socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *rest, **more)

    _socket.getaddrinfo = look_up


def count_live(*_: Any) -> None:
    """Write down the number of greenlets that have begun and not ended, and of objects by their type."""
    import greenlet

    gc.collect()
    objects = gc.get_objects()
    alive = sum(1 for each in objects if isinstance(each, greenlet.greenlet) and not each.dead)
    types = {f"{kind.__module__}.{kind.__qualname__}": n for kind, n in Counter(map(type, objects)).items()}
    fresh = CONTROL.with_suffix(".fresh")
    fresh.write_text(json.dumps({"greenlets": alive, "types": types}))
    fresh.rename(CONTROL.with_suffix(".live"))


def note_kept(place: str) -> None:
    """Write down when a frame was sheltered; a line each."""
    from hermes_green.ops.shelter import Held, Shelter

    keep = Shelter.keep
    notes = open(place, "a", buffering=1, encoding="utf-8", errors="surrogateescape")

    def noted(self: Shelter, raw: str | bytes) -> Held | None:
        held = keep(self, raw)
        if held is not None:
            notes.write(f"{time.time()!r} {' '.join(str(raw).split())}\n")
        return held

    Shelter.keep = noted  # type: ignore[method-assign]


def bug(*_: Any) -> None:
    raise ZeroDivisionError("a bug of the start")


def main() -> int:
    """Patch as the gateway does, put the faults in, and be the gateway."""
    from hermes_green import __main__

    __main__._patch()
    from hermes_green import app
    from hermes_green.store.sqlite import SqliteStore

    def open_store(data_dir: Path) -> SqliteStore:
        return SqliteStore(data_dir / "gateway.sqlite3", before_commit=slow_commit)

    app.open_store = open_store
    dead_dns()
    if os.environ.get("HERMES_GREEN_BUG"):
        app.own = bug  # type: ignore[assignment]
    if os.environ.get("HERMES_GREEN_KEPT"):
        note_kept(os.environ["HERMES_GREEN_KEPT"])
    signal.signal(signal.SIGUSR2, count_live)
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
