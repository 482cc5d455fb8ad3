"""An agent that fails, hangs or breaks off costs its own message one apology, and nobody else anything."""

from __future__ import annotations

import time

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
# What takes its time is given that, whatever else this machine does; what hangs is not.
PATIENT = {"connect_timeout": 60, "first_byte_timeout": 600, "chunk_timeout": 600, "timeout": 600}
STRICT = {"connect_timeout": 60, "first_byte_timeout": 3, "chunk_timeout": 3, "timeout": 20}
FOR_GOOD = "!hang for good"


@pytest.fixture
def scene(stage):
    model = stage.model()
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    strict = [{"prefix": words, "agent": {**agent, **STRICT}} for words in ("!hang hello", "!stall hello")]
    scene = Scene(stage, gateway={"agent": {**agent, **PATIENT}, "routes": strict})
    scene.model = model
    return scene


def test_each_trouble_costs_one_apology_and_the_chat_goes_on_while_others_are_served(scene, seed):
    chats = {f"trouble{number}": (words, said) for number, (words, said) in enumerate(TROUBLE.items())}
    platform = {chat: ("feishu", "qq")[number % 2] for number, chat in enumerate(chats)}
    with scene.undisturbed("feishu"), scene.undisturbed("qq"):
        began = time.time()
        scene.say("feishu", "stuck", FOR_GOOD)
        for chat, (words, _) in chats.items():
            scene.say(platform[chat], chat, f"{words} hello {chat}")
            scene.say(platform[chat], chat, f"and now {chat}")
        for number in range(3):
            for name in scene.sims:
                scene.say(name, "healthy", f"fine {number}")
            for name in scene.sims:
                until(lambda: f"echo: fine {number}" in scene.texts(name, "healthy"))
        hung = [call for call in scene.model.record() if call["text"] == FOR_GOOD.removeprefix("!hang ")]
        assert [call["outcome"] for call in hung] == ["open"], "the healthy were answered while one still hung"
        print(f"six healthy answers within {time.time() - began:.2f} s beside {len(chats)} troubles")
        for chat, (_, said) in chats.items():
            scene.expect(platform[chat], chat, [said, f"echo: and now {chat}"], settle=0)
        scene.say("feishu", "stuck", "/stop")
        scene.expect("feishu", "stuck", ["Stopped."])
        for chat, (_, said) in chats.items():
            assert scene.texts(platform[chat], chat) == [said, f"echo: and now {chat}"]
    names = ("inbox", "outbox", "dead", "turns")
    until(lambda: [scene.gateway.status()[name] for name in names] == [0, 0, 0, 0], what="nothing is left over")
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
