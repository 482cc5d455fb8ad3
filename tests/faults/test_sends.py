"""Replies whose fate is unclear, unwelcome or too late: delivered once, later, or given up with a reason."""

from __future__ import annotations

import time

import pytest

from tests.support.scene import Scene, hermes
from tests.support.stage import until


def idle(scene: Scene) -> None:
    """Nothing is left to deliver."""
    until(lambda: (s := scene.gateway.status())["outbox"] == 0 and s["inbox"] == 0, what="idle")


@pytest.mark.parametrize("platform", ["feishu", "qq"])
def test_an_answer_lost_on_the_way_back_or_a_limit_leaves_exactly_one_message(stage, long_run, seed, platform):
    scene = Scene(stage, platforms=(platform,))
    sim = scene.sims[platform]
    for number in range(8 if long_run else 1):
        losses = 1 + number % 3
        sim.fault("lose_answer", count=losses)
        scene.say(platform, f"lost{number}", f"say it once {number}")
        until(lambda: len(sim.record("lost_answer")) >= losses, what="the answers were lost")
        scene.expect(platform, f"lost{number}", [f"say it once {number}"])
        idle(scene)
        sim.record()
        before = len(sim.record("lost_answer"))
        assert before == sum(1 + n % 3 for n in range(number + 1))
        limited(scene, platform, f"limited{number}")
    assert scene.gateway.status()["dead"] == 0
    scene.no_violations()


def limited(scene: Scene, platform: str, chat: str) -> None:
    """429: not a send before the time it names, and then the message."""
    sim = scene.sims[platform]
    sim.fault("429", after=2, count=1)
    refusals = len(sim.record("throttled"))
    scene.say(platform, chat, "patience")
    scene.expect(platform, chat, ["patience"], settle=0)
    refused = sim.record("throttled")[refusals:]
    assert len(refused) == 1
    sent = next(send for send in sim.sends() if send["chat"] in (chat, f"oc_{chat}"))
    assert sent["t"] - refused[0]["t"] >= 2 - 0.05
    print(f"{platform}: delivered {sent['t'] - refused[0]['t']:.2f} s after a refusal that asked for 2 s")


def test_a_reply_after_its_window_is_a_dead_letter_that_can_be_listed_retried_and_dropped(stage, seed):
    scene = Scene(stage, platforms=("qq",), arguments={"qq": ("--window-scale", "0.0015")})
    sim = scene.sims["qq"]
    sim.fault("429", after=6, count=1)  # direct chats now have 5.4 s
    scene.say("qq", "late", "too late")
    until(lambda: scene.gateway.status()["dead"] == 1, what="a dead letter")
    assert scene.texts("qq", "late") == []
    letter = listed(scene)
    assert hermes(stage, "dead", "retry", letter["id"]).code == 0
    until(lambda: len(sim.record("send_refused")) == 2, what="tried again in vain")
    until(lambda: scene.gateway.status()["dead"] == 1)
    # The chat goes on, and what was given up does not stand in its way.
    scene.say("qq", "late", "in time")
    scene.expect("qq", "late", ["in time"])
    assert hermes(stage, "stop").code == 0
    letter = listed(scene)  # with the gateway down
    assert hermes(stage, "dead", "drop", letter["id"]).code == 0
    assert hermes(stage, "dead", "list", "--json").json() == []
    assert hermes(stage, "dead", "drop", letter["id"]).code == 1


def listed(scene: Scene) -> dict:
    done = hermes(scene.stage, "dead", "list", "--json")
    assert done.code == 0
    [letter] = done.json()
    assert letter["child"] == "qq" and letter["chat_id"] == "late" and letter["reason"].startswith("window closed")
    assert letter["text"] == "too late"
    return letter


def test_a_send_of_the_operator_is_made_once_whatever_is_lost_and_however_often_it_is_asked_for(stage, seed):
    scene = Scene(stage, platforms=("feishu",))
    sim = scene.sims["feishu"]
    sim.fault("lose_answer", count=1)
    words = ("send", "feishu", "user:ou_boss", "ready when you are", "--key", "morning", "--json")
    first, second = hermes(stage, *words), hermes(stage, *words)
    assert first.code == second.code == 0 and first.json()["id"] == second.json()["id"]
    began = time.monotonic()
    id = first.json()["id"]
    until(lambda: scene.gateway.get(f"/api/send/{id}")[1]["state"] == "delivered")
    print(f"delivered after {time.monotonic() - began:.2f} s")
    scene.gateway.kill()
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    assert hermes(stage, *words).json() == {"id": id, "state": "delivered"}
    assert scene.texts("feishu") == ["ready when you are"]
