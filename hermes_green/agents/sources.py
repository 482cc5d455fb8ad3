"""Sources: the files that a user's code came from, so that a change is noticed before the next turn."""

from __future__ import annotations

import os
import site
import sys
import sysconfig

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _foreign() -> tuple[str, ...]:
    """Where files lie that nobody edits in place: the standard library, installed packages, this one."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update(site.getsitepackages())
    paths.add(site.getusersitepackages())
    return tuple(os.path.join(path, "") for path in {*paths, _OURS} if path)


class Sources:
    """What the loaded modules looked like when they were first seen."""

    def __init__(self) -> None:
        self._foreign = _foreign()
        self._modules: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}

    def look(self) -> None:
        """Take note of modules that were loaded since."""
        for name in sys.modules.keys() - self._modules:
            self._modules.add(name)
            path = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(path, str) and not os.path.abspath(path).startswith(self._foreign):
                self._seen[path] = _stamp(path)

    def changed(self) -> str:
        """"" while all files are as they were; else a word for how they are now."""
        now = {path: _stamp(path) for path in self._seen}
        return "" if now == self._seen else str(hash(tuple(sorted(now.items()))))


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)  # an editor may be between its two steps; what comes next is another change
    return (found.st_mtime_ns, found.st_size)
