"""Policy: every rule that may change while we run, in one frozen value that is swapped whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Mapping

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access
from hermes_green.core.ports import Retention
from hermes_green.runtime import delivery, limits, sessions, turn
from hermes_green.runtime.access import session_of
from hermes_green.runtime.lanes import Manner

# A child without a policy of its own (it was just removed) lets nobody in.
CLOSED = Access(dm="closed", group="closed")


@dataclass(frozen=True, slots=True)
class Policy:
    """What turns, deliveries and access obey from now on. ``drafts_off``: children without drafts;
    ``audit_contents``: an audit tells what was said."""

    locale: str = "en"
    queue_per_session: int = 32
    busy_input_mode: Literal["queue", "merge", "interrupt", "steer"] = "queue"
    merge_window: float = 0.0
    sessions: sessions.Rules = field(default_factory=sessions.Rules)
    limits: limits.Rules = field(default_factory=limits.Rules)
    turns: turn.Rules = field(default_factory=turn.Rules)
    delivery: delivery.Rules = field(default_factory=delivery.Rules)
    retention: Retention = field(default_factory=Retention)
    drafts_off: frozenset[str] = frozenset()
    audit_contents: bool = False
    access: Mapping[str, Access] = field(default_factory=dict)

    def manner(self, now: float) -> Manner:
        """How rows become turns at wall time ``now``."""
        join = float("inf") if self.busy_input_mode in {"merge", "interrupt"} else self.merge_window or None
        return Manner(self.turns.history_turns, join, self.merge_window, self.sessions.resets(now))

    def access_of(self, child: str) -> Access:
        """Who may write through a child."""
        return self.access.get(child, CLOSED)

    def addressed(self, inbound: Inbound) -> Inbound:
        """The message as it counts: where nobody need mention the bot, each one is for it."""
        if inbound.mentioned or self.access_of(inbound.peer.child).within(inbound.peer.chat_id).require_mention:
            return inbound
        return replace(inbound, mentioned=True)

    def session_of(self, peer: Peer) -> str:
        """The conversation that a message of this peer belongs to."""
        return session_of(peer, self.access_of(peer.child))
