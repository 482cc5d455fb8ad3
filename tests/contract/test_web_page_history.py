"""The last hour in memory: what a point says, how many are kept, and how the page asks for them."""

from __future__ import annotations

import itertools
from typing import Iterator

import gevent
import pytest

from hermes_green.core.clock import SystemClock
from hermes_green.core.ports import Counts
from hermes_green.ops.metrics import Metrics
from hermes_green.web import history as history_module
from hermes_green.web.history import POINTS, History, quantile
from tests.support.children import eventually
from tests.support.gateway import Site

INF = float("inf")


def history_of(metrics: Metrics) -> History:
    return History(metrics.spreads, lambda: 3.0, lambda: Counts(inbox=2, outbox=1), SystemClock())


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("0.0.0")


@pytest.fixture
def site(metrics: Metrics) -> Iterator[Site]:
    site = Site(history=history_of(metrics))
    yield site
    site.stop()


def test_a_point_tells_of_its_own_interval_only(metrics: Metrics) -> None:
    metrics.turn("web", "answered", 7.0)
    history = history_of(metrics)
    for seconds in (0.2, 0.2, 4.0):
        metrics.turn("web", "answered", seconds)
    metrics.delivery("web", "delivered", 0.02)
    first = history.take(12.5)
    assert (first.n, first.lag_ms, first.turns, first.deliveries, first.inbox, first.outbox) == (1, 12.5, 3, 1, 2, 1)
    assert first.turn_p50 is not None and 0.1 <= first.turn_p50 <= 0.25
    assert first.turn_p95 is not None and 2.5 <= first.turn_p95 <= 5
    assert first.delivery_p50 is not None and 0.01 <= first.delivery_p50 <= 0.025
    second = history.take(1.0)
    assert (second.turns, second.turn_p50, second.delivery_p95) == (0, None, None)


def test_turns_of_all_children_and_outcomes_are_one_figure(metrics: Metrics) -> None:
    history = history_of(metrics)
    metrics.turn("web", "answered", 1.0)
    metrics.turn("qq/two", "failed", 1.0)
    assert history.take(0).turns == 2


def test_a_child_that_is_gone_leaves_no_negative_traffic(metrics: Metrics) -> None:
    metrics.turn("qq", "answered", 1.0)
    history = history_of(metrics)
    metrics.forget("qq")
    point = history.take(0)
    assert (point.turns, point.turn_p50) == (0, None)


def test_an_hour_is_kept_and_no_more(metrics: Metrics) -> None:
    history = history_of(metrics)
    for _ in range(POINTS + 20):
        history.take(0)
    kept = history.since()
    assert (len(kept), kept[0]["n"], kept[-1]["n"]) == (POINTS, 21, POINTS + 20)


def test_points_are_taken_by_themselves_with_the_worst_lag_between_them(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "INTERVAL", 0.01)
    lags = itertools.cycle([1.0, 9.0])
    history = History(metrics.spreads, lambda: next(lags), Counts, SystemClock())
    history.start()
    history.start()
    eventually(lambda: len(history.since()) >= 3)
    history.stop()
    kept = history.since()
    assert [point["n"] for point in kept] == list(range(1, len(kept) + 1)), "one greenlet takes them"
    assert {point["lag_ms"] for point in kept} == {9.0}
    gevent.sleep(0.03)
    assert history.since() == kept


@pytest.mark.parametrize(
    "spread, part, expected",
    [
        ({}, 0.5, None),
        ({1.0: 0, INF: 0}, 0.5, None),
        ({1.0: 10, 2.0: 10, INF: 10}, 0.5, 0.5),
        ({1.0: 5, 2.0: 10, INF: 10}, 0.95, 1.9),
        ({1.0: 0, 2.0: 0, INF: 4}, 0.5, 2.0),
    ],
)
def test_a_quantile_is_estimated_as_prometheus_does(
    spread: dict[float, float], part: float, expected: float | None
) -> None:
    assert quantile(spread, part) == pytest.approx(expected)


def test_the_page_reads_all_points_and_then_only_what_is_new(site: Site, metrics: Metrics) -> None:
    history = site.views._history
    assert history is not None
    assert site.get("/api/history").json() == {"interval": 10.0, "points": []}
    history.take(1)
    metrics.turn("web", "answered", 1.0)
    history.take(2)
    assert [point["turns"] for point in site.get("/api/history").json()["points"]] == [0, 1]
    assert [point["n"] for point in site.get("/api/history?since=1").json()["points"]] == [2]
    assert site.get("/api/history?since=2").json()["points"] == []
    # The number of another process: the page has not seen ours.
    assert len(site.get("/api/history?since=99").json()["points"]) == 2
    for wrong in ("-1", "x", "1" * 99):
        assert site.get(f"/api/history?since={wrong}").json()["error"]["field"] == "since"
