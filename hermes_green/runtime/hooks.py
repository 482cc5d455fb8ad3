"""Hooks: what a user's code is told of; with a deadline, named in every failure, never in the way."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import gevent
from gevent import subprocess
from gevent.pool import Pool

# Notices never wait for their hook; more than this many at once are dropped and said so.
PARALLEL = 64


@dataclass(frozen=True, slots=True)
class Hook:
    """One configured hook: ``run`` is ``pkg.mod:fn`` or an argument vector; ``timeout`` in seconds."""

    event: str
    run: str | Sequence[str]
    timeout: float = 5.0


class Hooks:
    """Fires the hooks of an event; each runs in a greenlet of its own until its deadline."""

    def __init__(self, hooks: Sequence[Hook], log: Any) -> None:
        self._log = log
        self._pool = Pool(PARALLEL)
        self._hooks: dict[str, list[tuple[Hook, Callable[[str, Mapping[str, Any]], None]]]] = {}
        self.replace(hooks)

    def replace(self, hooks: Sequence[Hook]) -> None:
        """Take other hooks from now on."""
        found: dict[str, list[tuple[Hook, Callable[[str, Mapping[str, Any]], None]]]] = {}
        for hook in hooks:
            call = _callable(hook.run) if isinstance(hook.run, str) else _command(hook.run, hook.timeout)
            found.setdefault(hook.event, []).append((hook, call))
        self._hooks = found

    def fire(self, event: str, context: Mapping[str, Any]) -> None:
        """Tell the hooks of ``event``; returns at once."""
        for hook, call in self._hooks.get(event, ()):
            if self._pool.full():
                self._log.error("hook {} for {} dropped: {} hooks are running", hook.run, event, PARALLEL)
                continue
            self._pool.spawn(self._one, hook, call, event, dict(context)).name = f"hook-{event}"

    def close(self, timeout: float = 2.0) -> None:
        """Let running hooks end within ``timeout``, then kill them."""
        self._pool.join(timeout=timeout)
        self._pool.kill(timeout=1)

    def _one(self, hook: Hook, call: Callable[[str, Mapping[str, Any]], None], event: str, context: Any) -> None:
        try:
            with gevent.Timeout(hook.timeout):
                call(event, context)
        except gevent.Timeout:
            self._log.error("hook {} for {} was cut off after {} s", hook.run, event, hook.timeout)
        except Exception as error:  # border: a hook is foreign code
            self._log.error("hook {} for {} failed: {!r}", hook.run, event, error)


def _callable(target: str) -> Callable[[str, Mapping[str, Any]], None]:
    """Import ``pkg.mod:fn`` on its first call, so that a broken hook is one hook's failure."""

    def call(event: str, context: Mapping[str, Any]) -> None:
        module, _, name = target.partition(":")
        getattr(importlib.import_module(module), name)(event, context)

    return call


def _command(argv: Sequence[str], timeout: float) -> Callable[[str, Mapping[str, Any]], None]:
    """Run a command with the context as one JSON object on its standard input."""

    def call(event: str, context: Mapping[str, Any]) -> None:
        body = json.dumps({"event": event, "context": dict(context)}, ensure_ascii=False, default=str).encode()
        process = subprocess.Popen(list(argv), stdin=subprocess.PIPE, start_new_session=True)
        try:
            process.communicate(body, timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}")

    return call
