"""Checkup: whether QQ knows this bot, asked with a token call that opens no session."""

from __future__ import annotations

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.rest import Rest
from hermes_green.adapters.qq.settings import Settings
from hermes_green.core.checkup import Tried
from hermes_green.core.clock import SystemClock
from hermes_green.link.api import briefly


def endpoints(settings: Settings) -> list[str]:
    """The API, which has the socket too, and where tokens come from."""
    api = settings.api_base or wire.API_BASE
    token = settings.token_base or settings.api_base or wire.TOKEN_BASE
    return [api, token, *([settings.ws_base] if settings.ws_base else [])]


def try_credentials(settings: Settings) -> Tried:
    """A token; where the gateway is, is asked by dials alone. Raises LinkError."""
    with briefly(Rest(settings, SystemClock(), hide=lambda token: None)) as rest:
        rest.token()
    return Tried(settings.app_id)
