"""Feishu and Lark: long connection in, REST out. Light to import; ``create`` loads the rest."""

from __future__ import annotations

from typing import Mapping

from hermes_green.adapters.feishu.codes import CODES
from hermes_green.adapters.feishu.help import HELP
from hermes_green.adapters.feishu.settings import Settings
from hermes_green.core.checkup import Tried
from hermes_green.core.model import Secret
from hermes_green.core.ports import Adapter, Context

NAME = "feishu"

# An app may hold 50 connections and the platform publishes no limit of dials. These let a flapping
# network reconnect freely, and stop a crash loop from becoming an attack.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {"dial": ((30, 60.0), (300, 3600.0))}

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
    if not settings.app_id.strip():
        wrong.append("app_id is empty: set it to the App ID from the developer console")
    if not settings.app_secret.reveal().strip():
        wrong.append("app_secret is empty: set it to the App Secret from the developer console")
    return wrong


def create(settings: Settings, ctx: Context) -> Adapter:
    """The adapter of one account."""
    from hermes_green.adapters.feishu.adapter import FeishuAdapter

    return FeishuAdapter(settings, ctx)


def endpoints(settings: Settings) -> list[str]:
    """Addresses that must be reachable."""
    from hermes_green.adapters.feishu import checkup

    return checkup.endpoints(settings)


def try_credentials(settings: Settings) -> Tried:
    """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
    from hermes_green.adapters.feishu import checkup

    return checkup.try_credentials(settings)


def identity(settings: Settings) -> str:
    """The account on the platform: names the credential for lock and ledger."""
    return settings.app_id


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """What no log may show."""
    return (settings.app_secret,)
