"""What can be done on the page, done: every button of every view, by mouse and by keyboard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.browser import Browser, Page
from tests.support.gateway import Site
from tests.support.page import FakeLab, happen, letter
from tests.support.stage import until

DESKTOP = (1280, 900)


def open_at(browser: Browser, site: Site, view: str) -> Page:
    page = browser.page(*DESKTOP)
    page.open(f"{site.server.url}/#{view}")
    page.until("document.getElementById('pulse').textContent.includes('ready')", what="the page to be connected")
    return page


def text(page: Page, selector: str) -> Any:
    return page.eval(f"document.querySelector({json.dumps(selector)})?.innerText")


def shown(page: Page, selector: str) -> Any:
    """Texts of all that match and are to be seen."""
    return page.eval(
        f"[...document.querySelectorAll({json.dumps(selector)})].filter((each) => each.checkVisibility())"
        ".map((each) => each.innerText)"
    )


def agree(page: Page, saying: str) -> None:
    """Read what will happen, and say yes."""
    page.until("document.getElementById('ask').open", what="the question")
    assert saying in text(page, "#ask-text")
    page.click("#ask-yes")


def go(page: Page, view: str) -> None:
    page.click(f"#show-{view}")
    page.until(f"document.querySelector('main').dataset.view === '{view}'")


def noticed(page: Page, words: str) -> None:
    page.until(f"document.getElementById('notice-text').textContent.includes({json.dumps(words)})", what=words)


# --- the board -------------------------------------------------------------------------------------


def test_the_board_tells_of_every_child_how_it_is_why_and_what_to_do(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "board")
    assert "3 of 7 ready" in text(page, "#pulse")
    halted = text(page, "[data-child=qq]")
    refused = "app_id or client_secret is wrong (100016)"
    for words in ("HALTED", refused, "What to do: ", "next try at 12:30:00", "Since"):
        assert words in halted
    waiting = text(page, "[data-child=dingtalk]")
    for words in ("WAITING", "cooling down until", "4 of 4 in 2 min", "cooling down until", "links lost: 4"):
        assert words in waiting
    assert "suspect" in waiting
    ready = text(page, "[data-child=feishu]")
    for words in ("READY", "Last heard\n1 s ago", "Last message\n12 s ago", "Link up for\n10 min", "3 of 8 in 15 min"):
        assert words in ready
    assert "READY, silent" in text(page, "[data-child=wecom]")
    assert "restarts: 5" in text(page, "[data-child='slack/sales']")
    assert text(page, "#hook-list") == "mine:count (agent:end): called: 7 · failed: 2 · cut off: 1"
    totals = text(page, "#totals")
    for words in ("Waiting for an answer\n2", "Waiting for delivery\n1", "Oldest undelivered\n75 s", "Dead letters\n2"):
        assert words in totals


def test_the_board_gives_reasons_in_the_readers_language_whatever_the_gateways_is(
    full_site: Site, browser: Browser
) -> None:
    page = open_at(browser, full_site, "board")
    page.click("#language")
    for child, words in (
        ("qq", "处理办法："), ("qq", "下次尝试 12:30:00"), ("dingtalk", "拨号次数已达上限"), ("telegram", "已按要求停止"),
    ):  # fmt: skip
        assert words in text(page, f"[data-child={child}]")
    page.click("#language")
    assert "stopped by the operator" in text(page, "[data-child=telegram]")


def test_a_child_is_stopped_started_and_restarted_once_its_effect_was_agreed_to(
    full_site: Site, browser: Browser
) -> None:
    gateway = full_site.gateway
    page = open_at(browser, full_site, "board")
    assert shown(page, "[data-child=telegram] .verbs button") == ["Start"]
    page.click("[data-child=feishu] [data-verb=stop]")
    page.until("document.getElementById('ask').open")
    assert "stays stopped until it is started again" in text(page, "#ask-text")
    page.click("#ask-no")
    assert not page.eval("document.getElementById('ask').open")
    assert gateway.commands == []

    page.click("[data-child=feishu] [data-verb=stop]")
    agree(page, "Stop feishu?")
    noticed(page, "feishu is now STOPPED")
    page.until("document.querySelector('[data-child=feishu] .state').textContent === 'STOPPED'")
    page.click("[data-child='slack/sales'] [data-verb=restart]")
    agree(page, "Nothing that waits is lost")
    noticed(page, "slack/sales is now READY")
    page.click("[data-child=telegram] [data-verb=start]")
    agree(page, "Start telegram?")
    noticed(page, "telegram is now READY")
    assert gateway.commands == [("feishu", "stop"), ("slack/sales", "restart"), ("telegram", "start")]
    assert page.errors == []


def test_a_command_that_fails_says_so(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "board")
    page.click("[data-child=feishu] [data-verb=restart]")
    page.until("document.getElementById('ask').open")
    del full_site.gateway.children[1]
    page.click("#ask-yes")
    noticed(page, "feishu")
    assert page.eval("document.getElementById('notice').classList.contains('bad')")
    page.click("#dismiss")
    assert page.eval("document.getElementById('notice').hidden")


def test_where_nobody_answers_that_is_said_in_the_readers_language(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "board")
    page.click("#language")
    full_site.server.stop()
    page.until("document.getElementById('pulse').textContent === '未连接到网关，正在重试…'")
    assert float(page.eval("getComputedStyle(document.getElementById('children')).opacity")) < 1, "old news look old"
    page.click("[data-child=feishu] [data-verb=restart]")
    page.until("document.getElementById('ask').open")
    page.click("#ask-yes")
    noticed(page, "无法连接到网关")
    page.click("#dismiss")
    for view in ("sessions", "dead", "pairing"):
        go(page, view)
    go(page, "chat")
    page.click("#text")
    page.type("hello")
    page.press_enter()
    page.until("document.querySelector('#lines .note').textContent.startsWith('未发送：无法连接到网关')")
    assert page.eval("document.getElementById('notice').hidden"), "that nobody answers stands in the head already"


def test_a_new_process_has_simulated_platforms_of_its_own(
    full_site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FakeLab().seen("a")
    monkeypatch.setattr(FakeLab, "seen", lambda self, platform, since=0: {**first, "now": 9})
    page = open_at(browser, full_site, "lab")
    page.until("document.querySelectorAll('#lab-lines > li').length === 4")
    lines = [{**first["lines"][0], "id": "7", "text": "Anybody here?"}]
    there = {**first, "now": 3}
    monkeypatch.setattr(FakeLab, "seen", lambda self, platform, since=0: {**there, "lines": lines * (not since)})
    page.until("[...document.querySelectorAll('#lab-lines .bubble')].map((each) => each.textContent).join()"
               " === 'Anybody here?'")  # fmt: skip


def test_children_that_come_and_go_are_followed_without_a_reload(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "board")
    page.until("document.querySelectorAll('#children > li').length === 7")
    until(lambda: full_site.gateway.ears)
    del full_site.gateway.children[0]
    full_site.gateway.children[0]["state"] = "WAITING"
    full_site.gateway.happen("adapter:lost", child="feishu")
    page.until("document.querySelectorAll('#children > li').length === 6")
    assert "WAITING" in text(page, "[data-child=feishu]")


def test_everything_can_be_done_from_the_keyboard(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "chat")
    page.eval("document.getElementById('show-board').focus()")
    page.press_enter()
    page.until("document.querySelector('main').dataset.view === 'board'")
    page.eval("document.querySelector('[data-child=feishu] [data-verb=stop]').focus()")
    page.press_enter()
    page.until("document.getElementById('ask').open")
    page.press("Escape")
    page.until("!document.getElementById('ask').open")
    assert full_site.gateway.commands == []
    assert page.eval("document.activeElement.dataset.verb") == "stop", "back to where the question came from"
    page.press_enter()
    page.until("document.getElementById('ask').open")
    page.press("Tab")
    page.eval("document.getElementById('ask-yes').focus()")
    page.press_enter()
    until(lambda: full_site.gateway.commands == [("feishu", "stop")])
    page.until("document.activeElement.dataset?.verb === 'start'", what="the focus on the button that came instead")
    page.press("Tab", shift=True)
    page.press("Tab")
    assert page.eval("document.activeElement.dataset.verb") == "start"


def test_a_reload_of_the_configuration_tells_what_came_of_it(full_site: Site, browser: Browser) -> None:
    gateway = full_site.gateway
    page = open_at(browser, full_site, "board")
    results = [
        ({"ok": True, "changed": [], "restart_required": [], "errors": []}, "Nothing has changed."),
        ({"ok": True, "changed": ["access", "qq"], "restart_required": [], "errors": []}, "Applied: access, qq."),
        ({"ok": True, "changed": [], "restart_required": ["http"], "errors": []}, "Only a restart of the gateway"),
        ({"ok": True, "changed": ["qq"], "restart_required": [], "errors": ["qq: held by pid 7"]}, "qq: held by pid 7"),
        ({"ok": False, "changed": [], "restart_required": [], "errors": ["qq.yaml:3:1: no key 'x'"]}, "qq.yaml:3:1"),
    ]
    for result, words in results:
        gateway.reload_result = result
        page.click("#reload")
        said = f"document.getElementById('reload-result').textContent.includes({json.dumps(words)})"
        page.until(said, what=words)
    assert "what ran before goes on" in text(page, "#reload-result")


def test_a_broken_file_is_shown_until_it_is_mended(full_site: Site, browser: Browser) -> None:
    gateway = full_site.gateway
    wrong = {"ok": False, "errors": ["qq.yaml:3:1: no key 'app_idd'"], "restart_required": []}
    gateway.more["config"] = wrong
    page = open_at(browser, full_site, "chat")
    page.until("document.getElementById('trouble').textContent.includes('qq.yaml:3:1')")
    until(lambda: gateway.ears)
    gateway.more["config"] = {"ok": True, "errors": [], "restart_required": ["http"]}
    gateway.happen("adapter:state", child="qq")
    page.until("document.getElementById('trouble').textContent.includes('Only a restart')")
    assert "qq.yaml" not in text(page, "#trouble")


RULE = "document.querySelector('#charts .rule').getAttribute('visibility') === 'visible'"
CHART = "document.querySelector('#charts svg')"


def point_at_chart(page: Page) -> None:
    """Until it shows; what is above may have grown since we looked where the chart is, then the pointer goes there
    again."""
    page.eval(f"{CHART}.scrollIntoView()")

    def pointed() -> bool:
        box = page.eval(f"(({{ x, y, width }}) => [x + width * .8, y + 50])({CHART}.getBoundingClientRect())")
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        return bool(page.eval(RULE))

    until(pointed)


def test_charts_show_the_hour_and_what_is_under_the_pointer(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "board")
    page.until("document.querySelectorAll('#charts path.series-0[d^=M]').length === 5", what="five charts with lines")
    told = page.eval("[...document.querySelectorAll('#charts svg')].map((each) => each.getAttribute('aria-label'))")
    assert told[0].startswith("Hub lag") and "4.5 ms" in told[0]
    assert "p95" in told[1] and "answers" in told[3]
    before = text(page, "#charts .legend")
    point_at_chart(page)
    assert text(page, "#charts .legend") != before
    # Drawn anew below a pointer that rests, as each minute does it: what it points at stays there to be read.
    page.eval("document.querySelector('#charts .rule').id = 'before'")
    page.eval("document.querySelector('#charts figure').style.width = '90%'")
    page.until("!document.getElementById('before')", what="a chart that is drawn anew")
    assert page.eval(RULE)


def test_charts_without_a_past_say_when_there_will_be_one(browser: Browser) -> None:
    site = Site()
    try:
        page = open_at(browser, site, "board")
        page.until("document.querySelector('#charts .legend').textContent.includes('after 10 s')")
    finally:
        site.stop()


# --- dead letters, sessions, events, pairing ---------------------------------------------------------


def test_dead_letters_are_put_back_or_forgotten(full_site: Site, browser: Browser) -> None:
    gateway = full_site.gateway
    page = open_at(browser, full_site, "dead")
    page.until("document.querySelectorAll('#dead-letters li').length === 2")
    first = text(page, "[data-id=out-1]")
    for words in ("feishu · oc_7a8b9c", "window closed", "What you asked for.", "reply out-1"):
        assert words in first
    assert text(page, "#dead-count").strip() == "2"
    page.click("[data-id=out-1] [data-verb=retry]")
    agree(page, "Put this reply back into its queue?")
    noticed(page, "out-1 is in its queue again")
    page.click("[data-id=in-2] [data-verb=drop]")
    agree(page, "Forget this message for good?")
    noticed(page, "in-2 is forgotten")
    assert gateway.letters == []
    page.until("!document.querySelector('#dead-letters li')")
    until(lambda: gateway.ears)
    gateway.letters.append(letter("out-9"))
    gateway.happen("delivery:dead", child="feishu", reason="window closed")
    page.until("!!document.querySelector('[data-id=out-9]')", what="the new letter without a reload")
    gateway.letters.clear()
    page.click("[data-id=out-9] [data-verb=drop]")
    agree(page, "Forget")
    noticed(page, "no dead letter has the id")


def test_sessions_are_read_and_begun_anew(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "sessions")
    page.until("document.querySelectorAll('#session-list > li').length === 2")
    session = "#session-list > li:first-child"
    assert "feishu/oc_7a8b9c/-/ou_1" in text(page, session)
    page.click(f"{session} [data-verb=show]")
    page.until("document.querySelectorAll('.history li').length === 2")
    assert "hi" in text(page, ".history") and "and how are you?" in text(page, ".history")
    page.click(f"{session} [data-verb=show]")
    page.until("!document.querySelector('.history')")
    page.click(f"{session} [data-verb=reset]")
    agree(page, "The agent forgets this conversation")
    noticed(page, "begins anew")
    assert list(full_site.gateway.talks) == ["web/main"]
    page.until("document.querySelectorAll('#session-list > li').length === 1")


def test_events_are_told_as_they_happen_held_still_and_bounded(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "events")
    empty = page.eval("getComputedStyle(document.getElementById('event-list'), '::before').content")
    assert "Nothing has happened" in empty
    until(lambda: full_site.gateway.ears)
    happen(full_site)
    page.until("document.querySelectorAll('#event-list li').length === 2")
    newest = text(page, "#event-list li")
    assert "message:received" in newest and "child: web" in newest and "thread_id" not in newest
    page.click("#events-pause")
    happen(full_site)
    page.until("document.getElementById('events-held').textContent.includes('2 more')")
    assert page.eval("document.querySelectorAll('#event-list li').length") == 2
    page.click("#events-pause")
    page.until("document.querySelectorAll('#event-list li').length === 4")
    for _ in range(170):
        happen(full_site)
    page.until("document.querySelectorAll('#event-list li').length === 300", what="the bound")
    page.click("#events-clear")
    assert page.eval("document.querySelectorAll('#event-list li').length") < 50


def test_strangers_are_let_in_and_out_again(full_site: Site, browser: Browser) -> None:
    pairing = full_site.gateway.pairing
    page = open_at(browser, full_site, "pairing")
    page.until("document.querySelectorAll('#pairing li').length === 2")
    assert text(page, "#pairing-count").strip() == "1"
    assert "ABCD2345" in text(page, "#pairing-waiting") and "feishu · ou_12" in text(page, "#pairing-waiting")
    page.click("#pairing-waiting [data-verb=approve]")
    agree(page, "Let Li Lei (ou_12) write to feishu?")
    noticed(page, "Li Lei may write to feishu")
    page.until("document.querySelectorAll('#pairing-paired li').length === 2")
    assert pairing.waiting == []
    page.click("#pairing-paired li [data-verb=revoke]")
    agree(page, "Let Han Meimei (u1) no longer write to qq?")
    noticed(page, "may no longer write")
    assert [each["user"] for each in pairing.paired] == ["ou_12"]


def test_a_code_that_has_run_out_is_refused_with_a_reason(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "pairing")
    page.until("!!document.querySelector('[data-verb=approve]')")
    page.click("#pairing-waiting [data-verb=approve]")
    page.until("document.getElementById('ask').open", what="the question")
    full_site.gateway.pairing.waiting = []
    agree(page, "Let Li Lei")
    noticed(page, "not valid")


# --- the way around ----------------------------------------------------------------------------------


def test_the_address_keeps_the_view_over_reloads_and_the_back_button(full_site: Site, browser: Browser) -> None:
    page = open_at(browser, full_site, "dead")
    go(page, "sessions")
    assert page.eval("document.querySelector('nav [aria-current]').id") == "show-sessions"
    page.reload()
    page.until("document.querySelector('main').dataset.view === 'sessions'")
    page.eval("history.back()")
    page.until("document.querySelector('main').dataset.view === 'dead'")
    page.eval("location.hash = 'nonsense'")
    page.until("document.querySelector('main').dataset.view === 'chat'")


def test_every_action_works_in_chinese_too(full_site: Site, browser: Browser) -> None:
    page = browser.page(*DESKTOP)
    page.speak("zh-CN")
    page.open(f"{full_site.server.url}/#board")
    page.until("document.getElementById('pulse').textContent.includes('就绪')")
    assert shown(page, "[data-child=feishu] .verbs button") == ["重启", "停止"]
    page.click("[data-child=feishu] [data-verb=stop]")
    agree(page, "停止 feishu？")
    noticed(page, "feishu 现在：已停止")
    full_site.gateway.reload_result = {"ok": False, "changed": [], "restart_required": [], "errors": ["qq.yaml:3:1"]}
    page.click("#reload")
    page.until("document.getElementById('reload-result').textContent.includes('未被应用')")
    go(page, "dead")
    page.until("!!document.querySelector('[data-id=out-1]')")
    page.click("[data-id=out-1] [data-verb=retry]")
    agree(page, "将这条回复放回队列？")
    noticed(page, "out-1 已回到队列")
    page.click("[data-id=in-2] [data-verb=drop]")
    agree(page, "彻底删除这条消息？")
    noticed(page, "in-2 已删除")
    go(page, "sessions")
    page.until("!!document.querySelector('[data-verb=reset]')")
    page.click("#session-list [data-verb=reset]")
    agree(page, "智能体会忘记这段对话")
    noticed(page, "已重新开始")
    go(page, "pairing")
    page.click("#pairing-waiting [data-verb=approve]")
    agree(page, "允许 Li Lei（ou_12）给 feishu 发消息？")
    noticed(page, "Li Lei 现在可以给 feishu 发消息")
    go(page, "events")
    page.click("#events-pause")
    assert text(page, "#events-pause") == "继续"
    go(page, "chat")
    page.click("#text")
    page.type("你好")
    page.press_enter()
    page.until("document.querySelector('#lines .bubble')?.textContent === '你好'")
