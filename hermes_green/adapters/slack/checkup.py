"""Checkup: whether Slack knows this bot and what it may do; the app-level token is for dials alone.

Sources: docs.slack.dev/reference/methods/auth.test; the header X-OAuth-Scopes, "Token types"; the scopes
of chat.postMessage and of the events message.im and app_mention on their own pages.
"""

from __future__ import annotations

from contextlib import closing

from hermes_green.adapters.slack.codes import BOT_TOKEN
from hermes_green.adapters.slack.rest import BASE, dial_error, take
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.checkup import Tried
from hermes_green.link.http import Http

READ = 4.0
NEEDED = {
    "chat:write": "answer",
    "im:history": "receive direct messages",
    "app_mentions:read": "receive mentions in channels",
}
_WHERE = "add it on api.slack.com/apps > OAuth & Permissions > Bot Token Scopes, and install the app again"


# Slack hands this host out with each connection; named here so that a network can be looked into.
SOCKET = "wss://wss-primary.slack.com"


def endpoints(settings: Settings) -> list[str]:
    """The API, and the socket where it is Slack's own."""
    socket = settings.ws_base or ("" if settings.api_base else SOCKET)
    return [settings.api_base or BASE, *([socket] if socket else [])]


def try_credentials(settings: Settings) -> Tried:
    """``auth.test`` with the bot token. Raises LinkError."""
    with closing(Http(settings.api_base or BASE, ca_file=settings.ca_file, proxy=settings.proxy, read=READ)) as http:
        headers = {"Authorization": f"Bearer {settings.bot_token.reveal()}"}
        answer = http.request("POST", "/api/auth.test", headers=headers)
    said = take(answer)
    if not said.good:
        raise dial_error("the bot's own id", said, BOT_TOKEN)
    granted = {scope.strip() for scope in answer.headers.get("X-OAuth-Scopes", "").split(",") if scope.strip()}
    lacking = [f"the scope {scope} is missing, to {why}: {_WHERE}" for scope, why in NEEDED.items()]
    missing = tuple(text for scope, text in zip(NEEDED, lacking) if granted and scope not in granted)
    note = "app_token was not tried: each try counts as a dial"
    return Tried(f"{said.data.get('user', '')} in {said.data.get('team', '')}", missing, (note,))
