"""Gates: how fast a child may send, per chat and in all; they learn from every "not so fast"."""

from __future__ import annotations

from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendRetry
from hermes_green.core.pacing import Bucket, enter
from hermes_green.core.ports import Adapter

# Beyond this many chats, gates without memory are forgotten.
REMEMBER = 4_096
# Seconds between two looks for them: while thousands are busy, each look finds none and costs the hub milliseconds.
FORGET_EVERY = 1.0


class Gates:
    """Buckets filled from ``caps.rates``, one set per child and one per lane."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], list[Bucket]] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._forget_at = 0.0

    def learn(self, adapter: Adapter, child: str, lane: str, chat_type: str) -> None:
        """The kind of a lane's chat, whose limits may differ from the platform's usual ones; known
        from its first part on. The send that taught it counts against the new limits."""
        key = (child, lane)
        if self._kinds.get(key) == chat_type:
            return
        self._kinds[key] = chat_type
        if adapter.caps.of(chat_type).rates != adapter.caps.default.rates:
            self._buckets.pop(key, None)
            now = self._clock.monotonic()
            for bucket in self._of(adapter, child, lane)[self._width(child) :]:
                bucket.spend(now)

    def needs_link(self, adapter: Adapter, child: str, lane: str) -> bool:
        """Whether nothing of a lane can be sent without a link; False also where only its kind of chat, which
        is not known yet, decides that."""
        kind, caps = self._kinds.get((child, lane)), adapter.caps
        kinds = (caps.default, *caps.by_type.values()) if kind is None else (caps.of(kind),)
        return all(each.send_needs_link for each in kinds)

    def enter(self, adapter: Adapter, child: str, lane: str, *, draft: bool = False) -> float:
        """Book one send (or a draft's update) and answer 0, or book nothing and answer the seconds
        until one is allowed."""
        now = self._clock.monotonic()
        buckets = [bucket for bucket in self._of(adapter, child, lane) if bucket.drafts or not draft]
        wait = enter(buckets, now)
        if wait <= 0 and len(self._buckets) > REMEMBER and now >= self._forget_at:
            self._forget(now)
        return wait

    def leave(self, child: str, lane: str) -> None:
        """What was booked last was not sent after all."""
        for key in ((child, ""), (child, lane)):
            for bucket in self._buckets.get(key, ()):
                bucket.refund()

    def close(self, child: str, lane: str, error: SendRetry) -> None:
        """The platform (or a token that could not be had) asks for silence."""
        if error.after <= 0:
            return
        now = self._clock.monotonic()
        key = (child, "") if error.scope == "account" else (child, lane)
        buckets = self._buckets.setdefault(key, [])
        if not buckets:
            buckets.append(Bucket(1_000_000, 1.0))
        for bucket in buckets:
            bucket.close(now, error.after)

    def _of(self, adapter: Adapter, child: str, lane: str) -> list[Bucket]:
        found: list[Bucket] = []
        for key, scope in (((child, ""), "account"), ((child, lane), "chat")):
            if key not in self._buckets:
                caps = adapter.caps.of(self._kinds[key]) if key in self._kinds else adapter.caps.default
                rates = [rate for rate in caps.rates if rate.scope == scope]
                self._buckets[key] = [Bucket(rate.count, rate.seconds, rate.drafts) for rate in rates]
            found.extend(self._buckets[key])
        return found

    def _width(self, child: str) -> int:
        """How many buckets the child has for all its chats together."""
        return len(self._buckets.get((child, ""), ()))

    def _forget(self, now: float) -> None:
        self._forget_at = now + FORGET_EVERY
        idle = [key for key, buckets in self._buckets.items() if all(bucket.idle(now) for bucket in buckets)]
        for key in idle:
            del self._buckets[key]
            self._kinds.pop(key, None)
