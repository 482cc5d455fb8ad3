"""What a user may set in dingtalk.yaml; light to import, because every start reads it."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_green.core.model import Secret
from hermes_green.core.options import HTTP, PlatformOptions, key
from hermes_green.core.platform import blank

API = "https://api.dingtalk.com"
OAPI = "https://oapi.dingtalk.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """The keys of dingtalk.yaml."""

    client_id: str = key(help="Client ID (AppKey) of the app, from open-dev.dingtalk.com > Credentials")
    client_secret: Secret = key(help="Client Secret (AppSecret) of the same app")
    card_template_id: str = key("", help="AI card template (....schema) to show answers while they grow; empty: none")
    card_content_key: str = key("content", help="the template's variable that holds the streamed Markdown")
    oapi_base: str = key(
        "", help="scheme, host and port of what lives on oapi.dingtalk.com; empty: api_base", url=HTTP
    )


def api_of(settings: Settings) -> str:
    """Scheme and host of the new API, without a trailing slash."""
    return (settings.api_base or API).rstrip("/")


def oapi_of(settings: Settings) -> str:
    """Scheme and host of the old API, without a trailing slash."""
    return (oapi_override(settings) or OAPI).rstrip("/")


def oapi_override(settings: Settings) -> str:
    """What replaces the old API's host in addresses that the platform hands out; empty: nothing."""
    return settings.oapi_base or settings.api_base


def check(settings: Settings) -> list[str]:
    """Sentences about what is wrong with keys that are each of the right type."""
    wrong = blank(
        settings,
        client_id="set it to the app's Client ID (AppKey)",
        client_secret="set it to the app's Client Secret (AppSecret)",
    )
    if settings.card_template_id and not settings.card_content_key.strip():
        wrong.append("card_content_key is empty: name the template's variable that holds the streamed Markdown")
    return wrong
