"""Slack over Socket Mode: direct messages, group direct messages, channels and their threads.

Import-light: what the loader, ``check`` and the composition root need; the adapter itself is
imported by ``create``.
"""

from __future__ import annotations

import hashlib
from typing import Mapping

from hermes_green.adapters.slack.codes import CODES
from hermes_green.adapters.slack.help import HELP
from hermes_green.adapters.slack.settings import Settings, check
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

NAME = "slack"

# docs.slack.dev rate-limits: apps.connections.open, asked for every dial, is a method of tier 1 (one a
# minute, "occasional bursts" allowed). A minute's burst is ours; what exceeds Slack's is told by its 429.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {"dial": ((10, 60.0), (90, 3600.0))}


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.slack import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.slack import checkup

    return checkup.try_credentials(settings)


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


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What must never be logged."""
    return (settings.bot_token, settings.app_token)


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter for one account; makes no network call."""
    from hermes_green.adapters.slack.adapter import SlackAdapter

    return SlackAdapter(settings, ctx)
