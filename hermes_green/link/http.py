"""Http: one pooled session per account, whose errors say whether a request may have been acted upon."""

from __future__ import annotations

import json as jsonlib
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Iterator, Mapping
from urllib.parse import urlsplit

import gevent
import requests
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from hermes_green.core.errors import (
    AuthRejected,
    ConfError,
    Displaced,
    LinkError,
    LinkLost,
    SendError,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.link.dial import MIB
from hermes_green.link.fair import Fair
from hermes_green.link.pool import IDLE, Mark, PooledAdapter
from hermes_green.link.prepare import Prepared, Preparer
from hermes_green.link.proxy import environment_proxies, parse_proxy, proxy_for
from hermes_green.link.tokens import TokenCache
from hermes_green.link.trust import trust

__all__ = ["Answer", "AnswerLost", "BadAnswer", "Http", "RequestNotSent", "Streamed", "TokenCache", "as_send_error"]

_CHUNK = 64 * 1024
_BAD_REQUEST = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    LocationValueError,
    UnicodeError,
)


class RequestNotSent(LinkLost):
    """Certainly not acted upon: name look-up, connect, TLS or proxy failed before a byte of the request left."""


class AnswerLost(LinkLost):
    """The request left, or may have, and no complete answer came."""


class BadAnswer(LinkLost):
    """The answer is not the JSON object that was due."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer, whatever its status. ``headers`` compare without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            BadAnswer: it is none. The text does not quote it: it may hold a token.
        """
        try:
            value = jsonlib.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            kind = self.headers.get("Content-Type", "no content type")
            raise BadAnswer(
                f"HTTP {self.status} without a JSON object ({kind}, {len(self.body)} bytes)",
                status=self.status,
                code="bad_answer",
            )
        return value

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks us to wait (RFC 9110, 10.2.3), or None."""
        return retry_after(self.headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header in seconds from now, None where absent or unreadable."""
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


class Http:
    """Calls below ``base``; addresses that begin with http are taken as they are.

    ``connect`` seconds bound name look-up, TCP, proxy and TLS together; ``read`` seconds the wait for
    each further piece of the answer; ``total`` seconds the whole call (None: connect + 2 * read), so
    that an answer that drips cannot last for ever. ``limit`` bytes bound an answer's body. A connection
    that is not used for ``idle`` seconds is closed.
    ``proxy`` as in the settings; with ``environment`` the environment's proxies apply where it is
    empty, and the endpoint is on another machine. Redirects are answers like others, cookies and ``.netrc``
    are not looked at. Names are looked up on the hub's thread pool, where nothing else runs; ``connect``
    bounds the wait.
    """

    def __init__(
        self,
        base: str,
        *,
        ca_file: str = "",
        proxy: str = "",
        connect: float = 10.0,
        read: float = 20.0,
        total: float | None = None,
        limit: int = 16 * MIB,
        headers: Mapping[str, str] | None = None,
        environment: bool = False,
        idle: float = IDLE,
    ) -> None:
        """Raises ConfError: bad proxy address or CA file."""
        if proxy:
            parse_proxy(proxy)
        self._proxy = proxy
        self._environment = environment
        self._connect, self._read, self._total = connect, read, total
        self._limit = limit
        self._preparer = Preparer(base, headers or {})
        self._adapter = PooledAdapter(trust(ca_file), idle)

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        json: Any = None,
        data: Any = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        read: float | None = None,
        total: float | None = None,
    ) -> Answer:
        """One call, to the end of its answer, of whatever status.

        Raises:
            RequestNotSent, AnswerLost: see there; the text names the host, never path or query.
            ConfError: the address or a header cannot be used.
        """
        prepared = self._prepare(method, path_or_url, json=json, data=data, files=files, headers=headers, params=params)
        read = self._read if read is None else read
        total = total or self._total or self._connect + 2 * read
        mark = Mark()
        with self._judged(prepared, mark, total):
            response = self._send(prepared, read)
            try:
                body = self._body(response)
            except BaseException:
                response.close()
                raise
        return Answer(response.status, response.headers, body)

    def stream(
        self,
        method: str,
        path_or_url: str,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        first: float,
        pause: float,
        total: float,
    ) -> Streamed:
        """One call whose answer is read piece by piece; close it in any case.

        ``first``: seconds from the request's leaving to the first byte of the answer's body; ``pause``: between
        pieces; ``total``: for all of it. A LinkLost's ``code`` names the deadline that was missed:
        connect_timeout, first_byte_timeout, chunk_timeout or timeout.

        Raises:
            as ``request``.
        """
        until = time.monotonic() + total
        prepared = self._prepare(method, path_or_url, json=json, data=data, headers=headers)
        timer = gevent.Timeout(first)
        mark = Mark(timer.start)
        try:
            with self._judged(prepared, mark, total):
                response = self._send(prepared, None)
        except gevent.Timeout as late:
            if late is not timer:
                raise
            raise _late("first_byte_timeout", first) from None
        finally:
            timer.close()
        return Streamed(response, first, pause, until, total)

    def close(self) -> None:
        """Close the pooled connections."""
        self._adapter.close()

    def _prepare(self, method: str, address: str, **parts: Any) -> Prepared:
        try:
            return self._preparer.prepare(method, address, **parts)
        except _BAD_REQUEST as error:
            raise _unusable(error) from None

    def _send(self, prepared: Prepared, read: float | None) -> BaseHTTPResponse:
        url = str(prepared.url)
        proxy = proxy_for(url, self._proxy)
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        if self._environment and not self._proxy:
            proxies = environment_proxies(url)
        return self._adapter.call(prepared, Timeout(connect=self._connect, read=read), proxies)

    def _body(self, response: BaseHTTPResponse) -> bytes:
        pieces, size, fair = [], 0, Fair()
        for piece in response.stream(_CHUNK, decode_content=True):
            fair.breathe()
            size += len(piece)
            if size > self._limit:
                raise AnswerLost(f"the answer exceeds {self._limit} bytes", status=response.status, code="too_big")
            pieces.append(piece)
        return b"".join(pieces)

    @contextmanager
    def _judged(self, prepared: Prepared, mark: Mark, total: float) -> Iterator[None]:
        """Within ``total`` seconds; what goes wrong becomes RequestNotSent or AnswerLost."""
        host = urlsplit(str(prepared.url)).hostname
        timer = gevent.Timeout(total)
        timer.start()
        code = ""
        try:
            yield
            return
        except gevent.Timeout as late:
            if late is not timer:
                raise
            why, code = f"took longer than {total:g} s (timeout)", "timeout"
        except _BAD_REQUEST as error:
            raise _unusable(error) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            why = root_cause(error)
            reason = error.reason if isinstance(error, MaxRetryError) else error
            if isinstance(reason, ConnectTimeoutError) and not isinstance(reason, NewConnectionError):
                why, code = f"no connection within {self._connect:g} s (connect_timeout)", "connect_timeout"
        finally:
            timer.close()
        if mark.sent:
            raise AnswerLost(f"no complete answer from {host}: {why}", code=code or "answer_lost")
        raise RequestNotSent(f"{host} could not be reached: {why}", code=code or "not_sent")


class Streamed:
    """An answer being read: iterate ``pieces``, or take it whole with ``read``; once."""

    def __init__(
        self, response: BaseHTTPResponse, first: float, pause: float, until: float, total: float
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._first, self._pause, self._until, self._total = first, pause, until, total
        self._fair = Fair()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, decoded from chunks and compression, each piece at once.

        Raises:
            AnswerLost: late, broken off, or not decodable.
        """
        name, seconds = "first_byte_timeout", self._first
        while True:
            left = self._until - time.monotonic()
            if left < seconds:
                name, seconds, allowed = "timeout", max(0.0, left), self._total
            else:
                allowed = seconds
            piece = self._next(name, seconds, allowed)
            if not piece:
                return
            yield piece
            name, seconds = "chunk_timeout", self._pause

    def read(self, limit: int = 16 * MIB) -> bytes:
        """The body, of ``limit`` bytes at most. Raises AnswerLost."""
        pieces, size = [], 0
        for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise AnswerLost(f"the answer exceeds {limit} bytes", status=self.status, code="too_big")
        return b"".join(pieces)

    def finish(self, grace: float = 0.1) -> None:
        """What matters was read: wait ``grace`` seconds for the formal end, so that the connection can
        be used again, and close."""
        try:
            with gevent.Timeout(grace, False):
                self._response.read1(_CHUNK, decode_content=False)
        except (HTTPError, OSError, RuntimeError):
            pass  # then it is simply not used again
        self.close()

    def close(self) -> None:
        """Close the connection at once, whatever is still under way on it."""
        self._response.close()

    def _next(self, name: str, seconds: float, allowed: float) -> bytes:
        self._fair.breathe()
        timer = gevent.Timeout(seconds)
        timer.start()
        before = time.monotonic()
        try:
            piece: bytes = self._response.read1(_CHUNK, decode_content=True)
            self._fair.rested(before)
            return piece
        except gevent.Timeout as late:
            if late is not timer:
                raise
            raise _late(name, allowed) from None
        except (HTTPError, OSError) as error:
            raise AnswerLost(f"the answer broke off: {root_cause(error)}", code="cut") from None
        finally:
            timer.close()


def _late(name: str, seconds: float) -> AnswerLost:
    return AnswerLost(f"no data within {seconds:g} s ({name})", code=name)


def _unusable(error: Exception) -> ConfError:
    what = "a header" if isinstance(error, (requests.exceptions.InvalidHeader, UnicodeError)) else "the address"
    return ConfError(f"{what} of an HTTP call cannot be used ({type(error).__name__})", code="http")


def root_cause(error: BaseException) -> str:
    """What lies at the ground of an error of requests, in words that cannot quote an address."""
    seen: list[BaseException] = []
    said = ""
    now: BaseException | None = error
    while now is not None and now not in seen and len(seen) < 10:
        seen.append(now)
        text = getattr(now, "verify_message", None) or getattr(now, "strerror", None)
        if text and not isinstance(now, requests.RequestException):
            said = str(text)
        inner = getattr(now, "reason", None) or (now.args[0] if now.args else None)
        now = inner if isinstance(inner, BaseException) else now.__cause__ or now.__context__
    if said:
        return said
    if any(isinstance(each, ReadTimeoutError) for each in seen):
        return "no data within the read deadline"
    if any(isinstance(each, ProtocolError) for each in seen):
        return "the connection ended early"
    return type(seen[-1]).__name__


def as_send_error(error: LinkError) -> SendError:
    """What an error of a call means for the part that was being sent (see ``core.errors``)."""
    if isinstance(error, SendError):
        return error
    text, code, action = error.text, error.code, error.action
    if isinstance(error, Throttled):
        return SendRetry(text, after=error.after, scope="account", code=code, action=action)
    if isinstance(error, (AuthRejected, Displaced)):
        return SendRetry(text, after=60.0, scope="account", code=code, action=action)
    if isinstance(error, RequestNotSent):
        return SendRetry(text, code=code, action=action)
    return SendUnknown(text, code=code, action=action)
