"""Door: whether a sender may have a turn now: access lists, pairing and limits, asked in one place."""

from __future__ import annotations

from typing import Callable

from hermes_green.core.model import Inbound, Peer
from hermes_green.runtime.access import Verdict, judge
from hermes_green.runtime.limits import Limits
from hermes_green.runtime.loops import Loops
from hermes_green.runtime.pairing import Pairing
from hermes_green.runtime.policy import Policy


class Door:
    """``pairing``, ``limits`` and ``loops`` are open to those who keep them."""

    def __init__(self, policy: Callable[[], Policy], pairing: Pairing, limits: Limits, loops: Loops) -> None:
        self.pairing = pairing
        self.limits = limits
        self.loops = loops
        self._policy = policy

    def verdict(self, inbound: Inbound) -> Verdict:
        """By the lists, and by who was let in with a code."""
        peer = inbound.peer
        paired = self.pairing.knows(peer.child, peer.user_id)
        return judge(inbound, self._policy().access_of(peer.child), paired)

    def admits(self, inbound: Inbound) -> bool:
        """Whether a message that waited may still have its turn; limits were asked when it came."""
        return self.verdict(inbound) is Verdict.ALLOW

    def passes(self, inbound: Inbound) -> bool:
        """Whether a message will have a turn, as far as can be told before it is committed."""
        return self.admits(inbound) and self.limits.passes(inbound.peer) and self.loops.passes(inbound)

    def is_admin(self, peer: Peer) -> bool:
        """Listed among the ``admins`` of its child."""
        return peer.user_id is not None and peer.user_id in self._policy().access_of(peer.child).admins
