"""Proxy: whether a call goes through one, and how a TCP connection is led through it."""

from __future__ import annotations

import base64
import http.client
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

import socks
from requests.utils import get_environ_proxies, should_bypass_proxies

from hermes_green.core.errors import ConfError


class ProxyRefused(OSError):
    """The proxy answered, and said no."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP CONNECT or SOCKS5 proxy. With ``remote_names`` the proxy resolves host names."""

    scheme: Literal["http", "socks5"]
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    remote_names: bool = True

    @property
    def where(self) -> str:
        """host:port, without the credential."""
        return f"{self.host}:{self.port}"


def proxy_for(url: str, proxy: str) -> str:
    """``proxy`` where it applies to ``url``, else "".

    NO_PROXY (or no_proxy) of the environment takes hosts out. HTTP_PROXY and its kin are not
    looked at: a stray variable of a shell shall not reroute a bot. Who wants them writes
    ``proxy: ${HTTPS_PROXY:-}``.
    """
    if not proxy or should_bypass_proxies(url, no_proxy=None):
        return ""
    return proxy


def environment_proxies(url: str) -> dict[str, str]:
    """The proxies by scheme that the environment names for ``url``. None leads to this machine: a proxy would look
    for the endpoint on a machine of its own, and would read along what is none of its business."""
    proxies: dict[str, str] = {} if near(url) else get_environ_proxies(url)
    return proxies


def near(url: str) -> bool:
    """Whether who answers there lives on this machine: also under 0.0.0.0, which is what many servers say of
    themselves, and under the names that RFC 6761 gives to it."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def parse_proxy(url: str) -> Proxy:
    """The proxy that ``url`` names: http://, socks5:// (we resolve) or socks5h:// (it resolves).

    Raises:
        ConfError: not such an address. The text does not repeat it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "socks5", "socks5h") or not parts.hostname:
        raise ConfError(
            "the proxy address is not http://host:port, socks5://host:port or socks5h://host:port",
            code="proxy",
            action="Correct the key proxy.",
        )
    return Proxy(
        scheme="http" if parts.scheme == "http" else "socks5",
        host=parts.hostname,
        port=port or (8080 if parts.scheme == "http" else 1080),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        remote_names=parts.scheme != "socks5",
    )


def connect_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """HTTP CONNECT (RFC 9110, 9.3.6) over a socket connected to the proxy.

    Nothing behind the answer can be lost in a read-ahead: the far end speaks after us.

    Raises:
        ProxyRefused: the answer was not 2xx, or not HTTP.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user or proxy.password:
        pair = f"{proxy.user}:{proxy.password}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        answer.begin()
    except http.client.HTTPException:
        raise ProxyRefused("the proxy's answer is not HTTP") from None
    finally:
        answer.close()
    if not 200 <= answer.status < 300:
        raise ProxyRefused(f"the proxy answered HTTP {answer.status}")


def socks_connect(address: tuple[str, int], family: int, proxy: Proxy, host: str, port: int) -> socket.socket:
    """A plain socket led through the SOCKS5 proxy at ``address`` (an IP) to host:port.

    Raises:
        ProxyRefused, OSError
    """
    sock = socks.socksocket(family, socket.SOCK_STREAM)
    try:
        sock.set_proxy(
            socks.SOCKS5, address[0], address[1], True, proxy.user or None, proxy.password or None
        )
        sock.connect((host, port))
        return socket.socket(family, socket.SOCK_STREAM, 0, fileno=sock.detach())
    except socks.ProxyConnectionError as error:
        raise error.socket_err from None
    except socks.ProxyError as error:
        raise ProxyRefused(f"the SOCKS5 proxy refused: {error.msg}") from None
    finally:
        sock.close()
