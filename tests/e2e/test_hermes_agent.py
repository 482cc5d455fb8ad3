"""Hermes Agent itself behind the gateway: its memory, its pace, its restarts; run by scripts/test.sh --hermes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Iterator

import gevent
import pytest

from hermes_green.runtime import texts
from tests.support.scene import Scene
from tests.support.stage import Model, Stage, http, until
from tests.support.virtualenv import built, clean_environment

pytestmark = pytest.mark.hermes

# aiohttp is what Hermes' API server runs on; Hermes has it among the extras of its own platforms.
PACKAGES = ("hermes-agent==0.19.0", "aiohttp==3.14.1")
KEY = "0f3e7c5b9d2a4861b7c8d9e0f1a2b3c4"  # Hermes refuses to start with a short one
LONG = "said at some length, so that it grows. " * 6


class Hermes:
    """Hermes Agent's gateway with nothing but its API server, on a home of its own."""

    def __init__(self, home: Path, model: Model) -> None:
        self._home = home
        self._program = built(*PACKAGES).with_name("hermes")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = home / "hermes.log"
        home.mkdir()
        provider = f'{{provider: custom, default: scripted, base_url: "{model.url}", api_key: none}}'
        (home / "config.yaml").write_text(f"model: {provider}\n")
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Hermes":
        api = {"API_SERVER_ENABLED": "true", "API_SERVER_KEY": KEY, "API_SERVER_PORT": str(self.port)}
        # Nothing but this machine can be reached: a proxy that is not there stands before all else.
        nowhere = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
        homes = {"HOME": str(self._home), "HERMES_HOME": str(self._home), "NO_PROXY": "127.0.0.1,localhost"}
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                [str(self._program), "gateway", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                env={**clean_environment(), **nowhere, **homes, **api},
            )
        until(self._serves, 90, "Hermes to serve")
        return self

    def _serves(self) -> bool:
        assert self._running is not None and self._running.poll() is None, self.log.read_text(errors="replace")[-4000:]
        try:
            return http("GET", f"{self.url}/health", timeout=2)[0] == 200
        except OSError:
            return False

    def end(self, sign: int = signal.SIGKILL) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(sign)
            until(lambda: self._running is None or self._running.poll() is not None, what="Hermes to end")


class House:
    """A person on a simulated platform, our gateway, Hermes behind it, and the model behind that."""

    def __init__(self, stage: Stage, model: Model, hermes: Hermes) -> None:
        self.model, self.hermes = model, hermes
        agent = {
            "type": "openai",
            "base_url": f"{self.hermes.url}/v1",
            "api_key": KEY,
            "model": "hermes-agent",
            "session": "hermes",
        }
        files = {"feishu": {"accounts": {"sales": {}}}}
        self.scene = Scene(stage, platforms=("feishu",), gateway={"agent": agent}, files=files)

    def say(self, text: str) -> None:
        self.scene.say("feishu", "ada", text)

    def shown(self) -> list[str]:
        """What stands in the chat, growing answers as far as they have come."""
        chats = http("GET", f"{self.scene.sims['feishu'].url}/_sim/shown")[1]
        return [text.strip() for text in chats.get("oc_ada", ()) if text.strip()]

    def until_shown(self, *wanted: str, seconds: float = 60) -> None:
        try:
            until(lambda: self.shown() == list(wanted), seconds)
        except AssertionError:
            raise AssertionError(f"{self.shown()}, not {list(wanted)}") from None

    def until_half(self, whole: str) -> None:
        until(lambda: any(10 < len(text) < len(whole) and whole.startswith(text) for text in self.shown()))

    def asked(self, text: str) -> list[dict[str, Any]]:
        """The calls of the model for a message, beside those that Hermes makes for purposes of its own."""
        calls = http("GET", self.model.url.removesuffix("/v1") + "/_llm/record")[1]["requests"]
        return [call for call in calls if call["text"] == text]

    def remembered(self, text: str) -> str:
        """All that the model was given with a message."""
        return str(self.asked(text)[-1]["messages"])


@pytest.fixture
def house(stage: Stage) -> Iterator[House]:
    model = stage.model()
    hermes = Hermes(stage.home / "hermes", model)
    try:
        yield House(stage, model, hermes.start())
    finally:
        hermes.end()


def test_hermes_keeps_the_conversation_until_the_user_begins_a_new_one(house: House) -> None:
    house.say("my name is Ada")
    house.until_shown("echo: my name is Ada")
    house.say("what is my name?")
    house.until_shown("echo: my name is Ada", "echo: what is my name?")
    # Our gateway sends one message along; that the model was given both is Hermes' memory.
    assert "my name is Ada" in house.remembered("what is my name?")
    house.hermes.end(signal.SIGTERM)
    house.hermes.start()
    house.say("do you still know it?")
    until(lambda: "echo: do you still know it?" in house.shown())
    assert "my name is Ada" in house.remembered("do you still know it?")
    house.say("/new")
    until(lambda: len(house.shown()) == 4)
    house.say("and now?")
    until(lambda: "echo: and now?" in house.shown())
    assert "my name is Ada" not in house.remembered("and now?")


def test_an_answer_of_hermes_grows_in_the_chat(house: House) -> None:
    house.say(f"!delay=0.3 !chunks=12 {LONG}")
    house.until_half(f"echo: {LONG}")
    house.until_shown(f"echo: {LONG}".strip())


def test_stop_ends_the_run_in_hermes(house: House) -> None:
    house.say(f"!delay=0.5 !chunks=60 {LONG}")
    house.until_half(f"echo: {LONG}")
    house.say("/stop")
    # Hermes has hung up on its model: the run is over there, not only here.
    until(lambda: [call["outcome"] for call in house.asked(LONG.rstrip())] == ["gone"], what="the model to be left")
    house.say("are you there?")
    until(lambda: "echo: are you there?" in house.shown())


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM], ids=lambda sign: sign.name)
def test_hermes_restarts_before_it_has_said_anything_and_every_message_is_answered(house: House, sign: int) -> None:
    house.model.behave(first=4, times=1, match="slow")
    house.say("slow question")
    until(lambda: house.asked("slow question"), what="the model to be asked")
    house.say("asked meanwhile")
    house.hermes.end(sign)
    gevent.sleep(3)  # longer than three tries
    house.say("asked while it is away")
    house.hermes.start()
    # Hermes may have written the question down before it ended, and then is given it a second time.
    answers = [r"echo: slow question(\s+slow question)?", "echo: asked meanwhile", "echo: asked while it is away"]

    def answered() -> bool:
        shown = house.shown()
        return len(shown) == 3 and all(re.fullmatch(*each) for each in zip(answers, shown))

    until(answered, 90, "every message to be answered")
    status = house.scene.gateway.status()
    assert (status["inbox"], status["outbox"], status["dead"]) == (0, 0, 0)


def test_hermes_dies_in_mid_answer_and_the_user_is_told_and_may_ask_again(house: House) -> None:
    house.say(f"!delay=0.5 !chunks=20 {LONG}")
    house.until_half(f"echo: {LONG}")
    house.hermes.end()
    failed = texts.say("failed", "en")
    until(lambda: any(failed in text for text in house.shown()), what="the apology")
    house.hermes.start()
    house.say("/retry")
    whole = f"echo: {LONG}".strip()
    # Here, too, Hermes has the question twice, and the model says back both.
    until(lambda: house.shown()[-1].startswith(whole) and failed not in house.shown()[-1], what="the answer")


def test_hermes_writes_first_through_the_gateway(house: House) -> None:
    # What a cron job of Hermes' does: the line in the README, run by a shell.
    url = f"{house.scene.gateway.url}/api/send"
    body = '{"child": "feishu/sales", "chat": "group:oc_ada", "text": "the night was quiet"}'
    curl = ["curl", "-s", url, "-H", "Content-Type: application/json", "-H", "Idempotency-Key: night-1", "-d", body]
    first, again = (json.loads(subprocess.check_output(curl, timeout=30)) for _ in range(2))
    assert first["id"] == again["id"] and first["state"] == "queued"
    house.until_shown("the night was quiet")
