"""Metrics: what Prometheus may scrape; the names are a contract, the labels never name chats or users."""

from __future__ import annotations

from typing import Any, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_REASONS = 40  # values of ``reason`` per child before the rest becomes "other"

_TURN = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_DELIVERY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 14400)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Metrics:
    """One per process, in a registry of its own.

    ``before_render``: callbacks that refresh what is cheaper to ask than to push (ages, depths); they
    run at every scrape. A child's id is ``platform`` or ``platform/account``. Times in seconds.
    """

    def __init__(self, version: str) -> None:
        disable_created_metrics()
        self._registry = CollectorRegistry(auto_describe=False)
        self.before_render: list[Callable[[], None]] = []
        self._reasons: dict[str, set[str]] = {}
        both = ("child", "platform")
        self._link_up = self._gauge("link_up", "1 while the child's link is proved to work", both)
        self._inbound = self._gauge("last_inbound_timestamp_seconds", "wall time of the last inbound message", both)
        self._proof = self._gauge("proof_age_seconds", "time since the platform was last heard on this link", both)
        self._reconnects = self._counter("reconnects", "ends of a link, by reason", (*both, "reason"))
        self._dials = self._counter("dials", "attempts to open a link, by outcome", (*both, "outcome"))
        self._heartbeats = self._counter("heartbeats", "heartbeats sent, answered and missed", (*both, "outcome"))
        self._inbox = self._gauge("inbox_depth", "messages accepted and not yet answered")
        self._outbox = self._gauge("outbox_depth", "parts of replies not yet delivered")
        self._oldest = self._gauge("oldest_undelivered_seconds", "age of the oldest part not yet delivered")
        self._dead = self._gauge("dead_letters", "messages and replies given up and kept")
        by_outcome = (*both, "outcome")
        self._turn = self._histogram("turn_seconds", "duration of a turn", by_outcome, _TURN)
        self._delivery = self._histogram(
            "delivery_seconds", "from the birth of a part to its receipt or end", by_outcome, _DELIVERY
        )
        self._lag = self._histogram("hub_lag_seconds", "how late the hub runs a timer", (), _LAG)
        self._gauge("build_info", "1, labelled with the version", ("version",)).labels(version).set(1)
        self._series: dict[str, set[tuple[MetricWrapperBase, tuple[str, ...]]]] = {}

    def link_up(self, child: str, up: bool) -> None:
        """The child's link came to READY or left it."""
        self._of(self._link_up, child).set(1 if up else 0)

    def inbound(self, child: str, wall: float) -> None:
        """A message arrived at wall time ``wall``."""
        self._of(self._inbound, child).set(wall)

    def proof_age(self, child: str, seconds: float | None) -> None:
        """How long ago the platform was heard; None (no link) takes the series away."""
        if seconds is None:
            self._remove(self._proof, child)
        else:
            self._of(self._proof, child).set(seconds)

    def reconnect(self, child: str, reason: str) -> None:
        """A link ended; ``reason`` is a short code, never a sentence."""
        known = self._reasons.setdefault(child, set())
        if reason not in known and len(known) >= MAX_REASONS:
            reason = "other"
        known.add(reason)
        self._of(self._reconnects, child, reason).inc()

    def dial(self, child: str, outcome: str) -> None:
        """A dial ended (ready, lost, rejected, throttled)."""
        self._of(self._dials, child, outcome).inc()

    def heartbeat(self, child: str, outcome: str) -> None:
        """A heartbeat was sent, answered or missed."""
        self._of(self._heartbeats, child, outcome).inc()

    def depths(self, inbox: int, outbox: int, dead: int, oldest_undelivered: float | None) -> None:
        """What waits in the store; ``oldest_undelivered`` in seconds, None when nothing waits."""
        self._inbox.set(inbox)
        self._outbox.set(outbox)
        self._dead.set(dead)
        self._oldest.set(oldest_undelivered or 0.0)

    def turn(self, child: str, outcome: str, seconds: float) -> None:
        """A turn ended."""
        self._of(self._turn, child, outcome).observe(seconds)

    def delivery(self, child: str, outcome: str, seconds: float) -> None:
        """A part was delivered or given up, ``seconds`` after its birth."""
        self._of(self._delivery, child, outcome).observe(seconds)

    def hub_lag(self, seconds: float) -> None:
        """One sample of the hub's lateness."""
        self._lag.observe(seconds)

    def spreads(self) -> dict[str, dict[float, float]]:
        """Turns and deliveries so far: upper bound of their duration (s) -> how many took no longer."""
        return {"turn": _spread(self._turn), "delivery": _spread(self._delivery)}

    def forget(self, child: str) -> None:
        """The child is gone from the configuration: its series go too."""
        self._reasons.pop(child, None)
        for metric, labels in self._series.pop(child, ()):
            metric.remove(*labels)

    def render(self) -> bytes:
        """The text that ``/metrics`` answers, after the callbacks of ``before_render``."""
        for refresh in self.before_render:
            refresh()
        return generate_latest(self._registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"hermes_green_{name}", text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"hermes_green_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"hermes_green_{name}", text, labels, registry=self._registry, buckets=buckets)

    def _of(self, metric: Any, child: str, *more: str) -> Any:
        """The series of one child, remembered so that it can be forgotten."""
        labels = (child, child.partition("/")[0], *more)
        self._series.setdefault(child, set()).add((metric, labels))
        return metric.labels(*labels)

    def _remove(self, metric: MetricWrapperBase, child: str) -> None:
        known = self._series.get(child, set())
        for entry in [entry for entry in known if entry[0] is metric]:
            known.discard(entry)
            metric.remove(*entry[1])


def _spread(histogram: Histogram) -> dict[float, float]:
    found: dict[float, float] = {}
    for sample in (sample for family in histogram.collect() for sample in family.samples):
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            found[bound] = found.get(bound, 0.0) + sample.value
    return found
