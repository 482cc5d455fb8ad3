"""QQ official bots: group and direct chats, guild channels and guild direct messages.

Import-light: what the loader, ``check`` and the composition root need; the adapter itself is
imported by ``create``.
"""

from __future__ import annotations

from typing import Mapping

from hermes_green.adapters.qq.codes import CODES
from hermes_green.adapters.qq.help import HELP
from hermes_green.adapters.qq.settings import INTENTS, Settings, check
from hermes_green.core.checkup import Tried
from hermes_green.core.model import Secret
from hermes_green.core.ports import Adapter, Context

__all__ = [
    "BUDGETS",
    "CODES",
    "HELP",
    "INTENTS",
    "NAME",
    "Settings",
    "check",
    "create",
    "endpoints",
    "identity",
    "secrets",
    "try_credentials",
]

NAME = "qq"

# bot-docs openapi/wss/shard_url_get.md: 1,000 IDENTIFYs in 24 h, max_concurrency 1 per 5 s. A RESUME
# costs nothing, and for dials the platform states no limit of its own.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {
    "dial": (),
    "identify": ((1, 5.0), (1000, 86400.0)),
}


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.qq import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.qq import checkup

    return checkup.try_credentials(settings)


def identity(settings: Settings) -> str:
    """The account on the platform: the app id."""
    return settings.app_id


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What must never be logged."""
    return (settings.client_secret,)


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter for one account; makes no network call."""
    from hermes_green.adapters.qq.adapter import QQAdapter

    return QQAdapter(settings, ctx)
