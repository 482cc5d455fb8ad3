"""Pool: requests' connections, made to say when the first byte of a request leaves."""

from __future__ import annotations

import queue
import ssl
import time
from collections import deque
from functools import cache
from typing import Any, Callable
from weakref import WeakSet

import gevent
from gevent.local import local
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import ConnectTimeoutError

# Seconds for which an idle connection is kept. Servers commonly close theirs after 60; a request that
# leaves in the instant of that end is ambiguous, so ours is earlier.
IDLE = 50.0
_PIECE = 16 * 1024
CONNECTIONS = 256  # idle ones kept per host; more are opened when needed


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
    own covers one address of one TCP connect. ``CONNECT`` to a proxy is not yet the request. Head and
    body leave in one piece where they are small: two would wake the server twice.
    """

    sock: Any
    timeout: Any
    connecting = False
    _held: bytearray | None = None

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

    def request(self, *args: Any, **more: Any) -> None:
        self._held = bytearray()
        try:
            super().request(*args, **more)  # type: ignore[misc]
            self._flush()
        finally:
            self._held = None

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self.connecting:
            if self._held is not None and isinstance(data, bytes) and len(self._held) + len(data) <= _PIECE:
                self._held += data
                return
            self._flush()
            Mark.leaving()
        super().send(data)  # type: ignore[misc]

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held:
            self.send(held)


@cache
def _watched(cls: type) -> type:
    return type(f"Watched{cls.__name__}", (_Watched, cls), {})


class Idle:
    """Where a urllib3 pool keeps the idle connections to one host: the newest is used first, and none
    stays longer than ``age`` seconds, whether its peer has closed it or not.

    Has of ``queue.LifoQueue`` what urllib3 calls. The greenlet lives while there is anything to close.
    """

    def __init__(self, host: str, age: float) -> None:
        self._host = host
        self._age = age
        self._kept: deque[tuple[float, Any]] = deque()  # oldest first: what is used goes to the end
        self._reaper: gevent.Greenlet | None = None
        self._closed = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The newest. Raises queue.Empty at once, where there is none: then a new one is opened."""
        if not self._kept:
            raise queue.Empty
        return self._kept.pop()[1]

    def put(self, connection: Any, block: bool = True) -> None:
        """Keep one that can be used again, for the oldest if there are too many."""
        if connection is None or connection.is_closed:
            return
        if self._closed:
            connection.close()
            return
        self._kept.append((time.monotonic(), connection))
        if len(self._kept) > CONNECTIONS:
            self._kept.popleft()[1].close()
        if self._reaper is None:
            self._reaper = gevent.spawn(self._reap)
            self._reaper.name = f"http-idle-{self._host}"

    def qsize(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def close(self) -> None:
        """Close them all, and whatever comes back later."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.kill(block=False)
        while self._kept:
            self._kept.popleft()[1].close()

    def _reap(self) -> None:
        while self._kept:
            left = self._kept[0][0] + self._age - time.monotonic()
            if left > 0:
                gevent.sleep(left)
            else:
                self._kept.popleft()[1].close()
        self._reaper = None


class PooledAdapter(HTTPAdapter):
    """Pools of watched connections with one TLS context and no retries of their own; ``idle``: seconds
    after which a connection that is not used is closed."""

    def __init__(self, context: ssl.SSLContext, idle: float = IDLE) -> None:
        self._context = context
        self._idle = idle
        self._idles: WeakSet[Idle] = WeakSet()
        self._direct: dict[str, Any] = {}
        super().__init__(pool_connections=8, max_retries=0)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            options["ssl_context"] = self._context
        return host, options

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = _watched(pool.ConnectionCls)
            # The context has its authorities; loading a bundle per connection would cost 10 ms each.
            pool.cert_reqs, pool.ca_certs, pool.ca_cert_dir = "CERT_REQUIRED", None, None
            pool.pool = Idle(f"{pool.host}:{pool.port}", self._idle)
            self._idles.add(pool.pool)
        return pool

    def call(self, request: Any, timeout: Timeout, proxies: Any) -> BaseHTTPResponse:
        """Send, and have urllib3's own answer as soon as its headers are here, or its own errors."""
        direct = request.root if not proxies else ""
        pool = self._direct.get(direct) or self.get_connection_with_tls_context(request, True, proxies)
        if direct:
            self._direct[direct] = pool
        answer: BaseHTTPResponse = pool.urlopen(
            request.method,
            request.target if direct else self.request_url(request, proxies),
            body=request.body,
            headers=request.headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            retries=self.max_retries,
            timeout=timeout,
            chunked=not (request.body is None or "Content-Length" in request.headers),
        )
        return answer

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        super().close()
        self._direct.clear()
        for idle in list(self._idles):
            idle.close()
