"""A group becomes a supergroup, with another id, while the gateway answers in it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.scene import QUICK, Scene
from tests.support.stage import until


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_a_group_that_moves_while_it_is_answered_is_answered_on_in_order(stage: Any, killed: bool) -> None:
    model = stage.model()
    model.behave(hold=True, match="first")
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    gateway = {"agent": agent, "supervisor": QUICK, "access": {"group": "open"}}
    scene = Scene(stage, platforms=("telegram",), gateway=gateway, files={"telegram": {"streaming": "off"}})
    sim = scene.sims["telegram"]
    for text in ("first", "second"):
        sim.say(text=text, chat="club", chat_type="group")
    until(lambda: sim.state()["unacked"] == 0, what="both to be accepted")
    moved = sim.say(chat="club", chat_type="group", kind="migrate")
    sim.say(text="third", chat=str(moved["id"]), chat_type="supergroup")
    until(lambda: sim.state()["unacked"] == 0, what="the move, and what followed it, to be accepted")
    assert not sim.sends(), "the first turn still runs"
    model.behave()
    if killed:
        scene.gateway.kill(signal.SIGKILL)
        scene.gateway = stage.gateway()
    model.release()
    until(lambda: len(sim.sends()) == 3, what="three answers")
    answers = [(send["chat"], send["text"]) for send in sim.sends()]
    assert answers == [(moved["chat"], f"echo: {text}") for text in ("first", "second", "third")]
    scene.no_violations()
