"""Registry: which module makes an agent of which type."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from hermes_green.agents.yard import Yard
from hermes_green.core.errors import ConfError
from hermes_green.core.ports import Agent

AGENTS = {
    "echo": "hermes_green.agents.echo",
    "openai": "hermes_green.agents.openai",
}
# These have processes of their own; their ``create`` is given the yard in which to keep them.
OUTSIDE = {
    "python": "hermes_green.agents.python",
    "command": "hermes_green.agents.command",
}
GROUP = "hermes_green.agents"
HOOKS = "hermes_green.hooks"


class TypedOptions(Protocol):
    """An agent's options as the settings have them; ``type`` says whose they are."""

    @property
    def type(self) -> str: ...


def hook_target(run: str | list[str]) -> str | list[str]:
    """What a hook runs: a single word is the name under which another package offers one.

    Raises:
        ConfError: none does.
    """
    if not isinstance(run, str) or ":" in run:
        return run
    for point in entry_points(group=HOOKS, name=run):
        return point.value
    raise ConfError(
        f'no package offers a hook called "{run}"',
        code="hook",
        action="in hooks, write run as package.module:function, or as a list for a program and its arguments",
    )


def create(options: TypedOptions, log: Any, yard: Yard) -> Agent:
    """The agent that ``options`` describe.

    A module of ours, or what another package's entry point names, offers ``create(options, log)``. To
    another package's go ``options.options``, the keys as the user wrote them.

    Raises:
        ConfError: there is no such agent, it cannot be loaded, or it refuses its options.
    """
    if options.type in AGENTS:
        made: Agent = import_module(AGENTS[options.type]).create(options, log)
        return made
    if options.type in OUTSIDE:
        kept: Agent = import_module(OUTSIDE[options.type]).create(options, log, yard)
        return kept
    names = ", ".join([*AGENTS, *OUTSIDE])
    for point in entry_points(group=GROUP, name=options.type):
        try:
            make = point.load().create
        except (ImportError, AttributeError) as error:
            raise ConfError(f'the agent "{options.type}" ({point.value}) cannot be loaded: {error}') from error
        other: Agent = make(getattr(options, "options", options), log)
        return other
    raise ConfError(
        f'this release has no agent "{options.type}"; it has {names}',
        code="agent",
        action=f"set agent.type to one of {names}, or install the package that brings it",
    )
