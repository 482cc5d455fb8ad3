"""DingTalk sends nothing twice and goes deaf when dialled too fast: losses are counted, the rest is answered."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from contextlib import closing

import gevent

from tests.support.stage import Gateway, Sim, Stage, credentials, until

GRACE = 30.0  # seconds for which a link that is to end still stands
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


def on_their_way(stage: Stage) -> int:
    """Replies between send and receipt in what a dead process has left."""
    with closing(sqlite3.connect(stage.home / "var" / "gateway.sqlite3")) as db:
        return int(db.execute("SELECT count(*) FROM outbox WHERE state = 1").fetchone()[0])


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
            cut = on_their_way(stage)
            gateway = stage.gateway()
            gateway.until_ready()
        if number == 16:
            sim.fault("disconnect", grace=GRACE)
            until(lambda: len(sim.record("open")) == 4, what="the successor")
    lost = {entry["message_id"] for entry in sim.record("lost")}
    gap = sim.record("open")[-1]["t"] - sim.record("disconnect")[-1]["t"]
    print(f"lost in gaps: {len(lost)} of {len(asked)}; a planned end left a gap of {gap * 1000:.0f} ms")
    until(lambda: len(answers(sim)) >= len(asked) - len(lost), what="the answers")
    gevent.sleep(1)
    given = answers(sim)
    assert sum(1 for question in asked if not given[question]) <= len(lost)
    assert sum(count - 1 for count in given.values() if count > 1) <= cut, "doubled only where a kill cut a send"
    assert gap < GRACE / 2, "the successor does not wait for the end"
    assert sim.record("violation") == []
    assert gateway.child("dingtalk")["losses"] == 0, "a planned end is no loss"
    assert gateway.kill(signal.SIGTERM) == 0
    until(lambda: not sim.state()["links"], what="the last link to end")
    ended = sim.record("close")[-1]
    assert (ended["how"], ended["code"]) == ("client", 1000)
    gevent.sleep(1)
    assert sim.state()["links"] == [] and len(sim.record("open")) == 4, "nothing dials again"
