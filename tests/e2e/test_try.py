"""``hermes-green try``: six simulated platforms, a gateway on them and a page to play with, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Iterator

import psutil
import pytest

from hermes_green.lab import locale_of
from tests.support.browser import Browser, Page
from tests.support.stage import PATIENCE, Process, http, until

DESKTOP, PHONE = (1280, 800), (360, 740)
SIX = ["feishu", "dingtalk", "wecom", "qq", "telegram", "slack"]
WORDS = "the answer to this grows word by word until all of it is there to be read"


class Trial(Process):
    """A running ``try``, with a folder of its own for what is temporary."""

    def __init__(self, home: Path, *words: str) -> None:
        self.temporary = home / "tmp"
        self.temporary.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "hermes_green", "try", "--port", "0", *words]
        env = {"TMPDIR": str(self.temporary), "HOME": str(home)}
        super().__init__(argv, r"^hermes-green ready (\S+)", home / "try.log", env)

    def children(self) -> dict[str, Any]:
        return {child["id"]: child for child in http("GET", f"{self.url}/api/status")[1]["children"]}

    def until_ready(self) -> None:
        until(lambda: http("GET", f"{self.url}/readyz")[0] == 200, what="every child READY")

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return http("POST", f"{self.url}/api/lab/{path}", body, headers)

    def say(self, platform: str, text: str, kind: str = "dm") -> None:
        status, answer = self.post(f"{platform}/say", {"text": text, "kind": kind})
        assert status == 202, answer

    def seen(self, platform: str, since: int = 0) -> dict[str, Any]:
        return dict(http("GET", f"{self.url}/api/lab/{platform}?since={since}")[1])

    def answers(self, platform: str) -> list[str]:
        """What the users have been answered, whole."""
        lines = self.seen(platform)["lines"]
        return [line["text"].strip() for line in lines if line["role"] == "assistant" and not line["growing"]]

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    if trial.popen.poll() is None:
        trial.kill(signal.SIGTERM)
    trial.popen.stdout.close()


def test_without_any_configuration_a_user_of_each_platform_is_answered_in_direct_chats_and_groups(trial: Trial) -> None:
    trial.until_ready()
    assert sorted(trial.children()) == sorted([*SIX, "web"])
    for platform in SIX:
        trial.say(platform, f"{platform} direct")
        trial.say(platform, f"{platform} group", "group")
    for platform in SIX:
        wanted = {f"{platform} direct", f"{platform} group"}
        until(lambda: {text.split("\n")[-1] for text in trial.answers(platform)} >= wanted, what=f"{platform} answers")
        assert trial.seen(platform)["violations"] == 0


@pytest.mark.parametrize("platform", ["dingtalk", "wecom", "telegram", "slack"])
def test_a_user_sees_the_answer_grow_in_one_bubble(trial: Trial, platform: str) -> None:
    trial.until_ready()
    trial.say(platform, WORDS)
    partly: list[str] = []

    def finished() -> bool:
        texts = [line["text"] for line in trial.seen(platform)["lines"] if line["role"] == "assistant"]
        partly.extend(text for text in texts if text.strip() not in ("", "…", WORDS))
        return WORDS in trial.answers(platform)

    until(finished, what="the whole answer")
    bubbles = [line for line in trial.seen(platform)["lines"] if line["role"] == "assistant" and not line["gone"]]
    # Who looked away may have missed it: between the beginning and the whole it has changed.
    assert partly or bubbles[0]["changes"] > 1, "it was seen before it was whole"
    assert [line["text"].strip() for line in bubbles] == [WORDS]


def test_only_the_platform_whose_line_is_cut_reconnects(trial: Trial) -> None:
    trial.until_ready()
    before = trial.children()
    for platform in ("feishu", "slack"):
        assert trial.post(f"{platform}/fault", {"fault": "rst"})[0] == 202
        until(lambda: trial.children()[platform]["losses"] == 1, what=f"{platform} to notice")
    trial.until_ready()
    after = trial.children()
    for platform in SIX:
        assert after[platform]["losses"] == (platform in ("feishu", "slack")), platform
        if platform not in ("feishu", "slack"):
            assert after[platform]["since"] == before[platform]["since"]


def test_a_lasting_fault_stays_on_until_it_is_cleared(trial: Trial) -> None:
    trial.until_ready()
    assert trial.post("qq/fault", {"fault": "refuse"})[0] == 202
    assert trial.seen("qq")["on"] == ["refuse"]
    trial.post("qq/fault", {"fault": "rst"})
    until(lambda: trial.children()["qq"]["state"] == "WAITING", what="a refused dial")
    assert trial.post("qq/clear", {"fault": "refuse"})[0] == 202
    assert trial.seen("qq")["on"] == []
    trial.until_ready()


def test_what_is_wrong_with_a_request_is_said(trial: Trial) -> None:
    for path, body, status in (
        ("pigeon/say", {"text": "hi"}, 404),
        ("qq/say", {}, 422),
        ("qq/say", {"text": "hi", "kind": "letter"}, 422),
        ("qq/say", {"text": "x" * 20_001}, 422),
        ("qq/fault", {"fault": "flood"}, 422),
        ("qq/clear", {"fault": "flood"}, 422),
    ):
        got, answer = trial.post(path, body)
        assert got == status and answer["error"]["text"], (path, body, got, answer)
    assert trial.post("qq/say", {"text": "hi"}, Origin="http://elsewhere.example")[0] == 403
    assert trial.post("qq/say", {"text": "hi"}, **{"Content-Type": "text/plain"})[0] == 415
    assert trial.post("qq/say", {"text": "hi"}, Host="elsewhere.example")[0] == 421


def test_after_the_end_no_process_and_no_file_is_left(trial: Trial) -> None:
    trial.until_ready()
    processes = trial.processes()
    assert any("all" in process.cmdline() for process in processes)
    assert trial.kill(signal.SIGTERM) == 0
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
    assert list(trial.temporary.iterdir()) == []
    assert not (Path(os.environ.get("HOME", "/")) / ".local/state/hermes-green/try").exists()


@pytest.mark.parametrize(
    ("env", "locale"),
    [({}, "en"), ({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LANG": "C.UTF-8"}, "en"), ({"LANG": "zh", "LC_ALL": "C"}, "en")],
)
def test_the_bots_speak_the_language_of_the_machine(env: dict[str, str], locale: str) -> None:
    assert locale_of(env) == locale


def test_the_simulators_die_with_a_gateway_that_is_killed(trial: Trial) -> None:
    trial.until_ready()
    processes = trial.processes()
    trial.kill(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive, [process.cmdline() for process in alive]


# --- the page --------------------------------------------------------------------------------------

LINES = "[...document.querySelectorAll('#lab-lines > li:not(.growing) .bubble')].map((each) => each.textContent)"
# Remembers that an answer was seen to grow, whoever looks when.
GREW = (
    "new MutationObserver(() => { window.grew ||= !!document.querySelector('#lab-lines .growing') })"
    ".observe(document.getElementById('lab-lines'), {subtree: true, childList: true, attributes: true})"
)
CARD = "[...document.querySelectorAll('#children > li')].find((each) => each.textContent.startsWith('{}')).textContent"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path) as browser:
        yield browser


def fits(page: Page) -> bool:
    """Nothing sticks out to the side."""
    boxes = "['#lab', '#lab-lines', '#board', '#lab-compose', '#lab-faults', '#lab-platforms', 'header']"
    return bool(
        page.eval(
            f"document.documentElement.scrollWidth <= innerWidth && {boxes}.every((each) => {{"
            " const box = document.querySelector(each); return box.scrollWidth <= box.clientWidth + 1; })"
        )
    )


def choose(page: Page, platform: str) -> None:
    page.click(f"#lab-platforms button[data-name={platform}]")


def write(page: Page, text: str) -> None:
    page.click("#lab-text")
    page.type(text)
    page.press_enter()


def test_on_the_page_one_writes_as_a_user_of_any_platform_and_breaks_a_line(
    trial: Trial, browser: Browser, tmp_path: Path
) -> None:
    trial.until_ready()
    page = browser.page(*DESKTOP)
    page.open(trial.url)
    page.until("document.querySelectorAll('#lab-platforms button').length === 6", what="the six platforms")
    page.eval(GREW)
    for platform in sorted(SIX):
        choose(page, platform)
        words = WORDS if platform == "wecom" else f"hello {platform}"
        write(page, words)
        if platform == "wecom":
            page.until("window.grew", what="an answer that grows")
            page.picture(tmp_path / "try-growing.png")
        wanted = f"{LINES}.filter((text) => text.trim() === {words!r}).length === 2"
        page.until(wanted, what=f"the question and its answer on {platform}")
    page.click("#lab-switches button[data-fault=half_open]")
    page.until("document.querySelector('#lab-switches [data-fault=half_open]').ariaPressed === 'true'")
    page.until(f"{CARD.format('wecom')}.includes('links lost: 1')", what="the loss to be noticed")
    page.picture(tmp_path / "try-desktop.png")
    for platform in set(SIX) - {"wecom"}:
        assert not page.eval(f"{CARD.format(platform)}.includes('links lost')"), platform
    page.until(f"{CARD.format('wecom')}.includes('READY')", what="a new link")
    choose(page, "telegram")
    assert page.eval(f"{LINES}.length") == 2, "each platform shows its own"
    assert fits(page)
    assert page.errors == []
    print(f"pictures: {tmp_path}")


def test_the_lab_fits_a_phone(trial: Trial, browser: Browser, tmp_path: Path) -> None:
    trial.until_ready()
    page = browser.page(*PHONE, mobile=True)
    page.open(trial.url)
    page.until("document.querySelectorAll('#lab-platforms button').length === 6", what="the six platforms")
    choose(page, "slack")
    write(page, WORDS + " " + "unbroken" * 30)
    page.until(f"{LINES}.length === 2", what="the answer")
    assert fits(page)
    page.picture(tmp_path / "try-phone.png")
    page.click("#lab-faults summary")
    assert fits(page)
    page.picture(tmp_path / "try-phone-faults.png")
    page.click("#lab-switches button[data-fault=rst]")
    page.click("#show-board")
    page.until("getComputedStyle(document.getElementById('lab')).display === 'none'", what="the status board alone")
    page.picture(tmp_path / "try-phone-board.png")
    page.click("#show-chat")
    page.until("document.getElementById('lines').getBoundingClientRect().height > 40", what="the chat to be shown")
    assert page.errors == []
    print(f"pictures: {tmp_path}")
