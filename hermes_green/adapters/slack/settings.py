"""Settings: the keys of slack.yaml."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.core.platform import blank

APP = "xapp-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """One Slack app in one workspace."""

    bot_token: Secret = key(help="bot token (xoxb-...), from api.slack.com/apps > OAuth & Permissions")
    app_token: Secret = key(
        help="app-level token (xapp-...) with connections:write, from api.slack.com/apps > Basic Information"
    )


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    wrong = blank(
        settings,
        bot_token="copy the bot token from api.slack.com/apps > OAuth & Permissions",
        app_token="make an app-level token on api.slack.com/apps > Basic Information",
    )
    if settings.bot_token.reveal().strip().startswith(APP):
        wrong.append("bot_token holds an app-level token (xapp-): it belongs into app_token")
    if settings.app_token.reveal().strip().startswith(("xoxb-", "xoxp-")):
        wrong.append("app_token holds a bot or user token (xox?-): an app-level one (xapp-) is needed")
    return wrong


def identity(settings: Settings) -> str:
    """The app's id, which stands in its app-level token (``xapp-1-A0...-...``).

    Connections belong to the app, whatever workspace the bot token is of: two gateways with one app
    would each get half of the messages.
    """
    token = settings.app_token.reveal().strip()
    parts = token.split("-")
    if len(parts) > 3 and parts[0] == "xapp" and parts[2].isalnum():
        return parts[2]
    return "app-" + hashlib.sha256(token.encode()).hexdigest()[:12]
