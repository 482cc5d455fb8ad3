"""Rest: the HTTP half of the platform: token, gateway discovery and sends.

Sources: bot-docs dev-prepare/interface-framework/api-use.md (token), openapi/wss/shard_url_get.md
(gateway), server-inter/message/send-receive/send.md and rich-media.md (sends), botgo token/token_source.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.codes import CODES, RATE_CODES, TOKEN_CODES
from hermes_green.adapters.qq.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import (
    AuthRejected,
    ConfError,
    HermesError,
    LinkError,
    LinkLost,
    SendRefused,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.link.http import Answer, BadAnswer, Http, TokenCache, as_send_error

BUSY = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where to dial, and how many session starts are left: ``reset_after`` in seconds."""

    url: str
    remaining: int | None = None
    reset_after: float = 0.0


class Rest:
    """One account's HTTP session and token."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        api = settings.api_base or wire.API_BASE
        self._settings = settings
        self._token_url = (settings.token_base or settings.api_base or wire.TOKEN_BASE).rstrip("/") + wire.TOKEN_PATH
        self._http = Http(
            api.rstrip("/"),
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            # One report has the token address refuse callers without an Accept of their own.
            headers={"Accept": "application/json"},
        )
        self._tokens = TokenCache(self._fetch_token, clock)

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    # --- for dials --------------------------------------------------------------------------

    def token(self) -> str:
        """A valid access token.

        Raises:
            AuthRejected: app_id or client_secret is wrong.
            LinkLost, Throttled: it could not be had now.
        """
        return self._tokens.get()

    def drop(self, token: str) -> None:
        """The platform says that ``token`` is not valid: ask for another next time."""
        self._tokens.drop(token)

    def gateway(self, token: str) -> Gateway:
        """Where the gateway's socket is.

        Raises:
            AuthRejected, LinkLost, Throttled.
        """
        answer = self._http.request("GET", wire.GATEWAY_PATH, headers=_bearer(token))
        body = body_of(answer)
        url = body.get("url")
        if answer.status >= 300 or not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            if token_refused(answer.status, body):
                self.drop(token)
            raise link_error("the gateway's address", answer, body)
        limit = body.get("session_start_limit")
        if not isinstance(limit, Mapping):
            return Gateway(url)
        remaining, reset = limit.get("remaining"), limit.get("reset_after")
        return Gateway(
            url,
            remaining if isinstance(remaining, int) else None,
            reset / 1000.0 if isinstance(reset, (int, float)) else 0.0,
        )

    def _fetch_token(self) -> tuple[str, float]:
        asked = {"appId": self._settings.app_id, "clientSecret": self._settings.client_secret.reveal()}
        answer = self._http.request("POST", self._token_url, json=asked)
        body = body_of(answer)
        token = body.get("access_token")
        # A refusal comes with HTTP 200 too: only the token itself tells.
        if not isinstance(token, str) or not token:
            raise link_error("an access token", answer, body)
        return token, seconds_of(body.get("expires_in"))

    # --- for sends --------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, read: float | None = None
    ) -> Mapping[str, Any]:
        """One call, and the JSON object of its answer; a token that turns out to be refused is replaced once.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the credentials were refused.
        """
        token = self._tokens.for_send()
        answer = self._ask(method, path, body, token, read)
        if token_refused(answer.status, body_of(answer)):
            self.drop(token)
            answer = self._ask(method, path, body, self._tokens.for_send(), read)
        said = body_of(answer)
        # 201 and 202: taken, and published once it was audited; their code says so.
        if answer.status in (201, 202) or (answer.status < 300 and (said.get("id") or not said.get("code"))):
            return said
        raise send_error(answer, said)

    def download(self, url: str) -> Iterator[bytes]:
        """The bytes at an address that the platform gave out; it asks for no token.

        Raises:
            LinkLost: they could not be had.
        """
        answer = self._http.stream("GET", url, first=20.0, pause=20.0, total=300.0)
        try:
            if answer.status != 200:
                raise LinkLost(f"QQ did not give the file (HTTP {answer.status})", status=answer.status)
            yield from answer.pieces()
        finally:
            answer.close()

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str, read: float | None
    ) -> Answer:
        try:
            return self._http.request(method, path, json=body, headers=_bearer(token), read=read)
        except LinkError as error:
            raise as_send_error(error) from error
        except ConfError as error:
            raise SendRefused(error.text, code=error.code, action=error.action) from error


def seconds_of(expires_in: Any) -> float:
    """How long a token lives, which is a string of seconds on the wire; 0 where unreadable.

    Asked for earlier than 60 s before its end, the platform returns the same token again; in that
    last minute a new one, while the old stays valid. The cache renews within that minute.
    """
    try:
        return max(0.0, float(expires_in))
    except (TypeError, ValueError):
        return 0.0


def body_of(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where there is none."""
    try:
        return answer.json()
    except BadAnswer:
        return {}


def code_of(body: Mapping[str, Any]) -> int | None:
    """The error's number; of ``code`` and the finer ``err_code`` the one we know."""
    codes = [value for value in (body.get("code"), body.get("err_code")) if isinstance(value, int) and value]
    known = [value for value in codes if value in CODES]
    return next(iter(known or codes), None)


def token_refused(status: int, body: Mapping[str, Any]) -> bool:
    """True when another token may help: 401 is used for the IP whitelist too."""
    code = code_of(body)
    return code in TOKEN_CODES or (status == 401 and code not in CODES)


def link_error(what: str, answer: Answer, body: Mapping[str, Any]) -> LinkError:
    """The error for a refused request on the way to a link."""
    code, detail = code_of(body), str(body.get("message") or "")
    known = CODES.get(code) if code is not None else None
    if known is not None and issubclass(known.error, AuthRejected):
        error = known.build(str(code), detail)
        assert isinstance(error, AuthRejected)
        return error
    if answer.status == 429 or code in RATE_CODES:
        return Throttled(f"{what}: QQ asks to wait", after=_wait(answer) or BUSY, code=str(code or 429))
    said = f"{what} was refused: HTTP {answer.status}" + (f", {code} {detail}".rstrip() if code else "")
    return LinkLost(said, status=answer.status, code=str(code or answer.status))


def send_error(answer: Answer, body: Mapping[str, Any]) -> HermesError:
    """The error for a refused send: a SendError, or AuthRejected."""
    code, detail = code_of(body), str(body.get("message") or "")
    wait = _wait(answer)
    if code is not None and code in CODES and answer.status != 429:
        return CODES[code].build(code, detail, wait)
    said = f"HTTP {answer.status}" + (f", {code} {detail}".rstrip() if code else "")
    if answer.status == 429:
        return SendRetry(f"sending too fast ({said})", after=1.0 if wait is None else wait, scope="account", code="429")
    if answer.status == 401:
        return SendRetry(f"the token was refused ({said})", after=BUSY, scope="account", code="401")
    if answer.status >= 500 or answer.status == 408:
        return SendUnknown(f"QQ failed ({said})", code=str(code or answer.status))
    if answer.status < 300 and not code:
        return SendUnknown("QQ's answer could not be read", code="bad_answer")
    return SendRefused(f"QQ refused the message ({said})", code=str(code or answer.status))


def _wait(answer: Answer) -> float | None:
    """What the platform asks for, within reason."""
    asked = answer.retry_after
    return None if asked is None else min(asked, _HOUR)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"QQBot {token}"}
