"""The questions a simulator's server asks its platform, with the answers of a platform that has none."""

from __future__ import annotations

from typing import Any

from hermes_green.sim.kit_http import Answer, HttpConnection, Request
from hermes_green.sim.kit_ws import Link


class Hooks:
    """What a platform overrides."""

    def started(self) -> None:
        """The server listens: spawn the platform's own greenlets."""

    def stopping(self) -> None:
        """End the platform's own greenlets."""

    def is_dial(self, request: Request) -> bool:
        """An HTTP request that belongs to dialling (discovery): ``refuse`` applies to it."""
        return False

    def counts_dial(self, request: Request) -> bool:
        """This request begins a dial; asked for discovery requests and upgrades."""
        return self.is_dial(request)

    def is_send(self, request: Request) -> bool:
        """A request that makes a message: ``429`` and ``lose_answer`` apply to it."""
        return False

    def refusal(self, request: Request, status: int) -> Answer:
        """The answer to a refused dial."""
        return Answer(status, {"message": "refused"})

    def throttled(self, request: Request, after: float) -> Answer:
        """The answer to a rate-limited send."""
        return Answer(429, {"message": "too many requests"}, {"Retry-After": str(after)})

    def route(self, request: Request) -> Answer:
        """Answer a REST request."""
        return Answer(404, {"message": "not found"})

    def admit(self, request: Request) -> Answer | None:
        """None opens the WebSocket; an answer refuses it."""
        return None

    def opened(self, link: Link) -> None:
        """A link is up; its first message has not been read."""

    def received(self, link: Link, data: str | bytes) -> None:
        """One whole message came."""

    def closed(self, link: Link) -> None:
        """A link is gone."""

    def disconnected(self, http: HttpConnection) -> None:
        """A TCP connection is over, a link's too."""

    def redeliver(self) -> None:
        """Push again what the fault ``redeliver`` means on this platform."""

    def control(self, verb: str, args: dict[str, Any]) -> Answer:
        """A control verb of the platform's own."""
        return Answer(404, {"error": f"no such control: {verb}"})

    def control_request(self, request: Request) -> Answer:
        """Answer whatever came under ``/_sim/``."""
        return Answer(404, {"error": "nobody controls this simulator"})
