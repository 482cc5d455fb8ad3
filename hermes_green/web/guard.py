"""Guard: who may speak to the gateway's web server, decided before any view runs.

A browser on this machine can be made to send requests here by any page it shows. The Host check
stops names that were rebound to our address, the content type stops forms and simple requests, and
the Origin check stops the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from hermes_green.web.exchange import Problem, Request

COOKIE = "hermes_green"
# What tells nothing that a stranger should not know; /readyz says less to those without the token.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/api/login"})
OPEN_FOLDER = "/page/"  # what the page is made of, as shipped

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """``host`` is the configured address to listen on, ``token`` the configured token ("": none)."""

    def __init__(self, host: str, token: str = "") -> None:
        self._host = host.lower().strip("[]")
        self._any = self._host in ("", "0.0.0.0", "::")
        self._token = token
        # What the browser keeps is derived from the token, so that it does not give it away.
        self._cookie = hmac.new(token.encode(), b"hermes-green page", hashlib.sha256).hexdigest()

    def check(self, request: Request) -> None:
        """Raises Problem: 421 wrong Host, 403 foreign Origin, 401 no token, 415 wrong content type."""
        self._check_host(request)
        self._check_origin(request)
        open_to_all = request.path in OPEN_PATHS or request.path.startswith(OPEN_FOLDER)
        if not open_to_all and not self.knows(request):
            raise Problem(
                401,
                "token_needed",
                "the token is missing or wrong: send `Authorization: Bearer <http.token of gateway.yaml>`",
                headers={"WWW-Authenticate": 'Bearer realm="hermes-green"'},
            )
        if request.method == "POST":
            kind = request.header("Content-Type").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise Problem(415, "not_json", "send JSON with the header `Content-Type: application/json`")

    def knows(self, request: Request) -> bool:
        """True when the request carries the token, or no token is configured."""
        if not self._token:
            return True
        scheme, _, given = request.header("Authorization").partition(" ")
        if scheme.lower() == "bearer" and self.accepts(given.strip()):
            return True
        return hmac.compare_digest(request.cookie(_cookie_of(request)).encode(), self._cookie.encode())

    def accepts(self, token: str) -> bool:
        """True when ``token`` is the configured one; takes the same time whatever is wrong with it."""
        mine = hashlib.sha256(self._token.encode()).digest()
        return bool(self._token) and hmac.compare_digest(hashlib.sha256(token.encode()).digest(), mine)

    def cookie(self, request: Request) -> str:
        """The Set-Cookie value for a browser that has shown the token with ``request``."""
        return f"{_cookie_of(request)}={self._cookie}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict"

    def headers(self) -> dict[str, str]:
        """Headers of every answer."""
        return dict(_HEADERS)

    def _check_host(self, request: Request) -> None:
        given = request.header("Host")
        if not self._ours(given):
            raise Problem(
                421,
                "wrong_host",
                f"this server does not answer for {given[:100]!r}: use the address printed at start, or set http.host",
            )

    def _ours(self, given: str) -> bool:
        try:
            host = urlsplit(f"//{given}").hostname or ""
        except ValueError:
            return False
        host = host.lower()
        if host in ("localhost", self._host):
            return bool(host)
        try:
            # An address cannot be rebound as a name can.
            address = ipaddress.ip_address(host)
        except ValueError:
            return self._any and host == socket.gethostname().lower()
        return address.is_loopback or self._any

    def _check_origin(self, request: Request) -> None:
        origin = request.header("Origin")
        if not origin or request.method in ("GET", "HEAD"):
            return
        try:
            ours = urlsplit(origin).netloc.lower() == request.header("Host").lower()
        except ValueError:
            ours = False
        if not ours:
            raise Problem(403, "foreign_origin", "another site's page may not send requests here")


def _cookie_of(request: Request) -> str:
    """The cookie's name: browsers send a host's cookies to all its ports, where other gateways may listen."""
    port = request.header("Host").rpartition(":")[2]
    return f"{COOKIE}_{port if port.isascii() and port.isdecimal() else 80}"
