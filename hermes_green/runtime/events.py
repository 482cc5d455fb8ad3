"""Bus: tells whoever listens what just happened, and never waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from gevent.queue import Empty, Full, Queue

from hermes_green.core.clock import Clock

FEED_BOUND = 512


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: ``name`` as in hooks (``adapter:ready``), wall time, plain data."""

    name: str
    at: float
    data: Mapping[str, Any]


class Subscription:
    """A listener's bounded feed; when it is full the oldest event is dropped and counted."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._queue: Queue[Event] = Queue(FEED_BOUND)
        self.dropped = 0

    def get(self, timeout: float) -> Event | None:
        """The next event, or None after ``timeout`` seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except Empty:
            return None

    def close(self) -> None:
        """Stop listening."""
        self._bus.drop(self)

    def offer(self, event: Event) -> None:
        """Put without waiting."""
        try:
            self._queue.put_nowait(event)
        except Full:
            self.dropped += 1
            self._queue.get_nowait()
            self._queue.put_nowait(event)


class Bus:
    """Publishes events to every subscription."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._feeds: set[Subscription] = set()

    def publish(self, name: str, **data: Any) -> None:
        """Tell all listeners; costs nothing when there are none."""
        if not self._feeds:
            return
        event = Event(name, self._clock.wall(), data)
        for feed in tuple(self._feeds):
            feed.offer(event)

    def subscribe(self) -> Subscription:
        """A new feed, from now on; its owner closes it."""
        feed = Subscription(self)
        self._feeds.add(feed)
        return feed

    def drop(self, feed: Subscription) -> None:
        """Forget a feed."""
        self._feeds.discard(feed)
