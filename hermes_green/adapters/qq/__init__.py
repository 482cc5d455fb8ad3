"""QQ official bots: group and direct chats, guild channels and guild direct messages."""

from __future__ import annotations

from hermes_green.adapters.qq.settings import Settings, check
from hermes_green.core.platform import Platform

# bot-docs openapi/wss/shard_url_get.md: 1,000 IDENTIFYs in 24 h, max_concurrency 1 per 5 s. A RESUME
# costs nothing, and for dials the platform states no limit of its own.
BUDGETS = {"dial": (), "identify": ((1, 5.0), (1000, 86400.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="QQAdapter",
    Settings=Settings,
    check=check,
    identity=lambda settings: str(settings.app_id),
    BUDGETS=BUDGETS,
)
