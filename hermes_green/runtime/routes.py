"""Routes: which agent answers which message; the first route whose selectors all match decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, Sequence

from hermes_green.core.errors import AgentFailed, AgentTimeout, TurnTimeout
from hermes_green.core.model import Delta, Turn
from hermes_green.core.ports import Agent
from hermes_green.runtime.closing import side_by_side

CLOSING = 1.0  # seconds for agents to close


@dataclass(frozen=True, slots=True)
class Route:
    """Selectors, empty ones match all; ``prefix`` is how the text begins."""

    agent: Agent
    child: str = ""
    chat: str = ""
    user: str = ""
    prefix: str = ""

    def matches(self, turn: Turn) -> bool:
        """True when every selector that is given fits."""
        return (
            self.child in ("", turn.child)
            and self.chat in ("", turn.chat_id)
            and self.user in ("", turn.user_id)
            and turn.text.startswith(self.prefix)
        )


class WithFallback:
    """Asks ``second`` where ``first`` fails before it has said anything."""

    def __init__(self, first: Agent, second: Agent, log: Any) -> None:
        self.steers = any(getattr(agent, "steers", False) for agent in (first, second))
        self._first = first
        self._second = second
        self._log = log
        self._answering: dict[str, Agent] = {}

    def run(self, turn: Turn) -> Iterator[Delta]:
        """Raises AgentError: of the first once it has begun, else of the second."""
        try:
            begun = False
            self._answering[turn.id] = self._first
            try:
                for delta in self._first.run(turn):
                    begun = True
                    yield delta
                return
            except TurnTimeout:
                raise
            except (AgentFailed, AgentTimeout) as error:
                if begun:
                    raise
                self._log.warning("turn {}: {}; the fallback is asked", turn.id, error)
            self._answering[turn.id] = self._second
            yield from self._second.run(turn)
        finally:
            self._answering.pop(turn.id, None)

    def steer(self, turn_id: str, text: str) -> bool:
        """To the one that answers."""
        agent: Any = self._answering.get(turn_id)
        return getattr(agent, "steers", False) and bool(agent.steer(turn_id, text))

    def close(self) -> None:
        """Close both."""
        try:
            self._first.close()
        finally:
            self._second.close()


class Prompted:
    """The same agent with a system prompt of the route's; who made the agent closes it."""

    def __init__(self, agent: Agent, prompt: str) -> None:
        self.steers = getattr(agent, "steers", False)
        self._agent = agent
        self._prompt = prompt

    def run(self, turn: Turn) -> Iterator[Delta]:
        """As the agent."""
        return self._agent.run(replace(turn, system_prompt=self._prompt))

    def steer(self, turn_id: str, text: str) -> bool:
        """As the agent."""
        agent: Any = self._agent
        return bool(agent.steer(turn_id, text))

    def close(self) -> None:
        """Nothing is its own."""


class Routes:
    """The agents in force; replaced whole on reload. ``own``: those to close, where routes share some."""

    def __init__(self, default: Agent, routes: Sequence[Route] = (), own: Sequence[Agent] | None = None) -> None:
        self._default = default
        self._routes = tuple(routes)
        self._own = tuple(own) if own is not None else (default, *(route.agent for route in routes))

    def agent(self, turn: Turn) -> Agent:
        """Who answers this turn."""
        return next((route.agent for route in self._routes if route.matches(turn)), self._default)

    def close(self) -> None:
        """Close every agent. Those of other packages may raise, or not come to an end: that is their own matter."""
        side_by_side(CLOSING, **{f"agent-{number}": agent.close for number, agent in enumerate(self._own)})
