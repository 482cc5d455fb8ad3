"""Checkup: whether the platform knows this app, asked with a token call that opens no connection."""

from __future__ import annotations

from contextlib import closing

from hermes_green.adapters.dingtalk.rest import TOKEN, dial_error, take
from hermes_green.adapters.dingtalk.settings import Settings, api_of, oapi_of
from hermes_green.core.checkup import Tried
from hermes_green.link.http import Http

READ = 4.0


# The platform hands this host out with each connection; named here so that a network can be looked into.
SOCKET = "wss://wss-open-connection.dingtalk.com"


def endpoints(settings: Settings) -> list[str]:
    """The new API, the old one, and the socket where it is the platform's own."""
    socket = settings.ws_base or ("" if settings.api_base else SOCKET)
    return [api_of(settings), oapi_of(settings), *([socket] if socket else [])]


def try_credentials(settings: Settings) -> Tried:
    """A token. Raises LinkError."""
    headers = {"Accept": "application/json"}
    with closing(
        Http(api_of(settings), ca_file=settings.ca_file, proxy=settings.proxy, read=READ, headers=headers)
    ) as http:
        body = {"appKey": settings.client_id, "appSecret": settings.client_secret.reveal()}
        said = take(http.request("POST", TOKEN, json=body))
    if not said.good or not isinstance(said.data.get("accessToken"), str):
        raise dial_error("an access token", said)
    return Tried(settings.client_id)
