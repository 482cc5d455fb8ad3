"""DingTalk: Stream mode in, session webhooks and OpenAPI out."""

from __future__ import annotations

from hermes_green.adapters.dingtalk.settings import Settings, check
from hermes_green.core.platform import Platform

# The platform publishes no limit of dials, but 5 to 10 quick ones within minutes make it stop routing
# messages to the app for 40 minutes and more, while every connection looks well (hermes-agent #7562).
BUDGETS = {"dial": ((4, 120.0), (8, 900.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="DingTalkAdapter",
    Settings=Settings,
    check=check,
    identity=lambda settings: str(settings.client_id),
    BUDGETS=BUDGETS,
)
