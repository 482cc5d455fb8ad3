"""An agent that fails, hangs or breaks off costs its own message one apology, and nobody else anything."""

from __future__ import annotations

import time

import gevent
import pytest

from hermes_green.runtime import texts
from tests.support.scene import Scene
from tests.support.stage import until

FAILED, TIMEOUT = texts.say("failed", "en"), texts.say("timeout", "en")
# What the model is told to do with a message, and what the user reads for it.
TROUBLE = {
    "!status=500": FAILED,
    "!status=429 !retry_after=0.5": FAILED,
    "!status=401": FAILED,
    "!hang": TIMEOUT,
    "!stall": TIMEOUT,
    "!cut": FAILED,
    "!rst": FAILED,
    "!nodone": FAILED,
    "!malformed": FAILED,
    "!error": FAILED,
}
DEADLINES = {"connect_timeout": 2, "first_byte_timeout": 3, "chunk_timeout": 3, "timeout": 20}


@pytest.fixture
def scene(stage):
    model = stage.model()
    agent = {"type": "openai", "base_url": model.url, "model": "test", **DEADLINES}
    scene = Scene(stage, gateway={"agent": agent})
    scene.model = model
    return scene


def test_each_trouble_costs_one_apology_and_the_chat_goes_on_while_others_are_served(scene, seed):
    chats = {f"trouble{number}": (words, said) for number, (words, said) in enumerate(TROUBLE.items())}
    platform = {chat: ("feishu", "qq")[number % 2] for number, chat in enumerate(chats)}
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        began = time.time()
        for chat, (words, _) in chats.items():
            scene.say(platform[chat], chat, f"{words} hello {chat}")
            scene.say(platform[chat], chat, f"and now {chat}")
        for number in range(3):
            for name in scene.sims:
                scene.say(name, "healthy", f"fine {number}")
            for name in scene.sims:
                until(lambda: f"echo: fine {number}" in scene.texts(name, "healthy"), 10)
        hung = next(chat for chat, (words, _) in chats.items() if words == "!hang")
        assert scene.texts(platform[hung], hung) == [], "the healthy were answered while one still hung"
        print(f"six healthy answers within {time.time() - began:.2f} s beside {len(chats)} troubles")
        for chat, (_, said) in chats.items():
            scene.expect(platform[chat], chat, [said, f"echo: and now {chat}"], settle=0)
        gevent.sleep(1)
        for chat, (_, said) in chats.items():
            assert scene.texts(platform[chat], chat) == [said, f"echo: and now {chat}"]
    status = scene.gateway.status()
    assert (status["inbox"], status["outbox"], status["dead"], status["turns"]) == (0, 0, 0, 0)
    scene.no_violations()


def test_a_model_that_is_busy_once_is_asked_again_and_nobody_reads_an_apology(scene, seed):
    scene.model.behave(status=503, times=2, match="once")
    scene.say("feishu", "busy", "once more")
    scene.expect("feishu", "busy", ["echo: once more"])


def test_a_model_that_is_away_is_found_again_without_a_restart(scene, seed):
    scene.model.kill()
    scene.say("qq", "away", "anybody?")
    scene.expect("qq", "away", [FAILED], settle=0.2)
    scene.model = scene.stage.model()
    scene.change("gateway", agent={**scene.files["gateway"]["agent"], "base_url": scene.model.url})
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        assert scene.gateway.post("/api/reload")[1]["changed"] == ["agent"]
        scene.say("qq", "away", "and now?")
        scene.expect("qq", "away", [FAILED, "echo: and now?"], settle=0.2)
