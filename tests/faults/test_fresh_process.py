"""Only when a fresh process connects and ours does not does the gateway ask to be restarted."""

from __future__ import annotations

import socket

from tests.support.stage import credentials, until


def test_a_fault_of_ours_is_proved_by_a_fresh_process_and_ends_in_75_once(stage):
    sim = stage.sim("feishu")
    quick = {"backoff_min": 0.05, "backoff_max": 0.1, "escalate_after": 3}
    stage.write("gateway", {"http": {"port": 0}, "supervisor": quick, "watch": False})
    right = credentials(sim)
    # The first dial takes as long as this test does, and no other succeeds.
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        stage.write("feishu", {**right, "api_base": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
        gateway = stage.gateway()
        # What is wrong in our process is right on the disk, so a fresh one connects.
        stage.write("feishu", right)
    assert until(lambda: gateway.popen.poll() is not None or None)
    assert gateway.popen.poll() == 75
    assert "asking for a restart" in gateway.tail(200)


def test_an_outage_is_nobodys_fault_here_and_asks_for_no_restart(stage):
    sim = stage.sim("feishu")
    quick = {"backoff_min": 0.05, "backoff_max": 0.1, "escalate_after": 3}
    stage.write("gateway", {"http": {"port": 0}, "supervisor": quick})
    stage.write("feishu", {**credentials(sim), "dial_budget": []})
    sim.fault("refuse", status=503)
    gateway = stage.gateway()
    until(lambda: "a restart would not help" in gateway.tail(400))
    assert gateway.popen.poll() is None
    sim.clear()
    gateway.until_ready()
