"""Hooks: what a user's code is told of; with a deadline, named in every failure, never in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import gevent
from gevent.pool import Pool

# Notices never wait for their hook; more than this many at once are dropped and said so.
PARALLEL = 64


@dataclass(frozen=True, slots=True)
class Hook:
    """One configured hook: ``run`` is ``pkg.mod:fn`` or an argument vector; ``timeout`` in seconds.
    ``call(event, context)`` runs it, blocking, and raises when it fails; killing it ends it."""

    event: str
    run: str | Sequence[str]
    call: Callable[[str, Mapping[str, Any]], None]
    timeout: float = 5.0


class Hooks:
    """Fires the hooks of an event; each runs in a greenlet of its own until its deadline."""

    def __init__(self, hooks: Sequence[Hook], log: Any) -> None:
        self._log = log
        self._pool = Pool(PARALLEL)
        self._hooks: dict[str, list[Hook]] = {}
        self.replace(hooks)

    def replace(self, hooks: Sequence[Hook]) -> None:
        """Take other hooks from now on."""
        found: dict[str, list[Hook]] = {}
        for hook in hooks:
            found.setdefault(hook.event, []).append(hook)
        self._hooks = found

    def fire(self, event: str, context: Mapping[str, Any]) -> None:
        """Tell the hooks of ``event``; returns at once."""
        for hook in self._hooks.get(event, ()):
            if self._pool.full():
                self._log.error("hook {} for {} dropped: {} hooks are running", hook.run, event, PARALLEL)
                continue
            self._pool.spawn(self._one, hook, event, dict(context)).name = f"hook-{event}"

    def close(self, timeout: float = 2.0) -> None:
        """Let running hooks end within ``timeout``, then kill them."""
        self._pool.join(timeout=timeout)
        self._pool.kill(timeout=1)

    def _one(self, hook: Hook, event: str, context: Mapping[str, Any]) -> None:
        limit = gevent.Timeout(hook.timeout)
        try:
            with limit:
                hook.call(event, context)
        except gevent.Timeout as late:
            if late is not limit:
                raise
            self._log.error("hook {} for {} was cut off after {} s", hook.run, event, hook.timeout)
        except Exception as error:  # border: a hook is foreign code
            self._log.error("hook {} for {} failed: {}", hook.run, event, error or repr(error))
