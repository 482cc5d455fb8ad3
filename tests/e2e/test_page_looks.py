"""How the page looks: every view fits, in both languages, dark and light, and can be used by everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import Browser, Page
from tests.support.gateway import Site
from tests.support.page import VIEWS, axe, faults, happen
from tests.support.stage import until

DESKTOP = (1280, 900)
PHONE = (390, 844)
# Whatever sticks out to the side of the page, or of something that does not scroll that way on purpose.
STICKS_OUT = """
[...(document.documentElement.scrollWidth > innerWidth ? ['the page'] : []),
 ...[...document.querySelectorAll('header, nav, main, main > section, .lines, ul, ol, dl, li, figure, dialog[open]')]
   .filter((each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
   .map((each) => each.id || each.className)]
"""
CHINESE = "/[\\u4e00-\\u9fff]/.test(document.getElementById('show-board').textContent)"


def open_full(page: Page, site: Site) -> None:
    page.open("about:blank")  # the same address again would be no new page
    page.open(f"{site.server.url}/#board")
    page.until("document.querySelectorAll('#children > li').length === 7", what="seven cards")
    page.until("document.querySelectorAll('#charts path').length >= 5", what="the charts")
    page.until("!document.getElementById('show-lab').hidden", what="the simulated platforms")
    until(lambda: site.gateway.ears, what="the page to listen")
    happen(site)
    site.reply("Here it is:\n```\nprint(1)\n```", chat=page.eval("localStorage.getItem('chat')"))
    page.until("!!document.querySelector('#lines pre')", what="an answer")
    page.until("document.querySelectorAll('#event-list li').length === 2", what="the events")


def show(page: Page, view: str) -> None:
    page.click(f"#show-{view}")
    page.until(f"document.querySelector('main').dataset.view === '{view}'")
    if view == "lab":
        page.until("document.querySelectorAll('#lab-lines li').length === 4", what="what the users see")
    if view in ("dead", "sessions", "pairing"):
        page.until(f"document.querySelectorAll('#{view} li').length >= 2", what=f"the list of {view}")
    if view == "sessions":
        page.click("[data-verb=show]")
        page.until("!!document.querySelector('.history li')")


@pytest.mark.parametrize("size, narrow", [(DESKTOP, 900), (PHONE, 360)], ids=["desk", "phone"])
def test_every_view_fits_dark_and_light_in_both_languages(
    full_site: Site, browser: Browser, tmp_path: Path, size: tuple[int, int], narrow: int
) -> None:
    mobile = size == PHONE
    page = browser.page(*size, mobile=mobile)
    for theme, language in (("light", "en"), ("dark", "zh-CN")):
        page.prefer(theme)
        page.speak(language)
        open_full(page, full_site)
        assert page.eval(CHINESE) == (language == "zh-CN")
        for view in VIEWS:
            show(page, view)
            assert page.eval(STICKS_OUT) == [], (view, theme)
            page.picture(tmp_path / f"{theme}-{view}.png")
            page.resize(narrow, size[1], mobile)
            assert page.eval(STICKS_OUT) == [], (view, theme, narrow)
            page.resize(*size, mobile)
        show(page, "board")
        page.click("[data-child=feishu] [data-verb=restart]")
        page.until("document.getElementById('ask').open")
        assert page.eval(STICKS_OUT) == []
        page.picture(tmp_path / f"{theme}-ask.png")
        page.press("Escape")
        page.eval("document.getElementById('trends').scrollIntoView()")
        page.picture(tmp_path / f"{theme}-charts.png")
    assert page.errors == []
    print(f"pictures: {tmp_path}")


@pytest.mark.parametrize("size, theme, language", [(DESKTOP, "light", "en"), (PHONE, "dark", "zh-CN")])
def test_no_view_has_a_serious_fault_of_accessibility(
    full_site: Site, browser: Browser, size: tuple[int, int], theme: str, language: str
) -> None:
    judge = axe()
    page = browser.page(*size)
    page.prefer(theme)
    page.speak(language)
    open_full(page, full_site)
    page.eval("document.querySelector('header').append(new Image(9, 9))")
    assert "image-alt" in str(faults(page, judge)), "the judge sees what is wrong"
    page.reload()
    open_full(page, full_site)
    found = {}
    for view in VIEWS:
        show(page, view)
        found[view] = faults(page, judge)
    show(page, "board")
    page.click("[data-child=feishu] [data-verb=stop]")
    page.until("document.getElementById('ask').open")
    found["ask"] = faults(page, judge)
    page.click("#ask-yes")
    page.until("!document.getElementById('notice').hidden")
    found["notice"] = faults(page, judge)
    assert {where: what for where, what in found.items() if what} == {}


def test_the_chosen_colours_win_over_the_systems_and_are_remembered(full_site: Site, browser: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page = browser.page(*DESKTOP)
    page.prefer("light")
    page.open(full_site.server.url)
    light = page.eval(paper)
    page.prefer("dark")
    dark = page.eval(paper)
    assert light != dark
    page.click("#theme")
    assert page.eval(paper) == light
    assert page.eval("document.getElementById('theme').ariaPressed") == "false"
    page.reload()
    assert page.eval(paper) == light
    page.click("#theme")
    assert page.eval(paper) == dark
    page.prefer("light")
    assert page.eval(paper) == light, "who chose what the system has follows the system again"


def test_the_language_is_the_browsers_until_another_is_chosen(full_site: Site, browser: Browser) -> None:
    page = browser.page(*DESKTOP)
    page.speak("zh-CN", "en")
    page.open(full_site.server.url)
    assert page.eval(CHINESE)
    assert page.eval("document.documentElement.lang") == "zh-CN"
    page.click("#language")
    assert not page.eval(CHINESE)
    assert page.eval("document.getElementById('text').placeholder") == "Write a message"
    page.reload()
    assert not page.eval(CHINESE)
    page.click("#language")
    page.until("document.getElementById('pulse').textContent.includes('就绪')")
    assert page.eval("document.getElementById('text').placeholder") == "输入消息"


def test_where_the_browser_speaks_neither_language_the_gateways_own_is_taken(full_site: Site, browser: Browser) -> None:
    full_site.gateway.more["locale"] = "zh"
    page = browser.page(*DESKTOP)
    page.speak("fr-FR")
    page.open(full_site.server.url)
    page.until(CHINESE, what="the page to be in Chinese")


def test_every_sentence_stands_in_both_languages_with_the_same_blanks(full_site: Site, browser: Browser) -> None:
    page = browser.page(*DESKTOP)
    page.open(full_site.server.url)
    english, chinese = page.eval(
        "Promise.all([import('/page/english.js'), import('/page/chinese.js')]).then(([en, zh]) => {"
        " const blanks = (words) => Object.fromEntries(Object.entries(words)"
        "   .map(([name, said]) => [name, [...said.matchAll(/\\{\\w+\\}/g)].map((found) => found[0]).sort()]));"
        " return [blanks(en.ENGLISH), blanks(zh.CHINESE)] })"
    )
    assert {name: chinese.get(name) for name in english} == english
    # What the gateway says itself is English already.
    assert {name.partition(".")[0] for name in chinese.keys() - english.keys()} <= {"reason", "error", "fault"}


def test_every_name_that_the_page_uses_has_a_sentence(full_site: Site, browser: Browser) -> None:
    page = browser.page(*DESKTOP)
    page.open(full_site.server.url)
    missing = page.eval(
        "import('/page/english.js').then(({ENGLISH}) => [...document.querySelectorAll('[data-text], [data-label],"
        " [data-hint], [data-none]')].flatMap(({dataset: d}) => [d.text, d.label, d.hint, d.none])"
        " .filter((name) => name && !(name in ENGLISH)))"
    )
    assert missing == []
