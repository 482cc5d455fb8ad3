"""Settings: the keys of telegram.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key

# core.telegram.org/bots/api "Authorizing your bot".
_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """One Telegram bot. ``ping_interval`` is how long a poll may wait for a message (whole seconds, 50
    at most), ``ping_timeout`` how long after that its answer is due."""

    token: Secret = key(help="token of the bot, from @BotFather")


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    if not _TOKEN.fullmatch(settings.token.reveal()):
        return ["token is not of the form 123456789:ABC-DEF..., as @BotFather writes it"]
    return []


def identity(settings: Settings) -> str:
    """The bot's id, which its token begins with."""
    return settings.token.reveal().partition(":")[0]
