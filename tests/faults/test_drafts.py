"""Whatever becomes of a growing answer, people end up with the agent's text: whole, once, in one place."""

from __future__ import annotations

import signal
from typing import Any, Callable, Sequence

import gevent
import pytest

from tests.support.scene import QUICK, Scene
from tests.support.stage import Sim, http, until

PLATFORMS = ("feishu", "qq", "telegram", "slack", "dingtalk", "wecom")
# The answer takes two seconds: long enough to interfere, and to be shown in between.
PIECES, PAUSE = 10, 0.2
WITH_CARDS = {"dingtalk": {"card_template_id": "sim-template"}}
# How each platform with a growing message of its own kind is told to refuse what belongs to it.
FAILURES = {
    "feishu": {
        "429": {"status": 429, "code": 99991400, "path": "/cardkit/"},
        "503": {"status": 503, "code": 0, "path": "/cardkit/"},
        "refused": {"status": 400, "code": 200750, "path": "/cardkit/"},
        "no end": {"status": 400, "code": 300309, "path": "/elements/"},
    },
    "qq": {
        "429": {"status": 429, "code": 50002, "message": "slow", "path": "/stream_messages"},
        "503": {"status": 503, "code": 0, "message": "away", "path": "/stream_messages"},
        "refused": {"status": 400, "code": 424242, "message": "no", "path": "/stream_messages"},
        "no end": {"status": 400, "code": 424242, "message": "no", "path": "/stream_messages"},
    },
}


class Readers:
    """One person on each platform's simulator, and what stands in their chats."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._asked: dict[tuple[str, str], str] = {}

    def ask(self, platform: str, name: str) -> None:
        """Let ``name`` write a text of some length, which the model says back."""
        text = f"{platform} {name} " + "said at some length, so that it grows. " * 8
        chat, user = self._names(platform, name)
        self._asked[platform, name] = f"echo: {text}".strip()
        self._scene.sims[platform].say(text=text, chat=chat, user=user)

    def ask_all(self, name: str, platforms: Sequence[str] = PLATFORMS) -> None:
        for platform in platforms:
            self.ask(platform, name)

    def seen(self, platform: str, name: str) -> list[str]:
        """The texts that stand in the chat; an empty message counts for none."""
        sim: Sim = self._scene.sims[platform]
        chats = http("GET", f"{sim.url}/_sim/shown")[1]
        return [text.strip() for text in chats.get(self._names(platform, name)[0], ()) if text.strip()]

    def until_half(self, platform: str, name: str) -> None:
        """Wait until part of the answer can be read."""
        whole = self._asked[platform, name]

        def half() -> bool:
            texts = self.seen(platform, name)
            return any(10 < len(text) < len(whole) and whole.startswith(text) for text in texts)

        until(half, 15, f"half an answer for {name} on {platform}: {self.seen(platform, name)}")

    def until_whole(self, name: str, platforms: Sequence[str] = PLATFORMS, seconds: float = 25.0) -> None:
        """Wait until every chat shows the answer and nothing else, and look again a little later."""
        for platform in platforms:
            wanted = [self._asked[platform, name]]
            try:
                until(lambda: self.seen(platform, name) == wanted, seconds)
            except AssertionError:
                raise AssertionError(f"{name} on {platform} reads {self.seen(platform, name)}, not {wanted}") from None
        gevent.sleep(0.3)
        for platform in platforms:
            assert self.seen(platform, name) == [self._asked[platform, name]], f"{name} on {platform}"

    def _names(self, platform: str, name: str) -> tuple[str, str]:
        """Chat and user, as the platform names them."""
        if platform == "feishu":
            return f"oc_{name}", f"ou_{name}"
        if platform == "slack":
            return f"D0{name.upper()}", f"U0{name.upper()}"
        return name, name


@pytest.fixture
def open_scene(stage: Any) -> Callable[..., Scene]:
    def begin(platforms: Sequence[str]) -> Scene:
        model = stage.model()
        model.behave(chunks=PIECES, delay=PAUSE)
        agent = {"type": "openai", "base_url": model.url, "model": "test"}
        gateway = {"agent": agent, "supervisor": QUICK}
        return Scene(stage, platforms=platforms, gateway=gateway, files=WITH_CARDS)

    return begin


def test_an_answer_that_grew_is_whole_and_stands_once_through_resets_and_a_kill(
    open_scene: Callable[..., Scene], stage: Any
) -> None:
    scene = open_scene(PLATFORMS)
    readers = Readers(scene)
    readers.ask_all("reset")
    for platform in PLATFORMS:
        readers.until_half(platform, "reset")
        scene.sims[platform].fault("rst")
    readers.until_whole("reset")

    readers.ask_all("killed")
    for platform in PLATFORMS:
        readers.until_half(platform, "killed")
    scene.gateway.kill(signal.SIGKILL)
    scene.gateway = stage.gateway()
    readers.until_whole("killed")
    scene.no_violations()


def test_a_draft_that_fails_costs_no_answer(open_scene: Callable[..., Scene]) -> None:
    platforms = tuple(FAILURES)
    scene = open_scene(platforms)
    readers, names = Readers(scene), []
    for kind in ("429", "503", "refused", "no end"):
        during, before = f"during{kind.replace(' ', '')}", f"before{kind.replace(' ', '')}"
        readers.ask_all(during, platforms)
        for platform in platforms:
            readers.until_half(platform, during)
            scene.sims[platform].fault("api_error", **FAILURES[platform][kind])
        readers.ask_all(before, platforms)
        # Longer than the answer takes: its end runs into the failure as well.
        gevent.sleep(PIECES * PAUSE + 0.3)
        for sim in scene.sims.values():
            sim.clear()
        names += [during, before]
    for name in names:
        readers.until_whole(name, platforms)
    scene.no_violations()
