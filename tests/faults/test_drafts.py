"""Whatever becomes of a growing answer, people end up with the agent's text: whole, once, in one place."""

from __future__ import annotations

import signal
from typing import Any, Callable, Sequence

import gevent
import pytest

from tests.support.scene import QUICK, Scene
from tests.support.stage import PATIENCE, Model, Sim, http, until

PLATFORMS = ("feishu", "qq", "telegram", "slack", "dingtalk", "wecom")
# The answer takes its time, and stops in the middle until it is let go: it is shown in between, and is met there.
PACE = {"chunks": 10, "delay": 0.2}
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
    "telegram": {
        "429": {"code": 429, "description": "Too Many Requests", "retry_after": 1, "method": "editMessageText"},
        "503": {"code": 503, "description": "away", "method": "editMessageText"},
        "refused": {"code": 400, "description": "message can't be edited", "method": "editMessageText"},
        "no end": {"code": 400, "description": "message to edit not found", "method": "editMessageText"},
    },
    "slack": {
        "429": {"error": "ratelimited", "after": 1, "method": "chat.update"},
        "503": {"error": "internal_error", "method": "chat.update"},
        "refused": {"error": "cant_update_message", "method": "chat.update"},
        "no end": {"error": "edit_window_closed", "method": "chat.update"},
    },
    # A card cannot be taken back: one that takes no end stays, and says that the text stands below.
    "dingtalk": {
        "429": {"status": 403, "code": "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "message": "", "path": "card"},
        "503": {"status": 503, "code": "ServiceUnavailable", "message": "away", "path": "streaming"},
    },
}


class Readers:
    """One person on each platform's simulator, and what stands in their chats."""

    def __init__(self, scene: Scene, model: Model) -> None:
        self._scene = scene
        self._model = model
        self._asked: dict[tuple[str, str], str] = {}

    def ask(self, platform: str, name: str) -> None:
        """Let ``name`` write a text of some length, which the model says back."""
        text = f"{platform} {name} " + "said at some length, so that it grows. " * 8
        chat, user = self._names(platform, name)
        self._asked[platform, name] = f"echo: {text}".strip()
        self._scene.sims[platform].say(text=text, chat=chat, user=user)

    def half(self) -> None:
        """From now on answers stop in their middle."""
        self._model.behave(**PACE, halt=True)

    def whole(self) -> None:
        """All answers go on to their end."""
        self._model.behave(**PACE)
        self._model.release()

    def said(self, *names: str) -> int:
        """How many answers to these the model has said to their end."""
        calls = [call for call in self._model.record() if call["text"].split()[1] in names]
        return sum(call["outcome"] == "done" for call in calls)

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

        until(half, what=f"half an answer for {name} on {platform}: {self.seen(platform, name)}")

    def until_whole(self, name: str, platforms: Sequence[str] = PLATFORMS, seconds: float = PATIENCE) -> None:
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
def open_scene(stage: Any) -> Callable[..., tuple[Scene, Readers]]:
    def begin(platforms: Sequence[str]) -> tuple[Scene, Readers]:
        model = stage.model()
        agent = {"type": "openai", "base_url": model.url, "model": "test", "chunk_timeout": 600}
        gateway = {"agent": agent, "supervisor": QUICK}
        scene = Scene(stage, platforms=platforms, gateway=gateway, files=WITH_CARDS)
        return scene, Readers(scene, model)

    return begin


def test_an_answer_that_grew_is_whole_and_stands_once_through_resets_and_a_kill(
    open_scene: Callable[..., tuple[Scene, Readers]], stage: Any
) -> None:
    scene, readers = open_scene(PLATFORMS)
    readers.half()
    readers.ask_all("reset")
    for platform in PLATFORMS:
        readers.until_half(platform, "reset")
        scene.sims[platform].fault("rst")
    readers.whole()
    readers.until_whole("reset")

    readers.half()
    readers.ask_all("killed")
    for platform in PLATFORMS:
        readers.until_half(platform, "killed")
    scene.gateway.kill(signal.SIGKILL)
    readers.whole()
    scene.gateway = stage.gateway()
    readers.until_whole("killed")
    scene.no_violations()


def test_a_draft_that_fails_costs_no_answer(open_scene: Callable[..., tuple[Scene, Readers]]) -> None:
    scene, readers = open_scene(tuple(FAILURES))
    asked = []
    for kind in ("429", "503", "refused", "no end"):
        platforms = [platform for platform in FAILURES if kind in FAILURES[platform]]
        during, before = f"during{kind.replace(' ', '')}", f"before{kind.replace(' ', '')}"
        readers.half()
        readers.ask_all(during, platforms)
        for platform in platforms:
            readers.until_half(platform, during)
            scene.sims[platform].fault("api_error", **FAILURES[platform][kind])
        readers.whole()
        readers.ask_all(before, platforms)
        # The end runs into the failure as well.
        until(lambda: readers.said(during, before) == 2 * len(platforms), what="all to be said")
        gevent.sleep(0.3)
        for sim in scene.sims.values():
            sim.clear()
        asked += [(during, platforms), (before, platforms)]
    for name, platforms in asked:
        readers.until_whole(name, platforms)
    # What they were told to refuse was asked for: drafts were taken back, or refused as said.
    assert scene.sims["telegram"].record("recall") and scene.sims["slack"].record("api_refused")
    scene.no_violations()
