"""Only when a fresh process connects and ours does not does the gateway ask to be restarted."""

from __future__ import annotations

from tests.support.stage import credentials, until


def test_a_fault_of_ours_is_proved_by_a_fresh_process_and_ends_in_75_once(stage):
    sim = stage.sim("feishu")
    quick = {"backoff_min": 0.05, "backoff_max": 0.1, "escalate_after": 3}
    stage.write("gateway", {"http": {"port": 0}, "supervisor": quick})
    right = credentials(sim)
    stage.write("feishu", {**right, "api_base": "http://127.0.0.1:9"})
    gateway = stage.gateway()
    until(lambda: gateway.child("feishu")["state"] == "WAITING", 10)
    # What is wrong in our process is right on the disk, so a fresh one connects.
    stage.write("feishu", right)
    assert until(lambda: gateway.popen.poll() is not None or None, 30)
    assert gateway.popen.poll() == 75
    assert "asking for a restart" in gateway.tail(200)


def test_an_outage_is_nobodys_fault_here_and_asks_for_no_restart(stage):
    sim = stage.sim("feishu")
    quick = {"backoff_min": 0.05, "backoff_max": 0.1, "escalate_after": 3}
    stage.write("gateway", {"http": {"port": 0}, "supervisor": quick})
    stage.write("feishu", {**credentials(sim), "dial_budget": []})
    sim.fault("refuse", status=503)
    gateway = stage.gateway()
    until(lambda: "a restart would not help" in gateway.tail(400), 30)
    assert gateway.popen.poll() is None
    sim.clear()
    gateway.until_ready(20)
