"""The page, in a real browser: a chat that shows the echo and keeps it, and a status board."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import Browser, Page
from tests.support.stage import Stage

DESKTOP = (1280, 800)
PHONE = (360, 740)
# What stands in the bubbles, in order.
SAID = "[...document.querySelectorAll('#lines .bubble')].map((bubble) => bubble.textContent)"
STANDING = "[...document.querySelectorAll('#children > li .head')].map((head) => head.textContent)"


def send(page: Page, text: str) -> None:
    page.click("#text")
    page.type(text)
    page.click("#send")


def until_said(page: Page, *texts: str) -> None:
    wanted = str(list(texts))
    page.until(f"JSON.stringify({SAID}) === JSON.stringify({wanted})", what=f"the chat to show {wanted}")


def fits(page: Page) -> bool:
    """Nothing sticks out to the side, neither of the page nor of what scrolls in it."""
    return bool(
        page.eval(
            "document.documentElement.scrollWidth <= innerWidth && "
            "['#lines', '#board', '#compose', 'header'].every((each) => {"
            " const box = document.querySelector(each); return box.scrollWidth <= box.clientWidth + 1; })"
        )
    )


def test_a_message_typed_into_the_page_is_answered_there_and_is_still_there_after_a_reload(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    gateway = stage.gateway()
    page = browser.page(*DESKTOP)
    page.open(gateway.url)
    page.until(f"{STANDING}.includes('webREADY')", what="the status board to show the web chat READY")
    assert "1 of 1 ready" in page.eval("document.getElementById('pulse').textContent")
    page.picture(tmp_path / "desktop-empty.png")

    send(page, "good morning")
    until_said(page, "good morning", "good morning")
    assert page.eval("document.getElementById('text').value") == ""
    page.click("#text")
    page.type("and by the Enter key")
    page.press_enter()
    conversation = ["good morning", "good morning", "and by the Enter key", "and by the Enter key"]
    until_said(page, *conversation)
    page.picture(tmp_path / "desktop.png")

    page.reload()
    until_said(page, *conversation)
    assert fits(page)
    assert page.errors == []
    print(f"pictures: {tmp_path}")


# The browser's clock, an hour from ours.
ELSEWHEN = """(() => { const Real = Date; window.Date = class extends Real {
  constructor(...given) { super(...(given.length ? given : [Real.now() + HOUR])) }
  static now() { return Real.now() + HOUR }
}})()"""


@pytest.mark.parametrize("hour", ["3600000", "-3600000"], ids=["ahead", "behind"])
def test_questions_stand_before_their_answers_whatever_the_browsers_clock_says(
    stage: Stage, browser: Browser, hour: str
) -> None:
    gateway = stage.gateway()
    page, beside = browser.page(*DESKTOP), browser.page(*DESKTOP)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=ELSEWHEN.replace("HOUR", hour))
    for each in (page, beside):
        each.open(f"{gateway.url}/?chat=clock{hour}")
        each.until(f"{STANDING}.includes('webREADY')", what="the page to be connected")
    for text in ("one", "two"):
        send(page, text)
        asked = "[...document.querySelectorAll('#lines > li')].map((line) => line.className.trim()).join()"
        turns = "user,assistant,user,assistant" if text == "two" else "user,assistant"
        for each in (page, beside):
            each.until(f"{asked} === '{turns}'", what=f"{turns}, not {each.eval(asked)}")
    for each in (page, beside):
        until_said(each, "one", "one", "two", "two")


def test_the_page_fits_a_phone_without_scrolling_sideways(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    gateway = stage.gateway()
    page = browser.page(*PHONE, mobile=True)
    page.open(gateway.url)
    page.until(f"{STANDING}.includes('webREADY')", what="the status board to be drawn")
    code = "Look:\n```python\n" + "print('" + "a long line of code " * 12 + "')\n```\n" + "unbroken" * 40
    send(page, code)
    page.until(f"{SAID}.length === 2", what="the echo")
    assert fits(page)
    page.picture(tmp_path / "phone-chat.png")

    page.click("#show-board")
    assert page.eval("getComputedStyle(document.getElementById('chat')).display") == "none"
    assert page.eval("document.getElementById('children').getBoundingClientRect().height") > 40
    assert fits(page)
    page.picture(tmp_path / "phone-board.png")
    page.prefer("dark")
    page.click("#show-chat")
    page.picture(tmp_path / "phone-dark.png")
    assert page.errors == []
    print(f"pictures: {tmp_path}")


def test_what_an_answer_contains_is_shown_as_text_and_never_run(stage: Stage, browser: Browser) -> None:
    gateway = stage.gateway()
    page = browser.page(*DESKTOP)
    page.open(gateway.url)
    hostile = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    send(page, hostile)
    until_said(page, hostile, hostile)
    assert page.eval("document.querySelectorAll('#lines img, #lines script').length") == 0
    assert page.eval("window.hacked === undefined")
    assert page.errors == []


def test_the_page_finds_the_gateway_again_after_a_restart(stage: Stage, browser: Browser) -> None:
    gateway = stage.gateway()
    port = gateway.url.rpartition(":")[2]
    page = browser.page(*DESKTOP)
    page.open(gateway.url)
    send(page, "before")
    until_said(page, "before", "before")
    assert gateway.kill(15) == 0
    page.until("document.getElementById('pulse').classList.contains('bad')", what="the page to say it is cut off")
    stage.write("gateway", {"http": {"port": int(port)}, "access": {"dm": "open"}})
    again = stage.gateway()
    again.until_ready()
    page.until("!document.getElementById('pulse').classList.contains('bad')", what="the page to be connected again")
    send(page, "after")
    until_said(page, "before", "before", "after", "after")
