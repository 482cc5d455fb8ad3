"""Routes: which agent answers which message; the first route whose selectors all match decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from hermes_green.core.model import Turn
from hermes_green.core.ports import Agent


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


class Routes:
    """The agents in force; replaced whole on reload."""

    def __init__(self, default: Agent, routes: Sequence[Route] = ()) -> None:
        self._default = default
        self._routes = tuple(routes)

    def agent(self, turn: Turn) -> Agent:
        """Who answers this turn."""
        return next((route.agent for route in self._routes if route.matches(turn)), self._default)

    def close(self) -> None:
        """Close every agent."""
        for agent in (self._default, *(route.agent for route in self._routes)):
            agent.close()
