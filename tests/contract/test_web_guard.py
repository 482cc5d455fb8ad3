"""Who may speak to the web server: Host, Origin, content type and token."""

import re

import pytest

from hermes_green.core.errors import UnknownChild
from hermes_green.web.exchange import Problem, Request
from hermes_green.web.guard import Guard
from tests.support.gateway import Listener, Site

TOKEN = "correct horse"


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def locked():
    site = Site(token=TOKEN)
    yield site
    site.stop()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8787", "[::1]:1", "LOCALHOST:8787", "127.0.0.2"])
def test_loopback_names_are_served(site, host):
    assert site.get("/api/status", Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "a b", "localhost.evil:1"])
def test_a_rebound_name_is_refused_everywhere(site, host):
    for path in ("/", "/healthz", "/api/status"):
        answer = site.get(path, Host=host)
        assert answer.status in (400, 421)
    if answer.status == 421:
        assert "http.host" in answer.json()["error"]["text"]


@pytest.mark.parametrize(
    "bound, host, served",
    [
        ("192.168.1.5", "192.168.1.5:8787", True),
        ("192.168.1.5", "192.168.1.6", False),
        ("bot.example", "bot.example", True),
        ("bot.example", "evil.example", False),
        ("0.0.0.0", "192.168.7.7:8787", True),
        ("0.0.0.0", "evil.example", False),
        ("::", "[fe80::1]:80", True),
    ],
)
def test_the_configured_host_decides_which_names_are_ours(bound, host, served):
    request = Request({"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "HTTP_HOST": host})
    if served:
        Guard(bound, "t").check(request)
    else:
        with pytest.raises(Problem) as caught:
            Guard(bound, "t").check(request)
        assert caught.value.status == 421


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_foreign_page_can_post_is_refused(site, kind):
    answer = site.post("/api/stop", b"{}", Content_Type=kind)
    assert (answer.status, answer.code) == (415, "not_json")
    assert not site.gateway.stopped


def test_json_with_a_charset_is_json(site):
    assert site.post("/api/reload", {}, Content_Type="Application/JSON; charset=utf-8").status == 200


def test_a_foreign_origin_may_not_post(site):
    here = f"127.0.0.1:{site.server.port}"
    for origin in ("http://evil.example", "null", "http://[", "http://[::1"):
        assert site.post("/api/stop", {}, Host=here, Origin=origin).status == 403
    assert site.post("/api/reload", {}, Host=here, Origin=f"http://{here}").status == 200


def test_without_the_token_nothing_is_told(locked):
    for path in ("/api/status", "/metrics", "/api/events", "/api/chat", "/api/dead", "/nothing"):
        answer = locked.get(path)
        assert answer.status == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/api/send", "/api/stop", "/api/chat"):
        assert locked.post(path, {}).status == 401
    assert not locked.gateway.stopped
    assert locked.get("/api/status", Authorization="Bearer wrong").status == 401
    assert locked.get("/api/status", Authorization=f"Basic {TOKEN}").status == 401


def test_with_the_token_everything_is(locked):
    assert locked.get("/api/status", Authorization=f"Bearer {TOKEN}").status == 200
    assert locked.post("/api/stop", {}, Authorization=f"bearer {TOKEN}").status == 202


def test_probes_need_no_token_and_tell_strangers_no_names(locked):
    assert locked.get("/healthz").status == 200
    assert locked.get("/readyz").json() == {"ready": True}
    assert "not_ready" in locked.get("/readyz", Authorization=f"Bearer {TOKEN}").json()


def test_who_asks_for_a_child_that_is_not_there_learns_those_that_are_with_the_token_only(locked):
    def unknown(id):
        raise UnknownChild(id, known=("feishu/board-of-directors",))

    locked.gateway.readiness = unknown
    for token, told in (("", False), (f"Bearer {TOKEN}", True)):
        answer = locked.get("/readyz?child=nobody", Authorization=token)
        assert answer.status == 404
        assert (b"board-of-directors" in answer.body) is told


def test_the_page_trades_the_token_for_a_cookie_that_does_not_tell_it(locked):
    assert locked.get("/").status == 200
    assert locked.post("/api/login", {"token": "wrong"}).status == 401
    login = locked.post("/api/login", {"token": TOKEN})
    cookie = login.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "correct" not in cookie
    value = cookie.partition(";")[0]
    assert locked.get("/api/status", Cookie=f"other=1; {value}").status == 200
    assert locked.get("/api/status", Cookie=value.partition("=")[0] + "=").status == 401
    listener = Listener(locked, "/api/events", Cookie=value)
    assert listener.response.status == 200
    listener.close()


def test_two_gateways_on_one_host_leave_each_other_their_cookies(locked):
    names = set()
    for port in (8787, 8788):
        login = locked.post("/api/login", {"token": TOKEN}, Host=f"localhost:{port}")
        value = login.headers["set-cookie"].partition(";")[0]
        names.add(value.partition("=")[0])
        # The browser sends both to both.
        both = f"hermes_green_{8787 + 8788 - port}=of-the-other; {value}"
        assert locked.get("/api/status", Host=f"localhost:{port}", Cookie=both).status == 200
    assert len(names) == 2
    assert "hermes_green_80=" in locked.post("/api/login", {"token": TOKEN}, Host="localhost").headers["set-cookie"]


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(locked):
    answer = locked.get("/?token=correct%20horse")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert locked.get("/api/status", Cookie=answer.headers["set-cookie"].partition(";")[0]).status == 200
    assert "set-cookie" not in locked.get("/?token=wrong").headers


def test_no_token_configured_means_none_is_accepted_as_one(site):
    assert site.post("/api/login", {"token": "x"}).status == 401
    assert not Guard("127.0.0.1").accepts("")


def test_every_answer_carries_the_headers_that_keep_browsers_in_line(site):
    for path in ("/", "/page/main.js", "/api/status", "/nothing", "/page/nothing.js"):
        headers = site.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(site):
    page = site.get("/").body.decode()
    assert re.findall(r"<script[^>]*>", page) == [
        '<script src="/page/first.js">',
        '<script type="module" src="/page/main.js">',
    ]
    assert "<style" not in page and " style=" not in page and " onclick" not in page
    known, coming = set(), ["/", "/page/page.css", "/page/first.js", "/page/main.js"]
    while coming:
        path = coming.pop()
        answer = site.get(path)
        assert answer.status == 200, path
        assert b"://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b""), path
        known.add(path)
        parts = {f"/page/{name}" for name in re.findall(r'(?:from|import) "\./(\w+\.js)"', answer.body.decode())}
        coming += parts - known
    assert "/page/chat.js" in known
