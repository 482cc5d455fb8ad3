"""Checkup: whether the platform knows this app, asked with a token call that opens no connection."""

from __future__ import annotations

from hermes_green.adapters.dingtalk.rest import Rest
from hermes_green.adapters.dingtalk.settings import Settings, api_of, oapi_of
from hermes_green.core.checkup import Tried
from hermes_green.core.clock import SystemClock
from hermes_green.link.api import briefly

# The platform hands this host out with each connection; named here so that a network can be looked into.
SOCKET = "wss://wss-open-connection.dingtalk.com"


def endpoints(settings: Settings) -> list[str]:
    """The new API, the old one, and the socket where it is the platform's own."""
    socket = settings.ws_base or ("" if settings.api_base else SOCKET)
    return [api_of(settings), oapi_of(settings), *([socket] if socket else [])]


def try_credentials(settings: Settings) -> Tried:
    """A token. Raises LinkError."""
    with briefly(Rest(settings, SystemClock(), hide=lambda token: None)) as rest:
        rest.token()
    return Tried(settings.client_id)
