"""A message travels from a platform to a streaming agent and back, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import time

import gevent
import pytest

from tests.support.load import Load, beside
from tests.support.stage import Gateway, Model, Sim, Stage, credentials, until

QUICK_LINKS = {"healthy_after": 1, "backoff_max": 1}


class Town:
    """Feishu, QQ and a model behind one gateway."""

    def __init__(self, stage: Stage, supervisor: dict | None = None, turns: dict | None = None) -> None:
        self.stage = stage
        self.feishu: Sim = stage.sim("feishu", "--hold-order", "--redelivery", "1,3,9,27", "--ack-deadline", "1")
        self.qq: Sim = stage.sim("qq", "--hold-order", "--heartbeat-interval", "5", "--late", "15")
        self.model: Model = stage.model()
        self.model.behave(delay=0.02)
        agent = {"type": "openai", "base_url": f"{self.model.url}", "model": "test"}
        gateway = {"http": {"port": 0}, "access": {"dm": "open"}, "agent": agent}
        stage.write("gateway", {**gateway, "supervisor": supervisor or {}, "turns": turns or {}})
        stage.write("feishu", credentials(self.feishu))
        stage.write("qq", credentials(self.qq))
        self.gateway: Gateway = stage.gateway()
        self.gateway.until_ready()

    @property
    def sims(self) -> list[Sim]:
        return [self.feishu, self.qq]

    def load(self, long_run: bool, seed: int) -> Load:
        if long_run:
            return Load(self.sims, chats=50, messages=500, rate=5, seed=seed)
        return Load(self.sims, chats=12, messages=60, rate=6, seed=seed)

    def verify(self, load: Load, wait: float = 90) -> None:
        load.until_answered(wait)
        gevent.sleep(1.5)  # a second answer would come now
        assert load.judge() == ""
        for sim in self.sims:
            assert sim.record("violation") == []


def test_every_message_is_answered_exactly_once_and_in_order(stage, long_run, seed):
    town = Town(stage)
    load = town.load(long_run, seed)
    load.drive()
    town.verify(load)


def test_links_cut_every_few_seconds_lose_and_double_nothing(stage, long_run, seed):
    town = Town(stage, supervisor=QUICK_LINKS)
    load = town.load(long_run, seed)
    wanted = 40 if long_run else 4
    cuts = {"feishu": 0, "qq": 0}

    def cut(sim: Sim) -> None:
        draw = random.Random(f"{seed} {sim.platform}")
        while cuts[sim.platform] < wanted or load.count() < load.messages:
            gevent.sleep(draw.uniform(1, 4))
            if sim.state()["links"]:
                sim.fault("rst")
                cuts[sim.platform] += 1
            if cuts[sim.platform] > wanted * 3:
                return

    beside(load.drive, lambda: cut(town.feishu), lambda: cut(town.qq))
    print(f"cuts: {cuts}")
    assert min(cuts.values()) >= wanted
    town.verify(load)


def test_the_platforms_planned_closes_lose_nothing_and_touch_no_sibling(stage, long_run, seed, pulse):
    town = Town(stage)
    load = town.load(long_run, seed)
    every, rounds = (20, 5) if long_run else (7, 2)

    def close() -> None:
        for _ in range(rounds):
            gevent.sleep(every)
            before = town.qq.state()["links"]
            dials = len(town.feishu.record("dial"))
            at = town.feishu.fault_at("close", code=1000, reason="planned")
            until(lambda: len(town.feishu.record("dial")) > dials)
            again = town.feishu.record("dial")[dials]["t"]
            took = f"the next dial came {again - at:.2f} s after a planned close"
            assert again - at < 1.0 + pulse.late(at, again), took
            town.gateway.until_ready()
            assert town.qq.state()["links"] == before

    beside(load.drive, close)
    town.verify(load)
    assert town.gateway.child("qq")["losses"] == 0


def test_kill_and_restart_at_seeded_instants_lose_and_double_nothing(stage, long_run, seed):
    town = Town(stage, turns={"poison_limit": 1000})
    load = town.load(long_run, seed)
    kills = 10 if long_run else 3
    draw = random.Random(seed)

    def kill() -> None:
        for _ in range(kills):
            gevent.sleep(draw.uniform(1, 8 if long_run else 3))
            town.gateway.kill(signal.SIGKILL)
            town.gateway = stage.gateway()
            until(lambda: town.gateway.get("/readyz")[0] == 200)

    beside(load.drive, kill)
    town.verify(load)


def test_sigterm_in_mid_turn_parks_it_and_the_next_start_answers(stage, seed, pulse):
    town = Town(stage)
    town.stage.write("gateway", _with_drain(town, 2))
    town.gateway.kill(signal.SIGTERM)
    town.gateway = stage.gateway()
    town.gateway.until_ready()
    town.model.behave(hang=True)
    town.feishu.say(text="s9 c0 n0", chat="oc_slow")
    until(lambda: town.gateway.status()["turns"] == 1)
    began = time.time()
    assert town.gateway.kill(signal.SIGTERM) == 0
    assert time.time() - began < 2 + 5 + pulse.late(began)
    assert town.feishu.sends() == []
    town.model.behave(first=0)
    town.gateway = stage.gateway()
    until(lambda: town.feishu.sends())
    gevent.sleep(1)
    assert [send["text"] for send in town.feishu.sends()] == ["echo: s9 c0 n0"]


def _with_drain(town: Town, seconds: float) -> dict:
    agent = {"type": "openai", "base_url": f"{town.model.url}", "model": "test"}
    supervisor = {"drain_seconds": seconds}
    return {"http": {"port": 0}, "access": {"dm": "open"}, "agent": agent, "supervisor": supervisor}


def test_finished_replies_go_out_while_every_dial_is_refused(stage, seed):
    town = Town(stage)
    town.model.behave(hold=True)
    town.feishu.say(text="f", chat="oc_out")
    town.qq.say(text="q", chat="out")
    until(lambda: town.gateway.status()["turns"] == 2)
    for sim in town.sims:
        sim.fault("refuse", status=503)
        sim.fault("rst")
        until(lambda: not sim.state()["links"], what="the link to be gone")
    town.model.behave()
    town.model.release()
    until(lambda: town.feishu.sends() and town.qq.sends())
    for sim in town.sims:
        assert sim.state()["links"] == []
        sim.clear()
    town.gateway.until_ready(90)


@pytest.mark.parametrize("platform", ["feishu", "qq"])
def test_after_a_cut_of_a_healthy_run_the_next_dial_comes_within_a_second(stage, platform, seed, pulse):
    town = Town(stage, supervisor={"healthy_after": 2})
    sim = town.feishu if platform == "feishu" else town.qq
    gevent.sleep(2.5)
    for fault in ("rst", "fin"):
        dials = len(sim.record("dial"))
        at = sim.fault_at(fault)
        until(lambda: len(sim.record("dial")) > dials)
        again = sim.record("dial")[dials]["t"]
        assert again - at < 1.0 + pulse.late(at, again)
        town.gateway.until_ready()
        gevent.sleep(2.5)
