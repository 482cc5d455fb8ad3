"""WeCom (企业微信) AI bots over the long connection: direct chats and groups."""

from __future__ import annotations

from hermes_green.adapters.wecom.settings import Settings, check
from hermes_green.core.platform import Platform

# The limit of subscriptions is not published; that there is one, field reports tell (45009 to clients
# that redial every second). Ten a minute lets a bad minute pass, sixty an hour is one a minute.
BUDGETS = {"dial": ((10, 60.0), (60, 3600.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="WeComAdapter",
    Settings=Settings,
    check=check,
    identity=lambda settings: str(settings.bot_id),
    BUDGETS=BUDGETS,
)
