"""The network: every address that the platforms need, step by step, and what their clocks say of ours."""

from __future__ import annotations

import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Iterator
from urllib.parse import urlsplit

import gevent

from hermes_green.adapters import registry
from hermes_green.core.errors import HermesError
from hermes_green.core.options import PlatformOptions
from hermes_green.doctor.finding import Check, Finding
from hermes_green.doctor.subject import Subject
from hermes_green.link.dial import DialOptions, open_socket, resolve
from hermes_green.link.http import Http
from hermes_green.link.proxy import parse_proxy, proxy_for

STEP = 4.0  # seconds for a single step
SOON = 14 * 86_400.0  # a certificate that ends within these seconds is worth a word
SLOW, WRONG = 5.0, 60.0  # seconds of skew that are worth a word, and that are too many
_PLAIN = {"https": "wss", "http": "ws"}


@dataclass(frozen=True, slots=True)
class Target:
    """One host and the way to it."""

    url: str
    proxy: str = ""
    ca_file: str = ""

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def targets(subject: Subject) -> list[Target]:
    """Each once, however many bots need it."""
    if subject.config is None:
        return []
    found: dict[Target, None] = {}
    for child in subject.config.children:
        for url in addresses(child.platform, child.options):
            parts = urlsplit(url)
            found[Target(f"{parts.scheme}://{parts.netloc}", child.options.proxy, child.options.ca_file)] = None
    return list(found)


def addresses(platform: str, options: PlatformOptions) -> list[str]:
    """What a platform's package says that it must reach; other people's packages may say nothing."""
    ask = getattr(registry.package(platform), "endpoints", None)
    return list(ask(options)) if ask is not None else []


def checks(subject: Subject) -> list[Check]:
    """One for each host, and one for the clock."""
    there = targets(subject)
    found = [Check(f"network {each.name}", lambda each=each: _reach(each)) for each in there]  # type: ignore[misc]
    spoken = [each for each in there if each.url.startswith("http")]
    return [*found, Check("clock", partial(_clock, spoken))]


def _reach(target: Target) -> Iterator[Finding]:
    """Name, connection (through the proxy where there is one), TLS."""
    try:
        yield from _steps(target)
    except HermesError as error:
        yield Finding(f"network {target.name}", "wrong", error.text, error.action or "look at DNS, firewall and proxy")


def _steps(target: Target) -> Iterator[Finding]:
    """Raises LinkError, ConfError."""
    parts = urlsplit(target.url)
    url = parts._replace(scheme=_PLAIN.get(parts.scheme, parts.scheme), path="/").geturl()
    through = proxy_for(url, target.proxy)
    name, steps, begun = f"network {target.name}", [], time.monotonic()
    if not through:
        found = resolve(str(parts.hostname), parts.port or 443, STEP)
        steps.append(f"DNS {_since(begun)} ({found[0][1][0]})")
        begun = time.monotonic()
    options = DialOptions(ca_file=target.ca_file, proxy=target.proxy, dns=STEP, connect=STEP, tls=STEP)
    with closing(open_socket(url, options)) as sock:
        way = f"through the proxy {parse_proxy(through).where} " if through else ""
        steps.append(f"connected {way}in {_since(begun)}")
        certificate = {}
        if isinstance(sock, ssl.SSLSocket):
            steps.append(str(sock.version()))
            certificate = sock.getpeercert() or {}
    yield Finding(name, "ok", ", ".join(steps))
    ends = certificate.get("notAfter")
    if isinstance(ends, str) and (left := ssl.cert_time_to_seconds(ends) - time.time()) < SOON:
        yield Finding(name, "note", f"its certificate ends in {left / 86400:.0f} days, on {ends}")


def _clock(there: list[Target]) -> Iterator[Finding]:
    """Our clock against all that answer; the middle one of several is believed."""
    asked = [gevent.spawn(_skew, each) for each in there]
    gevent.joinall(asked, timeout=STEP)
    for each in asked:
        each.kill(block=False)
    found = sorted(each.value for each in asked if each.ready() and isinstance(each.value, float))
    if not found:
        if there:
            yield Finding("clock", "note", "no platform says what time it is")
        return
    skew = found[len(found) // 2]
    fix = "turn on time synchronisation (timedatectl set-ntp true, or systemsetup -setusingnetworktime on)"
    if abs(skew) < SLOW:
        yield Finding("clock", "ok", f"as the platforms' ({len(found)} asked)")
    else:
        text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the platforms' ({len(found)} asked)"
        yield Finding("clock", "wrong" if abs(skew) > WRONG else "note", text, fix)


def _skew(target: Target) -> float | None:
    """Seconds by which we are ahead; None where nobody tells, which the check of the network explains."""
    try:
        with closing(Http(target.url, ca_file=target.ca_file, proxy=target.proxy, connect=STEP, read=STEP)) as http:
            begun = time.time()
            said = http.request("HEAD", "/").headers.get("Date", "")
            return (begun + time.time()) / 2 - parsedate_to_datetime(said).timestamp()
    except (HermesError, TypeError, ValueError):
        return None


def _since(begun: float) -> str:
    return f"{(time.monotonic() - begun) * 1000:.0f} ms"
