"""WeCom (企业微信) AI bots over the long connection: direct chats and groups.

Import-light: what the loader, ``check`` and the composition root need; the adapter itself is
imported by ``create``.
"""

from __future__ import annotations

from typing import Mapping

from hermes_green.adapters.wecom.codes import CODES
from hermes_green.adapters.wecom.help import HELP
from hermes_green.adapters.wecom.settings import Settings, check
from hermes_green.core.checkup import Tried
from hermes_green.core.model import Secret
from hermes_green.core.ports import Adapter, Context

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

NAME = "wecom"

# The limit of subscriptions is not published; that there is one, field reports tell (45009 to clients
# that redial every second). Ten a minute lets a bad minute pass, sixty an hour is one a minute.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {"dial": ((10, 60.0), (60, 3600.0))}


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.wecom import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.wecom import checkup

    return checkup.try_credentials(settings)


def identity(settings: Settings) -> str:
    """The account on the platform: the bot's id."""
    return settings.bot_id


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What must never be logged."""
    return (settings.secret,)


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter for one account; makes no network call."""
    from hermes_green.adapters.wecom.adapter import WeComAdapter

    return WeComAdapter(settings, ctx)
