"""Policy: every rule that may change while we run, in one frozen value that is swapped whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from hermes_green.core.options import Access
from hermes_green.core.ports import Retention
from hermes_green.runtime import delivery, turn

# A child without a policy of its own (it was just removed) lets nobody in.
CLOSED = Access(dm="closed", group="closed")


@dataclass(frozen=True, slots=True)
class Policy:
    """What turns, deliveries and access obey from now on. ``drafts_off``: children without drafts."""

    locale: str = "en"
    queue_per_session: int = 32
    turns: turn.Rules = field(default_factory=turn.Rules)
    delivery: delivery.Rules = field(default_factory=delivery.Rules)
    retention: Retention = field(default_factory=Retention)
    drafts_off: frozenset[str] = frozenset()
    access: Mapping[str, Access] = field(default_factory=dict)

    def access_of(self, child: str) -> Access:
        """Who may write through a child."""
        return self.access.get(child, CLOSED)
