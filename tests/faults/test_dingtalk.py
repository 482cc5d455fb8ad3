"""DingTalk sends nothing twice and goes deaf when dialled too fast: losses are counted, the rest is answered."""

from __future__ import annotations

import signal
from collections import Counter

import gevent

from tests.support.stage import Gateway, Sim, Stage, credentials, until

QUICK = {"healthy_after": 1, "backoff_max": 1}


def begin(stage: Stage, *arguments: str, **keys: object) -> tuple[Sim, Gateway]:
    """A simulator with these arguments, and a gateway with these keys in dingtalk.yaml."""
    sim = stage.sim("dingtalk", *arguments)
    access = {"dm": "open", "group": "open"}
    stage.write("gateway", {"http": {"port": 0}, "access": access, "supervisor": QUICK})
    stage.write("dingtalk", {**credentials(sim), **keys})
    return sim, stage.gateway()


def answers(sim: Sim) -> Counter[tuple[str, str]]:
    return Counter((send["chat"], send["text"].removeprefix("echo: ")) for send in sim.sends())


def test_what_was_acknowledged_is_answered_through_a_cut_a_kill_and_a_planned_end(stage: Stage) -> None:
    sim, gateway = begin(stage, "--hold-order")
    gateway.until_ready()
    asked = []
    for number in range(20):
        chat, text = f"c{number % 5}", f"m{number}"
        sim.say(text=text, chat=chat, user=chat)
        asked.append((chat, text))
        gevent.sleep(0.1)
        if number == 6:
            sim.fault("rst")
            until(lambda: sim.state()["links"], what="another link")
        if number == 12:
            gateway.kill(signal.SIGKILL)
            gateway = stage.gateway()
            gateway.until_ready()
        if number == 16:
            sim.fault("disconnect", grace=2)
            until(lambda: len(sim.record("open")) == 4, what="the successor")
    lost = {entry["message_id"] for entry in sim.record("lost")}
    gap = sim.record("open")[-1]["t"] - sim.record("disconnect")[-1]["t"]
    print(f"lost in gaps: {len(lost)} of {len(asked)}; a planned end left a gap of {gap * 1000:.0f} ms")
    until(lambda: sum(answers(sim).values()) >= len(asked) - len(lost), what="the answers")
    gevent.sleep(1)
    given = answers(sim)
    assert sum(1 for question in asked if not given[question]) <= len(lost)
    assert sum(count - 1 for count in given.values() if count > 1) <= 1, "doubled only where a kill cut a send"
    assert gap < 1.0 and sim.record("violation") == []
    assert gateway.child("dingtalk")["losses"] == 0, "a planned end is no loss"
    assert gateway.kill(signal.SIGTERM) == 0
    ended = sim.record("close")[-1]
    assert (ended["how"], ended["code"]) == ("client", 1000)
    gevent.sleep(1)
    assert sim.state()["links"] == [] and len(sim.record("open")) == 4, "nothing dials again"
