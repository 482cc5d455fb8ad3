"""DingTalk: Stream mode in, session webhooks and OpenAPI out. Light to import; ``create`` loads the rest."""

from __future__ import annotations

from typing import Mapping

from hermes_green.adapters.dingtalk.codes import CODES
from hermes_green.adapters.dingtalk.help import HELP
from hermes_green.adapters.dingtalk.settings import Settings
from hermes_green.core.checkup import Tried
from hermes_green.core.model import Secret
from hermes_green.core.ports import Adapter, Context

NAME = "dingtalk"

# The platform publishes no limit of dials, but 5 to 10 quick ones within minutes make it stop routing
# messages to the app for 40 minutes and more, while every connection looks well (hermes-agent #7562).
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {"dial": ((4, 120.0), (8, 900.0))}

__all__ = [
    "BUDGETS",
    "CODES",
    "HELP",
    "NAME",
    "Settings",
    "check",
    "create",
    "endpoints",
    "identity",
    "secrets",
    "try_credentials",
]


def check(settings: Settings) -> list[str]:
    """Sentences about values that are well-formed and yet cannot work."""
    wrong = []
    if not settings.client_id.strip():
        wrong.append("client_id is empty: set it to the app's Client ID (AppKey)")
    if not settings.client_secret.reveal().strip():
        wrong.append("client_secret is empty: set it to the app's Client Secret (AppSecret)")
    if settings.card_template_id and not settings.card_content_key.strip():
        wrong.append("card_content_key is empty: name the template's variable that holds the streamed Markdown")
    return wrong


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter of one account."""
    from hermes_green.adapters.dingtalk.adapter import DingTalkAdapter

    return DingTalkAdapter(settings, ctx)


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.dingtalk import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.dingtalk import checkup

    return checkup.try_credentials(settings)


def identity(settings: Settings) -> str:
    """The account on the platform: names the credential for lock and ledger."""
    return settings.client_id


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What no log may show."""
    return (settings.client_secret,)
