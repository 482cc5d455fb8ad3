"""Watch: notices that a file of the configuration was saved, by looking.

The libraries that let the kernel tell of changes need a thread that waits, which stands still in a
patched process. A look is a stat of a few files, made off the hub; contents are read only when one
of them looks different, and are believed once two readings in a row agree, so that a file that is
half written is waited out.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, Callable, Iterable

import gevent

from hermes_green.core.errors import HermesError
from hermes_green.ops.offhub import OffHub

EVERY = 1.0  # seconds between two looks
SETTLED = 0.3  # seconds between the two readings that must agree
PATIENCE = 10.0  # seconds after which a file that does not come to rest is taken as it is
MOST = 4 << 20  # bytes read of one file; the loader refuses far smaller ones

Paths = Callable[[], Iterable[Path]]
Look = tuple[tuple[str, int, int, int], ...]


def digest(paths: Iterable[Path]) -> str:
    """What the files hold, in one word; a file that cannot be read counts as what keeps it from being read."""
    found = hashlib.sha256()
    for path in sorted(paths):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise OSError(errno.EINVAL, "not a file")  # to open a pipe would wait for who writes into it
            with path.open("rb") as file:
                data = file.read(MOST)
        except OSError as error:
            data = f"\0{error.errno}".encode()
        found.update(os.fsencode(path) + f" {len(data)} ".encode() + data)
    return found.hexdigest()


def _look(paths: Paths) -> Look:
    """How the files look from outside: enough to tell that one was written."""
    found = []
    for path in sorted(paths()):
        try:
            now = path.stat()
            found.append((str(path), now.st_mtime_ns, now.st_size, now.st_ino))
        except OSError:
            found.append((str(path), 0, 0, 0))
    return tuple(found)


class Watch:
    """Calls ``changed()`` when the contents of ``paths()`` are no longer those of ``seen``, a ``digest``.

    ``changed`` reads the files and sets ``seen`` to what it read; it may wait, and its errors end nothing.
    """

    def __init__(self, paths: Paths, seen: str, changed: Callable[[], object], offhub: OffHub, log: Any) -> None:
        self.seen = seen
        self._paths = paths
        self._changed = changed
        self._offhub = offhub
        self._log = log
        self._greenlet: gevent.Greenlet | None = None

    def set(self, on: bool) -> None:
        """Begin or cease to look."""
        if on and self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = "watch"
        elif not on and self._greenlet is not None:
            greenlet, self._greenlet = self._greenlet, None
            # What was saved may say that nobody shall look: then it is the watch's own greenlet that ends it.
            if greenlet is not gevent.getcurrent():
                greenlet.kill(timeout=1)

    def digest(self) -> str:
        """What the files hold now."""
        return self._offhub.call(lambda: digest(self._paths()))

    def _run(self) -> None:
        me = gevent.getcurrent()
        looked: Look | None = None
        said = ""
        while self._greenlet is me:
            try:
                now = self._offhub.call(_look, self._paths)
                said = ""
                if now != looked:
                    looked = now
                    if self._settled() != self.seen:
                        self._changed()
            except (HermesError, OSError) as error:
                looked = None
                if said != str(error):  # it may last for hours
                    said = str(error)
                    self._log.warning("the configuration cannot be watched now: {}", said)
            except Exception:  # border: whatever a reload does, the next saved file is seen
                self._log.exception("a saved configuration could not be applied: this is a bug")
            gevent.sleep(EVERY)

    def _settled(self) -> str:
        """The contents, once they rest."""
        before = self.digest()
        for _ in range(int(PATIENCE / SETTLED)):
            if before == self.seen:
                break  # written again as it was
            gevent.sleep(SETTLED)
            now = self.digest()
            if now == before:
                break
            before = now
        return before
