"""Addresses, proxies and headers that the link reads: what is understood, and what errors may not repeat."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from hermes_green.core.errors import ConfError
from hermes_green.link.dial import rebased, split_url
from hermes_green.link.http import Answer, retry_after
from hermes_green.link.proxy import parse_proxy, proxy_for


@pytest.mark.parametrize(
    "url, host, port",
    [
        ("ws://h/x?y=z", "h", None),
        ("wss://h.example:8443", "h.example", 8443),
        ("wss://[::1]:9/x", "::1", 9),
    ],
)
def test_a_sockets_address_is_taken_apart(url: str, host: str, port: int | None) -> None:
    parts = split_url(url)
    assert (parts.hostname, parts.port) == (host, port)


@pytest.mark.parametrize(
    "url, base, expected",
    [
        ("wss://far/link/?ticket=t", "", "wss://far/link/?ticket=t"),
        ("wss://far/link/?ticket=t", "ws://here:9", "ws://here:9/link/?ticket=t"),
        ("wss://far/link/?ticket=t", "ws://here:9/own/", "ws://here:9/own?ticket=t"),
        ("https://far/files/a?b=c", "http://here:9/", "http://here:9/files/a?b=c"),
        ("https://far/files/a?b=c", "http://here:9/all/of/it/", "http://here:9/all/of/it/files/a?b=c"),
        ("http://here:9/all/of/it/files/a", "http://here:9/all/of/it", "http://here:9/all/of/it/files/a"),
    ],
)
def test_an_address_that_was_handed_out_can_be_looked_for_elsewhere(url: str, base: str, expected: str) -> None:
    assert rebased(url, base) == expected


@pytest.mark.parametrize("url", ["", "h", "http://h/s3cret", "ws://", "ws://h:x/s3cret", "ws://h/\r\ns3cret"])
def test_a_wrong_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfError) as caught:
        split_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://p:3128", ("http", "p", 3128, "", "", True)),
        ("http://p", ("http", "p", 8080, "", "", True)),
        ("socks5://u:p%40@p", ("socks5", "p", 1080, "u", "p@", False)),
        ("socks5h://[::1]:9", ("socks5", "::1", 9, "", "", True)),
    ],
)
def test_a_proxys_address_is_taken_apart(url: str, expected: tuple[object, ...]) -> None:
    proxy = parse_proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.user, proxy.password, proxy.remote_names) == expected
    assert "p@" not in repr(proxy)


@pytest.mark.parametrize("url", ["p:3128", "https://p", "ftp://u:s3cret@p", "http://u:s3cret@p:99999", "http://"])
def test_a_wrong_proxy_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfError, match="proxy") as caught:
        parse_proxy(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "no_proxy, url, through",
    [
        ("", "wss://open.example/x", True),
        ("open.example", "wss://open.example/x", False),
        ("example", "wss://open.example:444/x", False),
        ("10.0.0.0/8", "ws://10.1.2.3/", False),
        ("*", "ws://h/", False),
        ("other.example", "ws://open.example/", True),
    ],
)
def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, through: bool) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", no_proxy)
    assert proxy_for(url, "http://p:1") == ("http://p:1" if through else "")


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"Retry-After": "3"}) == 3
    assert retry_after({"Retry-After": " 0.5 "}) == 0.5
    assert retry_after({"Retry-After": "-4"}) == 0
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({"Retry-After": f"Mon, 01 Jan {10**20} 00:00:00 GMT"}) is None
    assert retry_after({"Retry-After": "inf"}) is None
    later = retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)})
    assert later is not None and 50 < later <= 60
    assert Answer(429, {"Retry-After": "3"}, b"").retry_after == 3
