"""Settings: the keys of qq.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Mapping

from hermes_green.core.model import Secret
from hermes_green.core.options import HTTP, PlatformOptions, key
from hermes_green.core.platform import blank

# qq-botpy 1.2.1 flags.py; bot-docs event-emit.md.
INTENTS: Mapping[str, int] = MappingProxyType(
    {
        "GUILDS": 1 << 0,
        "GUILD_MEMBERS": 1 << 1,
        "GUILD_MESSAGES": 1 << 9,
        "GUILD_MESSAGE_REACTIONS": 1 << 10,
        "DIRECT_MESSAGE": 1 << 12,
        "GROUP_AND_C2C": 1 << 25,
        "INTERACTION": 1 << 26,
        "MESSAGE_AUDIT": 1 << 27,
        "FORUMS": 1 << 28,
        "AUDIO": 1 << 29,
        "PUBLIC_GUILD_MESSAGES": 1 << 30,
    }
)

# Asking for an event group without its permission closes the socket with 4014, so what every bot
# has is also what remains after a refusal.
NARROW = INTENTS["GROUP_AND_C2C"]
DEFAULT = NARROW | INTENTS["PUBLIC_GUILD_MESSAGES"] | INTENTS["DIRECT_MESSAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """One QQ bot."""

    app_id: str = key(help="AppID of the bot, from q.qq.com > development settings")
    client_secret: Secret = key(help="AppSecret of the bot, from the same page")
    intents: int | list[str] | None = key(
        None, help="event groups to ask for: names (GROUP_AND_C2C, ...) or their sum; null: direct, group and guild"
    )
    token_base: str = key("", help="scheme, host and port of the token address; empty: api_base", url=HTTP)


def intents_of(settings: Settings) -> int:
    """The sum to IDENTIFY with. Names not known count nothing; ``check`` reports them."""
    asked = settings.intents
    if asked is None:
        return DEFAULT
    if isinstance(asked, int):
        return asked
    total = 0
    for name in asked:
        total |= int(name) if name.isdigit() else INTENTS.get(name.upper(), 0)
    return total


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    wrong = blank(
        settings,
        app_id="copy the AppID from q.qq.com > development settings",
        client_secret="copy the AppSecret from q.qq.com > development settings",
    )
    if isinstance(settings.intents, list):
        for name in settings.intents:
            if not name.isdigit() and name.upper() not in INTENTS:
                wrong.append(f"intents: {name} is not known; one of {', '.join(INTENTS)}")
    if not wrong and settings.intents is not None and intents_of(settings) <= 0:
        wrong.append("intents asks for no events at all; leave it out to get messages")
    return wrong
