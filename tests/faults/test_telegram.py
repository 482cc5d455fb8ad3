"""A real gateway on the simulated Telegram: cut, killed and halted, and nothing of it is lost."""

from __future__ import annotations

import signal
from typing import Any

import gevent

from tests.support.load import Load, beside
from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import until

STREAMING = {"telegram": {"streaming": "off"}}


def a_scene(stage: Any, **more: Any) -> Scene:
    gateway = {"supervisor": QUICK, "log": {"level": "DEBUG"}}
    return Scene(stage, platforms=("telegram",), gateway=gateway, files=STREAMING, **more)


def test_a_reset_and_a_kill_in_mid_flow_lose_nothing(stage: Any, seed: int) -> None:
    scene = a_scene(stage)
    sim = scene.sims["telegram"]
    load = Load([sim], chats=5, messages=20, rate=5, seed=seed)

    def trouble() -> None:
        gevent.sleep(1.0)
        sim.fault("rst")
        gevent.sleep(1.0)
        scene.gateway.kill(signal.SIGKILL)
        scene.gateway = stage.gateway()

    beside(load.drive, trouble)
    load.until_answered()
    gevent.sleep(1.0)
    # Without a send key, what was under way at the kill may come twice; nothing else may.
    wrong = load.judge()
    assert "lost" not in wrong and "order" not in wrong, wrong
    if wrong:
        print(f"doubled by the kill: {wrong}")
    assert sum(map(len, load.answered().values())) <= load.messages + 5, wrong
    until(lambda: sim.state()["unacked"] == 0)
    scene.no_violations()


def test_resets_alone_double_nothing(stage: Any, seed: int) -> None:
    scene = a_scene(stage)
    sim = scene.sims["telegram"]
    load = Load([sim], chats=5, messages=30, rate=6, seed=seed)

    def cut() -> None:
        for how in ("rst", "fin", "rst"):
            gevent.sleep(1.2)
            sim.fault(how)

    beside(load.drive, cut)
    load.until_answered()
    gevent.sleep(1.0)
    assert load.judge() == ""
    scene.no_violations()


def test_a_wrong_token_halts_and_shows_in_no_log_or_status(stage: Any) -> None:
    scene = a_scene(stage)
    token = scene.files["telegram"]["token"]
    scene.change("telegram", token=token[:-6] + "WRONG1")
    assert hermes(stage, "reload").code == 0
    halted = scene.until_state("telegram", "HALTED")
    assert "telegram.yaml" in halted["reason"]["action"]
    log = scene.gateway.log.read_text()
    for text in (log, str(scene.gateway.get("/api/status")[1]), scene.gateway.get("/metrics")[1]):
        assert "sim-telegram-token" not in text


def test_a_rival_is_yielded_to_and_survived(stage: Any) -> None:
    scene = a_scene(stage)
    sim = scene.sims["telegram"]
    sim.fault("conflict", count=2)
    sim.say(text="during", chat="rival")
    scene.expect("telegram", "rival", ["during"])
    scene.until_state("telegram", "READY")
    sim.fault("conflict")
    scene.until_state("telegram", "HALTED", 90)
    sim.clear()
    sim.say(text="after", chat="rival")
    assert sim.state()["unacked"] == 1, "it waits at the platform"


def test_an_answer_grows_and_is_one_message_through_a_kill(stage: Any) -> None:
    model = stage.model()
    model.behave(chunks=30, delay=0.2, halt=True)
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = Scene(stage, platforms=("telegram",), gateway={"agent": agent, "supervisor": QUICK})
    sim = scene.sims["telegram"]
    text = "many **words** " * 12
    sim.say(text=text, chat="reader")
    until(lambda: len(sim.record("edit")) >= 2, what="two edits")
    assert len(sim.sends()) == 1 and sim.record("typing")
    scene.gateway.kill(signal.SIGKILL)
    model.behave(chunks=30, delay=0.05)
    scene.gateway = stage.gateway()
    until(lambda: sim.record("edit")[-1]["parse_mode"] == "HTML", what="the end of the draft")
    gevent.sleep(1.0)
    assert len(sim.sends()) == 1, "no second bubble"
    assert sim.record("edit")[-1]["text"].split() == ("echo: " + text.replace("*", "")).split()
    scene.no_violations()
