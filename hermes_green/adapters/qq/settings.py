"""Settings: the keys of qq.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import reduce
from operator import or_

from hermes_green.core.loose import number_of
from hermes_green.core.model import Secret
from hermes_green.core.options import HTTP, PlatformOptions, key
from hermes_green.core.platform import blank


class Intent(IntFlag):
    """Groups of events; qq-botpy 1.2.1 flags.py, bot-docs event-emit.md."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    DIRECT_MESSAGE = 1 << 12
    GROUP_AND_C2C = 1 << 25
    INTERACTION = 1 << 26
    MESSAGE_AUDIT = 1 << 27
    FORUMS = 1 << 28
    AUDIO = 1 << 29
    PUBLIC_GUILD_MESSAGES = 1 << 30


# Asking for an event group without its permission closes the socket with 4014, so what every bot
# has is also what remains after a refusal.
NARROW = int(Intent.GROUP_AND_C2C)
DEFAULT = int(Intent.GROUP_AND_C2C | Intent.PUBLIC_GUILD_MESSAGES | Intent.DIRECT_MESSAGE)


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
    if isinstance(asked, list):
        return int(reduce(or_, (_intent(name) or 0 for name in asked), 0))
    return DEFAULT if asked is None else asked


def _intent(name: str) -> int | None:
    """The number of a group, which may be given in its place."""
    return Intent.__members__.get(name.upper(), number_of(name))


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    wrong = blank(
        settings,
        app_id="copy the AppID from q.qq.com > development settings",
        client_secret="copy the AppSecret from q.qq.com > development settings",
    )
    for name in settings.intents if isinstance(settings.intents, list) else ():
        if _intent(name) is None:
            wrong.append(f"intents: {name} is not known; one of {', '.join(Intent.__members__)}")
    if not wrong and intents_of(settings) <= 0:
        wrong.append("intents asks for no events at all; leave it out to get messages")
    return wrong
