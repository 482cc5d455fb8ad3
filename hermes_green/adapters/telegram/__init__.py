"""Telegram bots: direct chats, groups with topics, and channels, over long polls.

Import-light: what the loader, ``check`` and the composition root need; the adapter itself is
imported by ``create``.
"""

from __future__ import annotations

from typing import Mapping

from hermes_green.adapters.telegram.codes import CODES
from hermes_green.adapters.telegram.help import HELP
from hermes_green.adapters.telegram.settings import Settings, check
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

NAME = "telegram"

# The platform limits no polls. These let a flapping network come back freely, and stop a crash loop
# from becoming an attack.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {"dial": ((30, 60.0), (300, 3600.0))}


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.telegram import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.telegram import checkup

    return checkup.try_credentials(settings)


def identity(settings: Settings) -> str:
    """The account on the platform: the bot's id, which its token begins with."""
    return settings.token.reveal().partition(":")[0]


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What must never be logged."""
    return (settings.token,)


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter for one account; makes no network call."""
    from hermes_green.adapters.telegram.adapter import TelegramAdapter

    return TelegramAdapter(settings, ctx)
