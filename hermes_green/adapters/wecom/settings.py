"""Settings: the keys of wecom.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.core.platform import blank


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """One AI bot in API mode over the long connection."""

    bot_id: str = key(help="Bot ID, from the bot's page in WeCom > API mode > long connection")
    secret: Secret = key(help="Secret of the long connection, from the same page")
    bot_name: str = key("", help="the bot's name, where it holds blanks: groups' messages begin with @name")
    welcome: str = key("", help="what to say when a user enters the direct chat, once a day; empty: nothing")


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    return blank(
        settings,
        bot_id="copy the Bot ID from the bot's page in WeCom (API mode, long connection)",
        secret="copy the Secret from the bot's page in WeCom (API mode, long connection)",
    )
