"""Telegram bots: direct chats, groups with topics, and channels, over long polls."""

from __future__ import annotations

from hermes_green.adapters.telegram.settings import Settings, check, identity
from hermes_green.core.platform import Platform

# The platform limits no polls. These let a flapping network come back freely, and stop a crash loop
# from becoming an attack.
BUDGETS = {"dial": ((30, 60.0), (300, 3600.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="TelegramAdapter",
    Settings=Settings,
    check=check,
    identity=identity,
    BUDGETS=BUDGETS,
)
