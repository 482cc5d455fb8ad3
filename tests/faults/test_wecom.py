"""A real gateway on the simulated WeCom: cut, killed, displaced, halted; what was handed over is answered."""

from __future__ import annotations

import signal
from typing import Any

import gevent

from tests.support.load import Load, beside
from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import Sim, until


def a_scene(stage: Any, **more: Any) -> Scene:
    model = stage.model()
    model.behave(**more)
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    gateway = {"agent": agent, "supervisor": QUICK, "log": {"level": "DEBUG"}}
    scene = Scene(stage, platforms=("wecom",), gateway=gateway)
    scene.model = model
    return scene


def handed_over(sim: Sim, load: Load) -> int:
    """How many messages went over a link to us. The platform replays nothing: what came while no link was
    up is lost, and of what went over a link just before its end nobody can tell."""
    gone = {entry["message_id"] for kind in ("lost", "uncertain") for entry in sim.record(kind)}
    return load.messages - len(gone - {entry["message_id"] for entry in sim.record("ack")})


def wrong_but_for_losses(load: Load) -> str:
    """What ``judge`` finds beside the losses."""
    return "; ".join(part for part in load.judge().split("; ") if part and not part.startswith("lost"))


def test_a_reset_and_a_kill_in_mid_flow_lose_only_what_the_gap_lost_and_double_nothing(stage: Any, seed: int) -> None:
    scene = a_scene(stage, delay=0.2)
    sim = scene.sims["wecom"]
    load = Load([sim], chats=5, messages=20, rate=3, seed=seed)

    def trouble() -> None:
        gevent.sleep(1.0)
        sim.fault("rst")
        gevent.sleep(1.0)
        scene.gateway.kill(signal.SIGKILL)
        scene.gateway = stage.gateway()

    beside(load.drive, trouble)
    until(lambda: load.count() >= handed_over(sim, load), what="every message that was handed over")
    gevent.sleep(1.5)
    print(f"lost in gaps: {load.messages - handed_over(sim, load)} of {load.messages}")
    assert wrong_but_for_losses(load) == ""
    until(lambda: sim.state()["streams"] == 0, what="every bubble to be closed")
    assert sim.record("draft"), "the answers grew"
    scene.no_violations()


def test_an_answer_grows_in_one_bubble_through_a_kill(stage: Any) -> None:
    scene = a_scene(stage, chunks=30, delay=0.2, halt=True)
    sim = scene.sims["wecom"]
    text = "many **words** " * 12
    sim.say(text=text, chat="reader")
    until(lambda: len(sim.record("draft")) >= 3, what="a bubble that grows")
    scene.gateway.kill(signal.SIGKILL)
    scene.model.behave(chunks=30, delay=0.05)
    scene.gateway = stage.gateway()
    until(lambda: sim.record("send"), what="the end of the answer")
    gevent.sleep(1.0)
    (sent,) = sim.record("send")
    assert sent["text"].split() == ("echo: " + text).split()
    assert {entry["key"] for entry in sim.record("draft")} == {sent["key"]}, "one bubble from the first word on"
    assert sim.state()["streams"] == 0
    scene.no_violations()


def test_a_lost_subscription_is_taken_up_again_and_the_answer_arrives(stage: Any) -> None:
    scene = a_scene(stage, hold=True)
    sim = scene.sims["wecom"]
    sim.say(text="slowly", chat="alice")
    until(lambda: sim.record("push"))
    sim.fault("unsubscribe")
    scene.model.behave()
    scene.model.release()
    scene.expect("wecom", "alice", ["echo: slowly"])
    assert len([entry for entry in sim.record("subscribe") if entry["code"] == 0]) == 2
    scene.no_violations()


def test_another_subscriber_halts_the_child_and_no_kick_comes_back(stage: Any) -> None:
    scene = a_scene(stage)
    sim = scene.sims["wecom"]
    sim.fault("kick")
    halted = scene.until_state("wecom", "HALTED")
    assert "another program" in halted["reason"]["text"].lower() and halted["reason"]["action"]
    gevent.sleep(3.0)
    assert sim.state()["dials"] == 1
    scene.no_violations()


def test_a_wrong_secret_halts_naming_the_keys_and_shows_nowhere(stage: Any) -> None:
    scene = a_scene(stage)
    scene.change("wecom", secret="a-wrong-secret-0123456789")
    assert hermes(stage, "reload").code == 0
    halted = scene.until_state("wecom", "HALTED")
    assert "wecom.yaml" in halted["reason"]["action"] and "bot_id" in halted["reason"]["action"]
    log = scene.gateway.log.read_text()
    for text in (log, str(scene.gateway.get("/api/status")[1]), scene.gateway.get("/metrics")[1]):
        assert "a-wrong-secret" not in text and "sim-wecom-secret" not in text
