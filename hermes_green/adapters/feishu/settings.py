"""What a user may set in feishu.yaml; light to import, because every start reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.core.platform import blank

HOSTS = {"feishu": "https://open.feishu.cn", "lark": "https://open.larksuite.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """The keys of feishu.yaml."""

    app_id: str = key(help="App ID of the self-built app (developer console, Credentials & Basic Info)")
    app_secret: Secret = key(help="App Secret of the same app")
    domain: Literal["feishu", "lark"] = key("feishu", help="which cloud the app lives in; the two are separate")


def base_of(settings: Settings) -> str:
    """Scheme and host of every HTTP call, without a trailing slash."""
    return (settings.api_base or HOSTS[settings.domain]).rstrip("/")


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    return blank(
        settings,
        app_id="set it to the App ID from the developer console",
        app_secret="set it to the App Secret from the developer console",
    )
