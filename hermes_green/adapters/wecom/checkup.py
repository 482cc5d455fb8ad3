"""Checkup: what can be said of a bot whose credentials go into the first frame of a link."""

from __future__ import annotations

from hermes_green.adapters.wecom import wire
from hermes_green.adapters.wecom.settings import Settings
from hermes_green.core.checkup import Tried


def endpoints(settings: Settings) -> list[str]:
    """The socket: everything but files goes over it."""
    return [settings.ws_base or wire.WS_BASE]


def try_credentials(settings: Settings) -> Tried:
    """Nothing is tried: the platform has no token call, and a second link takes the bot from the first."""
    return Tried(notes=("bot_id and secret can only be tried by a dial, which would take the bot from whoever has it",))
