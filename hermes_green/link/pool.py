"""Pool: requests' connections, made to say when the first byte of a request leaves."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any, Callable

import gevent
from gevent.local import local
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError

_CONNECTIONS = 256  # idle ones kept per host; more are opened when needed


class Mark:
    """Whether the request of the current greenlet may have left; ``on_sent`` is called just before."""

    _current = local()

    def __init__(self, on_sent: Callable[[], Any] | None = None) -> None:
        self.sent = False
        self._on_sent = on_sent
        Mark._current.mark = self

    @classmethod
    def leaving(cls) -> None:
        """The first byte of the current greenlet's request is about to leave."""
        mark: Mark | None = getattr(cls._current, "mark", None)
        if mark is not None and not mark.sent:
            mark.sent = True
            if mark._on_sent is not None:
                mark._on_sent()


class _Watched:
    """Goes in front of a urllib3 connection class.

    Its connect deadline covers the name look-up, every address, the proxy and TLS, where urllib3's
    own covers one address of one TCP connect. ``CONNECT`` to a proxy is not yet the request.
    """

    sock: Any
    timeout: Any
    connecting = False

    def connect(self) -> None:
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else None
        timer = gevent.Timeout(seconds)
        timer.start()
        self.connecting = True
        try:
            super().connect()  # type: ignore[misc]
        except gevent.Timeout as late:
            if late is not timer:
                raise
            raise ConnectTimeoutError(self, f"no connection within {seconds} s") from None
        finally:
            self.connecting = False
            timer.close()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self.connecting:
            Mark.leaving()
        super().send(data)  # type: ignore[misc]


@cache
def _watched(cls: type) -> type:
    return type(f"Watched{cls.__name__}", (_Watched, cls), {})


class PooledAdapter(HTTPAdapter):
    """Pools of watched connections with one TLS context and no retries of their own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=8, pool_maxsize=_CONNECTIONS, max_retries=0)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            options["ssl_context"] = self._context
        return host, options

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = _watched(pool.ConnectionCls)
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has its authorities; loading a bundle per connection would cost 10 ms each."""
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = conn.ca_cert_dir = None
