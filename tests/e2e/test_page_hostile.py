"""What others write is shown and never run, and what other sites' pages try fails: in a real browser."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest
from gevent.pywsgi import WSGIServer

from hermes_green.core.ports import DeadLetter
from tests.support.browser import Browser, Page
from tests.support.gateway import Site, child
from tests.support.stage import until

DESKTOP = (1280, 900)
TOKEN = "correct horse"
HOSTILE = (
    "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    "<svg onload=window.hacked=1></svg>'\"><a href=javascript:window.hacked=1>x</a>${window.hacked=1}{{hacked}}"
)
# What the page never makes of anybody's words.
MADE = "document.querySelectorAll('main :is(img, script, iframe, object, embed, a, [onload], [onerror])').length"


def open_at(browser: Browser, url: str) -> Page:
    page = browser.page(*DESKTOP)
    page.open(url)
    return page


# --- what others write -----------------------------------------------------------------------------


def test_hostile_words_are_text_wherever_they_turn_up(site: Site, browser: Browser) -> None:
    gateway = site.gateway
    reason = {"code": HOSTILE, "text": HOSTILE, "action": HOSTILE}
    gateway.children = [
        child(HOSTILE, "HALTED", reason=reason),
        child("feishu", HOSTILE, reason=reason, dials=[{"window": 60, "used": HOSTILE, "limit": HOSTILE}]),
    ]
    gateway.letters = [DeadLetter("out-1", HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1.0, HOSTILE)]  # type: ignore[arg-type]
    gateway.talks = {HOSTILE: [HOSTILE]}
    gateway.pairing.waiting = [{**dict.fromkeys(("code", "child", "user", "name"), HOSTILE), "at": 1, "until": 2}]
    gateway.more = {
        "version": HOSTILE,
        "config": {"ok": False, "errors": [HOSTILE], "restart_required": [HOSTILE]},
        "inbox": HOSTILE,
        "hooks": [{"event": HOSTILE, "hook": HOSTILE, "calls": HOSTILE, "failed": HOSTILE, "late": 0}],
        "locale": HOSTILE,
    }
    gateway.reload_result = {"ok": False, "changed": [HOSTILE], "restart_required": [HOSTILE], "errors": [HOSTILE]}
    page = open_at(browser, site.server.url)
    chat = page.eval("localStorage.getItem('chat')")
    until(lambda: gateway.ears)
    site.reply(HOSTILE, chat=chat)
    site.reply(f"```{HOSTILE}\n{HOSTILE}\n```", chat=chat, key="k2")
    gateway.happen(HOSTILE, **{HOSTILE: HOSTILE, "child": {HOSTILE: HOSTILE}})
    page.until("document.querySelectorAll('#lines .bubble').length === 2", what="the answers")
    page.until("document.querySelectorAll('#event-list li').length >= 1", what="the event")
    for view, wanted in (
        ("chat", "#lines .bubble"),
        ("board", "#children .why"),
        ("dead", "#dead-letters .quote"),
        ("sessions", "#session-list .head"),
        ("events", "#event-list b"),
        ("pairing", "#pairing-waiting .why"),
    ):
        page.click(f"#show-{view}")
        page.until(f"document.querySelector('{wanted}')?.textContent.includes('<img src=x')", what=f"{view} as text")
        if view == "board":
            page.click("#reload")
            page.until("document.getElementById('reload-result').textContent.includes('<script>')")
        for verb in ("show", "approve", "drop", "restart"):
            selector = f"main > section[id={view}] [data-verb={verb}]"
            if page.eval(f"!!document.querySelector('{selector}')?.checkVisibility()"):
                page.click(selector)
                page.eval("new Promise((done) => setTimeout(done, 100))")
                page.press("Escape")
        assert page.eval(MADE) == 0, view
    page.click("#language")
    page.until("document.documentElement.lang === 'zh-CN'")
    assert page.eval(MADE) == 0
    assert page.eval("window.hacked === undefined")
    assert [each for each in page.errors if "422" not in each] == [], "not even tried: the policy had nothing to refuse"


def test_a_hostile_address_names_a_chat_and_nothing_else(site: Site, browser: Browser) -> None:
    page = open_at(browser, site.server.url + "/?chat=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E#<img src=x>")
    page.until("document.getElementById('pulse').textContent.includes('ready')")
    assert page.eval(MADE) == 0
    assert page.eval("window.hacked === undefined")


def test_even_markup_that_got_in_would_run_nothing(site: Site, browser: Browser) -> None:
    page = open_at(browser, site.server.url)
    page.eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hacked=1>"
              "<a id=link href=javascript:window.hacked=1>x</a><style>body{display:none}</style>')")  # fmt: skip
    page.eval("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))")
    page.eval("document.getElementById('link').click()")
    page.eval("new Promise((done) => setTimeout(done, 200))")
    assert page.eval("window.hacked === undefined")
    assert page.eval("getComputedStyle(document.body).display") != "none"
    assert page.eval("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert any("Content Security Policy" in each for each in page.errors)


# --- other sites -----------------------------------------------------------------------------------


class Elsewhere:
    """Another site, on the same machine so that not even SameSite cookies stay away."""

    def __init__(self) -> None:
        self.page = b"<!doctype html><title>elsewhere</title><body>"
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def _answer(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [self.page]

    def stop(self) -> None:
        self._server.stop(timeout=0)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.stop()


@pytest.fixture
def locked() -> Iterator[Site]:
    site = Site(token=TOKEN)
    yield site
    site.stop()


def enter(page: Page) -> None:
    page.until("document.getElementById('login').open", what="the question for the token")
    page.eval("document.getElementById('token').focus()")
    page.type(TOKEN)
    page.press_enter()
    page.until("!document.getElementById('login').open", what="to be let in")


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", ""])
def test_no_other_sites_page_can_make_a_browser_act(
    locked: Site, browser: Browser, elsewhere: Elsewhere, kind: str
) -> None:
    page = open_at(browser, locked.server.url)
    enter(page)
    page.open(elsewhere.url)
    targets = [f"{locked.server.url}{path}" for path in ("/api/stop", "/api/adapters/web/stop", "/api/reload")]
    answers = page.eval(
        f"Promise.all({json.dumps(targets)}.flatMap((url) => ['cors', 'no-cors'].map((mode) =>"
        f" fetch(url, {{method: 'POST', mode, credentials: 'include', body: '{{}}',"
        f" headers: {json.dumps({'Content-Type': kind} if kind else {})}}})"
        "  .then((answer) => answer.type + answer.status, () => 'refused'))))"
    )
    assert set(answers) <= {"refused", "opaque0"}
    assert not locked.gateway.stopped
    assert locked.gateway.commands == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_no_form_of_another_site_can_act(locked: Site, browser: Browser, elsewhere: Elsewhere, kind: str) -> None:
    page = open_at(browser, locked.server.url)
    enter(page)
    elsewhere.page = (
        f'<!doctype html><form method="post" enctype="{kind}" action="{locked.server.url}/api/stop">'
        '<input name=\'{"a":"\' value=\'"}\'></form>'
    ).encode()
    page.open(elsewhere.url)
    page.eval("document.forms[0].submit()")
    page.until("location.pathname === '/api/stop'", what="the form to be sent")
    assert "foreign_origin" in page.eval("document.body.textContent")
    assert not locked.gateway.stopped


def test_no_other_sites_page_can_read_what_is_here(locked: Site, browser: Browser, elsewhere: Elsewhere) -> None:
    page = open_at(browser, locked.server.url)
    enter(page)
    page.open(elsewhere.url)
    base = locked.server.url
    read = f"fetch('{base}/api/status', {{credentials: 'include'}}).then((a) => a.text(), () => 'refused')"
    assert page.eval(read) == "refused"
    heard = (
        f"new Promise((done) => {{ const s = new EventSource('{base}/api/events', {{withCredentials: true}});"
        " s.onopen = () => done('open'); s.onerror = () => done('refused') })"
    )
    assert page.eval(heard) == "refused"
    for tag in ("script", "img"):
        loaded = (
            f"new Promise((done) => {{ const e = document.createElement('{tag}'); e.onload = () => done('loaded');"
            f" e.onerror = () => done('refused'); e.src = '{base}/page/' + "
            f"({json.dumps(tag)} === 'img' ? 'icon.svg' : 'first.js'); document.body.append(e) }})"
        )
        # The server says that only its own pages may have what it serves; a site on the same machine
        # is another one.
        assert page.eval(loaded) == "refused", tag


def test_the_page_cannot_be_put_into_another_sites_frame(site: Site, browser: Browser, elsewhere: Elsewhere) -> None:
    elsewhere.page = f'<!doctype html><iframe id="trap" src="{site.server.url}/"></iframe>'.encode()
    page = open_at(browser, elsewhere.url)
    frames = page.call("Page.getFrameTree")["frameTree"].get("childFrames", [])
    assert [each["frame"].get("unreachableUrl") for each in frames] == [f"{site.server.url}/"]
    assert not site.gateway.ears, "no script of ours ran in there"


def test_a_name_that_was_rebound_to_this_machine_gets_nothing(site: Site, browser: Browser) -> None:
    port = site.server.port
    page = open_at(browser, f"http://rebound.example:{port}/")
    assert "wrong_host" in page.eval("document.body.textContent")
    read = "fetch('/api/status').then((answer) => answer.status)"
    assert page.eval(read) == 421
    post = "fetch('/api/stop', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
    assert page.eval(f"{post}.then((answer) => answer.status)") == 421
    assert not site.gateway.stopped


# --- the token -------------------------------------------------------------------------------------


def test_without_the_token_the_page_shows_nothing_and_with_it_everything(locked: Site, browser: Browser) -> None:
    page = open_at(browser, f"{locked.server.url}/#board")
    page.until("document.getElementById('login').open")
    assert page.eval("document.querySelectorAll('#children li').length") == 0
    page.press("Escape")
    page.until("document.getElementById('login').open", what="the question again: there is nothing behind it")
    page.eval("document.getElementById('token').focus()")
    page.type("wrong")
    page.press_enter()
    page.until("document.getElementById('login-error').textContent !== ''")
    assert page.eval("document.getElementById('login').open")
    page.eval("document.getElementById('token').value = ''")
    enter(page)
    page.until("document.querySelectorAll('#children li').length === 1", what="the board")
    page.click("[data-child=web] [data-verb=restart]")
    page.until("document.getElementById('ask').open")
    page.click("#ask-yes")
    until(lambda: locked.gateway.commands == [("web", "restart")])
    page.reload()
    page.until("document.querySelectorAll('#children li').length === 1", what="the browser to be known still")
    assert page.eval("document.cookie") == "", "scripts cannot read it"
    assert TOKEN not in page.eval("JSON.stringify(localStorage) + location.href + document.body.innerHTML")
