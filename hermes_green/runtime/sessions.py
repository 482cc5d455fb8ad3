"""Sessions: when a conversation begins anew by itself, and what its agent calls it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Mapping

from hermes_green.core.ports import Lease, Resets

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Reset:
    """After ``idle_minutes`` without a message, daily at a local time of day (``HH:MM``), or never."""

    reset: Literal["none", "idle", "daily"] = "none"
    idle_minutes: float = 1440.0
    daily_at: str = "04:00"

    def before(self, now: float) -> float:
        """A conversation last used before this wall time begins anew at ``now``."""
        if self.reset == "idle":
            return now - self.idle_minutes * 60
        if self.reset == "none":
            return NEVER
        hour, minute = map(int, self.daily_at.split(":"))
        local = datetime.fromtimestamp(now)
        latest = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (latest if latest <= local else latest - timedelta(days=1)).timestamp()


@dataclass(frozen=True, slots=True)
class Rules:
    """gateway.yaml ``sessions``: by kind of chat, and over it by chat."""

    dm: Reset = Reset()
    group: Reset = Reset()
    chats: Mapping[str, Reset] = field(default_factory=dict)

    def resets(self, now: float) -> Resets | None:
        """For the store; None when no conversation ever begins anew by itself."""
        if all(rule.reset == "none" for rule in (self.dm, self.group, *self.chats.values())):
            return None
        group = self.group.before(now)
        kinds = {"dm": self.dm.before(now), "group": group, "channel": group}
        return Resets(kinds, {chat: rule.before(now) for chat, rule in self.chats.items()})


def name_of(lease: Lease) -> str:
    """The conversation as its agent knows it: another one each time that it begins anew."""
    return f"{lease.session_id}~{lease.generation}" if lease.generation else lease.session_id
