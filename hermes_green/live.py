"""Live: the configuration in force, what was made of it, and how a changed one takes its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from loguru import logger

from hermes_green.agents.hooks import HookCalls
from hermes_green.agents.yard import END, Yard
from hermes_green.blueprint import (
    credentials,
    hide_secrets,
    hooks_of,
    load_config,
    pace_of,
    policy_of,
    routes_of,
    sentences,
    watched,
)
from hermes_green.core.clock import Clock, rfc3339
from hermes_green.core.errors import ConfError
from hermes_green.core.model import Turn
from hermes_green.core.ports import Agent
from hermes_green.nursery import Nursery
from hermes_green.ops import log as logs
from hermes_green.ops.notify import Notifier
from hermes_green.ops.offhub import OffHub
from hermes_green.ops.ownership import Ownership
from hermes_green.ops.watch import Watch
from hermes_green.ops.watchdog import Watchdog
from hermes_green.runtime.hooks import Hooks
from hermes_green.runtime.house import House
from hermes_green.settings.schema import Config
from hermes_green.settings.show import Difference, diff


class Live:
    """``config`` is swapped whole; who needs it asks here each time. Two-step: ``connect`` brings
    the parts that a change is for."""

    def __init__(self, config: Config, offhub: OffHub, notifier: Notifier, clock: Clock) -> None:
        self.config = config
        self.yard = Yard(logger, config.conf_dir.resolve().parent)
        self._calls = HookCalls(config.hooks, self.yard, logger)
        self.hooks = Hooks(hooks_of(config, self._calls), logger)
        self._routes = routes_of(config, self.yard)
        self._offhub = offhub
        self._notifier = notifier
        self._clock = clock
        self._reloading = BoundedSemaphore(1)
        self._watch = Watch(lambda: watched(config.conf_dir), config.files, self.reload, offhub, logger)
        self._told = self._telling({"ok": True, "errors": list(config.notes), "restart_required": []})
        self._house: House
        self._nursery: Nursery
        self._ownership: Ownership
        self._watchdog: Watchdog

    def connect(self, house: House, nursery: Nursery, ownership: Ownership, watchdog: Watchdog) -> None:
        """Bring in what a changed configuration changes."""
        self._house, self._nursery, self._ownership, self._watchdog = house, nursery, ownership, watchdog

    def begin(self) -> None:
        """From now on saved files are applied, where that is wanted."""
        for note in self.config.notes:
            logger.warning("{}", note)
        self._watch.set(self.config.watch)

    def end(self) -> None:
        """No file is applied any more."""
        self._watch.set(False)

    def close(self, seconds: float = END) -> None:
        """End agents, hooks and their processes; what has not ended in ``seconds`` is killed."""
        self._routes.close()
        self._calls.close()
        self.yard.close(min(END, seconds))

    def agent(self, asked: Turn) -> Agent:
        """Who answers a turn."""
        return self._routes.agent(asked)

    def told(self) -> dict[str, Any]:
        """``config``: how the last reading of the files ended, ``{ok, errors, restart_required, at}``;
        ``hooks``: how each has done."""
        return {"config": self._told, "hooks": self.hooks.tallies()}

    def reload(self) -> dict[str, Any]:
        """Apply what changed; ``{ok, changed, restart_required, errors}``. A broken file changes nothing."""
        with self._reloading:
            self._notifier.reloading()
            try:
                # Before the files are read: what is saved meanwhile is seen as a further change.
                self._watch.seen = self._watch.digest()
                fresh = self._offhub.call(load_config, self.config.conf_dir)
                answer = self._apply(fresh)
            except ConfError as error:
                logger.error("the configuration was not reloaded: {}", error)
                answer = {"ok": False, "changed": [], "restart_required": [], "errors": sentences(error)}
            finally:
                self._notifier.ready(self._house.summary())
            self._told = self._telling(answer)
            if answer["ok"]:
                told = ", ".join(answer["changed"]) or "nothing has changed"
                if answer["restart_required"]:
                    told += f"; only a restart applies {', '.join(answer['restart_required'])}"
                logger.info("the configuration was reloaded: {}", told)
                for what in answer["errors"]:
                    logger.warning("{}", what)
            return answer

    def _telling(self, answer: dict[str, Any]) -> dict[str, Any]:
        kept = {name: answer[name] for name in ("ok", "errors", "restart_required")}
        return {**kept, "at": rfc3339(self._clock.wall())}

    def _apply(self, fresh: Config) -> dict[str, Any]:
        """Raises ConfError, and then nothing has changed."""
        credentials(fresh.children)
        changes = diff(self.config, fresh)
        routes = routes_of(fresh, self.yard) if {"agent", "fallback", "routes"} & set(changes.groups) else None
        hide_secrets(fresh)
        self._house.repace(policy_of(fresh), pace_of(fresh))
        if "turns" in changes.groups:
            self._house.lanes.resize(fresh.turns.max_parallel, fresh.turns.timeout)
        if routes is not None:
            # Turns in progress keep the agent they began with; it is closed when they must be over.
            gevent.spawn_later(self.config.turns.timeout, self._routes.close).name = "retired-agents"
            self._routes = routes
        if "supervisor" in changes.groups:
            self._watchdog.retune(fresh.supervisor.stall_warn, fresh.supervisor.stall_kill)
        self.yard.refresh()
        if "hooks" in changes.groups:
            self._calls.close()
            self._calls = HookCalls(fresh.hooks, self.yard, logger)
            self.hooks.replace(hooks_of(fresh, self._calls))
        if "log" in changes.groups:
            logs.set_level(fresh.log.level)
        if "watch" in changes.groups:
            self._watch.set(fresh.watch)
        errors = [*fresh.notes, *self._move(fresh, changes)]
        # What only a restart applies stays as it is, so that the next reload still tells of it.
        kept = replace(self.config.log, level=fresh.log.level)
        self.config = replace(fresh, data_dir=self.config.data_dir, http=self.config.http, log=kept)
        moved = [child.id for child in (*changes.restart, *changes.start, *changes.stop)]
        changed = [*changes.groups, *changes.live, *moved]
        return {"ok": True, "changed": changed, "restart_required": list(changes.restart_required), "errors": errors}

    def _move(self, fresh: Config, changes: Difference) -> list[str]:
        """Stop, replace and start the children that it is about; what kept some from starting."""
        for child in fresh.children:
            self._nursery.set_budget(child)
        for child in changes.stop:
            self._house.dismiss(child.id)
        gone = {child.id: self._house.dismiss(child.id, replaced=True) for child in changes.restart}
        self._ownership.keep_only(set(credentials(fresh.children)))
        errors = []
        for child in (*changes.restart, *changes.start):
            try:
                why = self._nursery.admit(child, pace_of(fresh), self._house, gone.get(child.id))
            except Exception as error:  # border: one bot's adapter must not keep the others from starting
                logger.exception("{} could not be built", child.id)
                why = f"its adapter could not be built: {error!r}"
            if why:
                errors.append(f"{child.id}: {why}")
        return errors
