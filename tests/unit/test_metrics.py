"""The metrics: their names and labels are a contract."""

import re

import pytest

from hermes_green.ops.metrics import MAX_REASONS, Metrics


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


def fill(metrics, child="feishu/sales"):
    metrics.link_up(child, True)
    metrics.inbound(child, 1700000000.5)
    metrics.proof_age(child, 1.5)
    metrics.reconnect(child, "clean")
    metrics.dial(child, "ready")
    metrics.heartbeat(child, "answered")
    metrics.depths(inbox=3, outbox=2, dead=1, oldest_undelivered=9.5)
    metrics.turn(child, "done", 0.2)
    metrics.delivery(child, "delivered", 0.02)
    metrics.hub_lag(0.001)


def test_every_promised_name_is_exposed_exactly_so(metrics):
    fill(metrics)
    who = 'child="feishu/sales",platform="feishu"'
    text = metrics.render().decode()
    for line in (
        f"hermes_green_link_up{{{who}}} 1.0",
        f"hermes_green_last_inbound_timestamp_seconds{{{who}}} 1.7000000005e+09",
        f"hermes_green_proof_age_seconds{{{who}}} 1.5",
        f'hermes_green_reconnects_total{{{who},reason="clean"}} 1.0',
        'hermes_green_dials_total{child="feishu/sales",outcome="ready",platform="feishu"} 1.0',
        'hermes_green_heartbeats_total{child="feishu/sales",outcome="answered",platform="feishu"} 1.0',
        "hermes_green_inbox_depth 3.0",
        "hermes_green_outbox_depth 2.0",
        "hermes_green_oldest_undelivered_seconds 9.5",
        "hermes_green_dead_letters 1.0",
        'hermes_green_turn_seconds_count{child="feishu/sales",outcome="done",platform="feishu"} 1.0',
        'hermes_green_delivery_seconds_count{child="feishu/sales",outcome="delivered",platform="feishu"} 1.0',
        "hermes_green_hub_lag_seconds_count 1.0",
        'hermes_green_build_info{version="1.2.3"} 1.0',
    ):
        assert line in text.splitlines()


def test_nothing_is_exposed_beyond_the_promise(metrics):
    fill(metrics)
    names = set(re.findall(r"^# TYPE (\S+)", metrics.render().decode(), re.M))
    assert names == {
        f"hermes_green_{name}"
        for name in (
            "link_up last_inbound_timestamp_seconds proof_age_seconds reconnects_total dials_total heartbeats_total "
            "inbox_depth outbox_depth oldest_undelivered_seconds dead_letters turn_seconds delivery_seconds "
            "hub_lag_seconds build_info"
        ).split()
    }


def test_ages_are_asked_for_at_the_scrape(metrics):
    metrics.before_render.append(lambda: metrics.proof_age("web", 4.0))
    assert 'hermes_green_proof_age_seconds{child="web",platform="web"} 4.0' in metrics.render().decode()


def test_a_proof_age_ends_with_the_link(metrics):
    metrics.proof_age("web", None)
    metrics.proof_age("web", 1.0)
    metrics.proof_age("web", None)
    assert "proof_age_seconds{" not in metrics.render().decode()


def test_a_forgotten_child_leaves_no_series_and_takes_no_sibling_with_it(metrics):
    fill(metrics, "qq")
    fill(metrics, "qq/two")
    metrics.forget("qq")
    text = metrics.render().decode()
    assert 'child="qq"' not in text
    assert 'child="qq/two"' in text


def test_reasons_without_end_do_not_make_series_without_end(metrics):
    for n in range(500):
        metrics.reconnect("qq", f"code {n}")
    assert metrics.render().decode().count("reconnects_total{") <= MAX_REASONS + 1


def test_two_registries_do_not_meet():
    Metrics("1").dial("qq", "ready")
    assert "dials_total{" not in Metrics("2").render().decode()
