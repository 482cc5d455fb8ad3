"""Dial: from a host name to a connected, encrypted socket, with a deadline for each step."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Callable, Iterator
from urllib.parse import SplitResult, urlsplit

import gevent
from gevent import monkey
from gevent.threadpool import ThreadPool

from hermes_green.core.errors import ConfError, LinkLost
from hermes_green.link.proxy import connect_tunnel, parse_proxy, proxy_for, socks_connect
from hermes_green.link.trust import trust

MIB = 1024 * 1024
_RESOLVERS = 8
_resolvers: ThreadPool | None = None

Address = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How to dial. Times in seconds; ``max_frame`` in bytes, for a frame and for a whole message.

    dns, connect (TCP to all addresses together, and the proxy's consent), tls and upgrade are one
    deadline each; write bounds every later write. ``headers``: "Name: value" lines for the upgrade.
    """

    ca_file: str = ""
    proxy: str = ""
    dns: float = 5
    connect: float = 10
    tls: float = 10
    upgrade: float = 10
    write: float = 10
    max_frame: int = 16 * MIB
    headers: tuple[str, ...] = ()


def split_url(url: str) -> SplitResult:
    """The parts of a ws:// or wss:// address.

    Raises:
        ConfError: not such an address; the text does not repeat it, its query may be a secret.
    """
    try:
        parts = urlsplit(url)
        parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("ws", "wss") or not parts.hostname or any(c <= " " for c in url):
        raise ConfError("the socket's address is not ws://host/path or wss://host/path", code="url")
    return parts


def rebased(url: str, base: str) -> str:
    """``url`` as it is, or with ``base`` in place of its scheme, host and port; the query, which may hold a
    ticket, stays. Where ``base`` has a path, it is a socket's whole path, and what other paths begin with."""
    if not base:
        return url
    parts, place = urlsplit(url), urlsplit(base)
    path, begins = parts.path, place.path.rstrip("/")
    if place.scheme in ("ws", "wss"):
        path = begins or path
    elif not path.startswith(f"{begins}/"):
        path = begins + path
    return parts._replace(scheme=place.scheme, netloc=place.netloc, path=path).geturl()


def open_socket(url: str, options: DialOptions) -> socket.socket:
    """A blocking socket to the host of ``url``, through the proxy where one applies, TLS done.

    Raises:
        LinkLost: naming the step that failed.
        ConfError: bad address, proxy or CA file.
    """
    parts = split_url(url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    context = trust(options.ca_file) if parts.scheme == "wss" else None
    sock = _reach(url, host, port, options)
    try:
        _tune(sock)
        if context is None:
            return sock
        with step(f"the TLS handshake with {host}", options.tls):
            sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock.do_handshake()
        return sock
    except BaseException:
        sock.close()
        raise


@contextmanager
def step(what: str, seconds: float) -> Iterator[None]:
    """Run one step of a dial: late or failed, it becomes a LinkLost that names it."""
    timer = gevent.Timeout(seconds)
    timer.start()
    try:
        yield
    except gevent.Timeout as late:
        if late is not timer:
            raise
        raise LinkLost(f"{what} took longer than {seconds:g} s", code="timeout") from None
    except ssl.SSLCertVerificationError as error:
        raise LinkLost(
            f"{what} failed: {error.verify_message}",
            code="tls",
            action="If the server uses a private certificate authority, set ca_file.",
        ) from None
    except OSError as error:
        raise LinkLost(f"{what} failed: {said(error)}", code=type(error).__name__) from None
    finally:
        timer.close()


def said(error: BaseException) -> str:
    """What an OSError says, without its number."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error.strerror or "TLS error").replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _reach(url: str, host: str, port: int, options: DialOptions) -> socket.socket:
    through = proxy_for(url, options.proxy)
    if not through:
        found = resolve(host, port, options.dns)
        with step(f"connecting to {host}:{port}", options.connect):
            return _first(found, options.connect)
    proxy = parse_proxy(through)
    found = resolve(proxy.host, proxy.port, options.dns)
    if proxy.scheme == "http":
        with step(f"connecting to the proxy {proxy.where}", options.connect):
            sock = _first(found, options.connect)
        try:
            with step(f"reaching {host}:{port} through the proxy {proxy.where}", options.connect):
                connect_tunnel(sock, proxy, host, port)
        except BaseException:
            sock.close()
            raise
        return sock
    targets = [host] if proxy.remote_names else [where[0] for _, where in resolve(host, port, options.dns)]
    with step(f"reaching {host}:{port} through the proxy {proxy.where}", options.connect):
        refused: OSError = OSError("no address")
        for family, address in found:
            for target in targets:
                try:
                    return socks_connect((address[0], address[1]), family, proxy, target, port)
                except OSError as error:
                    refused = error
        raise refused


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """The addresses of a host, families alternating; asked anew each time.

    Names are looked up on a thread pool of our own: the hub's belongs to everybody, and a lookup
    that hangs there would delay others.

    Raises:
        LinkLost: none, or none within ``seconds``.
    """
    lookup = monkey.get_original("socket", "getaddrinfo")
    with step(f"looking up {host}", seconds):
        if _is_ip(host):
            rows = lookup(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        else:
            rows, error = _pool().spawn(_guarded, lookup, host, port, 0, socket.SOCK_STREAM).get()
            if error is not None:
                raise error if isinstance(error, OSError) else OSError("this is no name of a host")
    found: list[Address] = list(dict.fromkeys((row[0], row[4]) for row in rows))
    first = [entry for entry in found if entry[0] == found[0][0]]
    other = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, other)) if entry]


def _guarded(lookup: Callable[..., Any], *asked: Any) -> tuple[Any, Exception | None]:
    # An error is carried as a value: gevent would print one that leaves a thread.
    try:
        return lookup(*asked), None
    except (OSError, UnicodeError) as error:
        return (), error


def _pool() -> ThreadPool:
    global _resolvers
    if _resolvers is None:
        _resolvers = ThreadPool(_RESOLVERS)
    return _resolvers


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _first(found: list[Address], seconds: float) -> socket.socket:
    """Connect to the first address that answers; each gets its share of the time."""
    share = seconds / len(found)
    failure: OSError = OSError("no address")
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(share)
            sock.connect(address)
            sock.settimeout(None)
            return sock
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise failure


def _tune(sock: socket.socket) -> None:
    """No delay for small frames; the kernel's own proof of life as a second net, about 30 s."""
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    for name, value in ((idle, 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        number = getattr(socket, name, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)
