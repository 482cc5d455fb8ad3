"""The pictures in the READMEs are of this page: a real ``try``, taken anew with ``HERMES_GREEN_PICTURES=1``."""

from __future__ import annotations

import os
import re
import signal
import struct
from pathlib import Path

import pytest

from tests.e2e.test_try import Trial
from tests.support.browser import Browser, Page
from tests.support.stage import ROOT, until

FOLDER = ROOT / "tests" / "e2e" / "pictures"
DESKTOP, PHONE = (1280, 740), (390, 780)
MOST = 150_000  # bytes: they are part of every clone
READMES = {"en": "README.md", "zh": "README.zh-CN.md"}
SPEAKS = {"en": "en", "zh": "zh-CN"}
SAID = {
    "en": ("Good morning! What is on today?", "Please remind me of the review at ten."),
    "zh": ("早上好！今天有什么安排？", "请在十点提醒我开评审会。"),
}
ANSWERS = "[...document.querySelectorAll('#lab-lines > li:not(.growing) .bubble')].map((each) => each.textContent)"


def take(trial: Trial, page: Page, language: str) -> None:
    """A conversation on one platform while another one's line is down, large and bright; the board, small and dark."""
    page.speak(SPEAKS[language])
    page.prefer("light")
    page.resize(*DESKTOP)
    page.open("about:blank")
    page.open(f"{trial.url}/#lab")
    page.until("document.querySelectorAll('#lab-platforms button').length === 6", what="the six platforms")
    platform = {"en": "slack", "zh": "wecom"}[language]
    page.click(f"#lab-platforms button[data-name={platform}]")
    for text in SAID[language]:
        trial.say(platform, text)
        whole = f"{ANSWERS}.filter((said) => said.trim() === {text!r}).length === 2"
        page.until(whole, what="the answer")
    page.until("document.querySelector('[data-child=dingtalk]').classList.contains('wait')", what="the lost line")
    page.picture(FOLDER / f"page-{language}.png")
    page.prefer("dark")
    page.resize(*PHONE, mobile=True)
    page.click("#show-board")
    page.until("document.querySelector('main').dataset.view === 'board'")
    page.picture(FOLDER / f"phone-{language}.png")
    assert page.errors == []


@pytest.fixture(scope="module", autouse=True)
def _anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not os.environ.get("HERMES_GREEN_PICTURES"):
        return
    home = tmp_path_factory.mktemp("pictures")
    FOLDER.mkdir(exist_ok=True)
    trial = Trial(home)
    try:
        trial.until_ready()
        for fault in ("refuse", "rst"):
            trial.post("dingtalk/fault", {"fault": fault})
        until(lambda: trial.children()["dingtalk"]["state"] == "WAITING", what="a refused dial")
        with Browser(home) as browser:
            page = browser.page(*DESKTOP)
            for language in READMES:
                take(trial, page, language)
    finally:
        trial.kill(signal.SIGTERM)


@pytest.mark.parametrize("language", READMES)
def test_each_readme_shows_the_page_in_its_own_language_large_and_small(language: str) -> None:
    text = (ROOT / READMES[language]).read_text(encoding="utf-8")
    shown = re.findall(r"tests/e2e/pictures/([\w.-]+)", text)
    assert shown == [f"page-{language}.png", f"phone-{language}.png"]
    assert [size_of(FOLDER / name) for name in shown] == [DESKTOP, PHONE]


def test_no_picture_is_large_or_shown_nowhere() -> None:
    there = sorted(FOLDER.iterdir())
    assert len(there) == 4 and all(path.stat().st_size < MOST for path in there)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, which its first chunk tells."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return width, height
