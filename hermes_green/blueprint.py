"""Blueprint: what a configuration means for the parts that run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable, Mapping, get_args
from urllib.parse import unquote, urlsplit

from loguru import logger

from hermes_green.adapters import registry as adapters
from hermes_green.agents import hookdirs, registry as agents
from hermes_green.agents.hooks import HookCalls
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import ConfError
from hermes_green.core.options import PlatformOptions
from hermes_green.core.ports import Agent, Retention
from hermes_green.ops import log as logs
from hermes_green.ops.lock import credential_id
from hermes_green.ops.watch import digest
from hermes_green.runtime import commands, delivery, limits, sessions, turn
from hermes_green.runtime.hooks import Hook
from hermes_green.runtime.policy import Policy
from hermes_green.runtime.redial import Pace
from hermes_green.runtime.routes import Prompted, Route, Routes, WithFallback
from hermes_green.settings import schema
from hermes_green.settings.load import load
from hermes_green.settings.schema import AgentOptions, ChildConfig, Config, Limit, MaybeAgent, Reset


def platforms() -> Mapping[str, type[PlatformOptions]]:
    """The declaration of every platform's file."""
    return {name: adapters.package(name).Settings for name in adapters.names()}


def load_config(conf_dir: Path) -> Config:
    """The whole configuration. Raises ConfErrors with everything that is wrong with it."""
    checks = {name: adapters.package(name).check for name in adapters.names()}
    # Before the files are read: what is saved meanwhile is seen as a change.
    files = digest(watched(conf_dir))
    config = load(conf_dir, platforms(), checks=checks)
    hooks, notes = _dropped_in(config)
    named = tuple(replace(hook, run=agents.hook_target(hook.run)) for hook in config.hooks)
    return replace(config, files=files, hooks=(*named, *hooks), notes=tuple(notes))


def _dropped_in(config: Config) -> tuple[list[schema.Hook], list[str]]:
    """The hooks of the hooks' directory, and what is to be said about it."""
    found, notes = hookdirs.find(config.conf_dir.resolve().parent / os.path.expanduser(config.hooks_dir))
    happen = {*get_args(schema.HookEvent), *(f"command:{name}" for name in commands.KNOWN)}
    happen |= {event.partition(":")[0] + ":*" for event in happen}
    hooks = []
    for each in found:
        foreign = [event for event in each.events if event not in happen]
        if foreign:
            notes.append(f"the hook {each.name} wants {', '.join(foreign)}, which never happens here")
        for event in each.events:
            if event not in foreign:
                hook: Any = schema.Hook  # whose events mypy knows one by one
                more = {} if each.timeout is None else {"timeout": each.timeout}
                hooks.append(hook(event=event, run=each.target, name=each.name, **more))
    return hooks, notes


def watched(conf_dir: Path) -> Iterable[Path]:
    """The files whose change is a change of the configuration."""
    return conf_dir.glob("*.yaml")


def policy_of(config: Config) -> Policy:
    """The rules that may change while we run."""
    keep = config.retention
    history = getattr(config.agent, "history_turns", 20)
    return Policy(
        locale=config.locale,
        queue_per_session=config.turns.queue_per_session,
        busy_input_mode=config.turns.busy_input_mode,
        merge_window=config.turns.merge_window,
        sessions=sessions.Rules(
            _reset(config.sessions.dm),
            _reset(config.sessions.group),
            {chat: _reset(rule) for chat, rule in config.sessions.chats.items()},
        ),
        limits=limits.Rules(_limit(config.limits.user), _limit(config.limits.chat)),
        turns=turn.Rules(
            config.turns.timeout,
            config.turns.on_crash,
            config.turns.poison_limit,
            history,
            config.locale,
            config.sessions.history_tokens,
            config.delivery.max_age,
        ),
        delivery=delivery.Rules(config.delivery.give_up_after, config.delivery.on_unknown, config.locale),
        retention=Retention(
            keep.inbox_days, keep.outbox_days, keep.history_turns, keep.dead_days, config.delivery.dedup_days
        ),
        drafts_off=frozenset(child.id for child in config.children if child.options.streaming == "off"),
        audit_contents=config.audit.contents,
        access={child.id: child.options.access for child in config.children if child.options.access is not None},
    )


def _reset(rule: Reset) -> sessions.Reset:
    return sessions.Reset(rule.reset, rule.idle_minutes, rule.daily_at)


def _limit(rule: Limit) -> limits.Limit:
    return limits.Limit(rule.messages_per_minute, rule.turns_per_day, rule.tokens_per_day)


def routes_of(config: Config, yard: Yard) -> Routes:
    """The agents of a configuration."""
    default = _agent(config.agent, config.fallback, yard)
    own, routes = [default], []
    for route in config.routes:
        agent = default
        if route.agent is not None:
            agent = _agent(route.agent, route.fallback, yard)
            own.append(agent)
        if route.system_prompt:
            agent = Prompted(agent, route.system_prompt)
        routes.append(Route(agent, route.child, route.chat, route.user, route.prefix))
    return Routes(default, routes, own)


def _agent(options: AgentOptions, fallback: MaybeAgent, yard: Yard) -> Agent:
    first = agents.create(options, logger, yard)
    return first if fallback is None else WithFallback(first, agents.create(fallback, logger, yard), logger)


def hooks_of(config: Config, calls: HookCalls) -> list[Hook]:
    """The hooks of a configuration."""
    return [Hook(hook.event, hook.run, calls.call(hook), hook.timeout, hook.name) for hook in config.hooks]


def pace_of(config: Config) -> Pace:
    """The supervisor's numbers as each child needs them."""
    numbers = config.supervisor
    return Pace(
        numbers.backoff_min,
        numbers.backoff_max,
        numbers.healthy_after,
        numbers.crashes,
        numbers.crash_window,
        numbers.escalate_after,
    )


def credential(config: ChildConfig) -> str | None:
    """Names the bot on its platform; None where there is nothing to own."""
    account = adapters.package(config.platform).identity(config.options)
    return credential_id(config.platform, config.options.api_base, account) if account else None


def credentials(children: Iterable[ChildConfig]) -> dict[str, str]:
    """credential -> child, of all children that have one.

    Raises:
        ConfError: two children are the same bot.
    """
    found: dict[str, str] = {}
    for config in children:
        bot = credential(config)
        if bot is None:
            continue
        if bot in found:
            raise ConfError(
                f"{config.id} and {found[bot]} are the same bot",
                action="give each child an account of its own, or disable one",
            )
        found[bot] = config.id
    return found


def hide_secrets(config: Config) -> None:
    """No log shows what is secret in a configuration from now on."""
    logs.add_secrets([config.http.token])
    for child in config.children:
        logs.add_secrets(adapters.package(child.platform).secrets(child.options))
        logs.add_secrets([unquote(urlsplit(child.options.proxy).password or "")])
    routed = [agent for route in config.routes for agent in (route.agent, route.fallback)]
    for agent in (config.agent, config.fallback, *routed):
        if isinstance(agent, schema.OpenaiAgent):
            # Shorter ones are words like "true", which half of every line would lose.
            logs.add_secrets([agent.api_key, *(value for value in agent.headers.values() if len(value) >= 8)])


def sentences(error: Exception) -> list[str]:
    """What is wrong and how to mend it, a line each."""
    problems = getattr(error, "problems", None)
    if problems:
        return [str(problem) for problem in problems]
    action = getattr(error, "action", "")
    return [f"{error}" + (f"; {action}" if action else "")]
