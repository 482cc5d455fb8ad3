"""Rest: the HTTP half of the platform: endpoint discovery, tokens, who we are, and sends.

Sources: lark-oapi 1.7.5 ``ws/client.py`` (discovery), ``core/token/manager.py`` (tokens), open.feishu.cn
"Send message", "Reply message", "Upload file", "Get resources of a message", "Get bot info", "Rate limits".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

from hermes_green.adapters.feishu import wire
from hermes_green.adapters.feishu.codes import ALLOW, CODES, STALE_TOKEN
from hermes_green.adapters.feishu.parse import Bot
from hermes_green.adapters.feishu.settings import Settings, base_of
from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, HermesError, LinkLost
from hermes_green.core.loose import json_of, number_of
from hermes_green.link.api import Api
from hermes_green.link.dial import rebased
from hermes_green.link.http import Answer, TokenCache
from hermes_green.link.multipart import Multipart
from hermes_green.link.said import Said, address_in, body_of, token_in, undialled, unsent, wait_of

ENDPOINT = "/callback/ws/endpoint"
TOKEN = "/open-apis/auth/v3/tenant_access_token/internal"
BOT = "/open-apis/bot/v3/info"
MESSAGES = "/open-apis/im/v1/messages"

DIAL_READ = 15.0  # the official Node SDK's timeout of the endpoint call
AHEAD = 600.0  # seconds before its end at which a token is replaced; the official Python SDK's choice
# A file may take its time: each piece, and the whole; below the minute and a half that a send may last.
FILE_READ, FILE_TOTAL = 30.0, 80.0
_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to dial, once: the address holds a ticket and is a secret. ``service`` goes into pings; ``pace``:
    seconds between them that the server asks for."""

    url: str = field(repr=False)
    service: int
    pace: float | None


class Rest(Api):
    """One account's HTTP session and token."""

    def __init__(self, settings: Settings, clock: Clock, hide: Callable[[str], object]) -> None:
        super().__init__(base_of(settings), settings, take, send_error)
        self._settings = settings
        self._tokens = TokenCache(self._fetch_token, clock, hide)

    # --- on the way to a link --------------------------------------------------------------------

    def endpoint(self) -> Endpoint:
        """Ask where to dial. Every dial needs a new address.

        Raises:
            AuthRejected: app_id or app_secret is wrong.
            Throttled: too many connections, or too many questions.
            LinkLost: not now.
        """
        settings = self._settings
        body = {"AppID": settings.app_id, "AppSecret": settings.app_secret.reveal()}
        said = self._ask("POST", ENDPOINT, json=body, headers={"locale": "zh"}, read=DIAL_READ)
        if not said.good:
            raise dial_error("the long connection's address", said)
        return endpoint_of(address_in(said, "URL"), settings.ws_base, said.data.get("ClientConfig"))

    def who(self) -> Said:
        """What the platform says of the bot. Raises LinkError."""
        return self._asked("GET", BOT, read=DIAL_READ)

    def bot(self) -> Bot:
        """Who we are on the platform. Raises LinkError."""
        said = self.who()
        open_id = said.data.get("open_id")
        if not said.good or not isinstance(open_id, str):
            raise LinkLost(f"the platform did not say who the bot is ({said})", status=said.status)
        return Bot(open_id, str(said.data.get("app_name") or ""))

    def _fetch_token(self) -> tuple[str, float]:
        settings = self._settings
        body = {"app_id": settings.app_id, "app_secret": settings.app_secret.reveal()}
        said = self._ask("POST", TOKEN, json=body, read=DIAL_READ)
        token, seconds = token_in(said, "tenant_access_token", "expire", dial_error)
        return token, seconds - min(AHEAD, seconds / 2)

    # --- sends -----------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """One call of the open API, and the platform's ``data``; a stale token is replaced once.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the credentials were refused when a token was asked for.
        """
        # Sizes are counted in bytes of UTF-8, so it is sent as such and not as \\u escapes.
        data = None if body is None else json_of(body).encode()
        return self._sent(method, path, _JSON, params=params, data=data)

    def upload(self, path: str, form: Multipart) -> Mapping[str, Any]:
        """POST a form with a file. Raises as ``call``."""
        headers = {"Content-Type": form.content_type}
        return self._sent("POST", path, headers, data=form, read=FILE_READ, total=FILE_TOTAL)

    def download(self, path: str, params: Mapping[str, str]) -> Iterator[bytes]:
        """The bytes behind an address of the open API. Raises LinkError: they could not be had, or no token."""
        yield from self._file(f"{path}?{urlencode(params)}", pause=FILE_READ, total=FILE_TOTAL)


def endpoint_of(url: str, ws_base: str, config: Any) -> Endpoint:
    """The address to dial; ``ws_base`` replaces its host, and its path where it has one of its own."""
    service = number_of(parse_qs(urlsplit(url).query).get("service_id", ["0"])[0]) or 0
    return Endpoint(rebased(url, ws_base), service if abs(service) <= wire.INT32 else 0, wire.pace_in(config))


def take(answer: Answer) -> Said:
    """Take an answer apart, whatever it is. Token and bot info have their fields beside ``code``."""
    body = body_of(answer)
    code = number_of(body.get("code"))
    data = body.get("data") or body.get("bot")
    return Said(
        status=answer.status,
        good=code == 0 and answer.status < 300,
        code=code,
        text=str(body.get("msg") or ""),
        data=data if isinstance(data, Mapping) else body,
        wait=wait_of(answer, "x-ogw-ratelimit-reset"),
        stale=code in STALE_TOKEN,
    )


def dial_error(what: str, said: Said) -> HermesError:
    """The error for a refused request on the way to a link: what is neither busy nor known is final,
    as for the official Python SDK."""
    error = undialled(what, said, CODES.get(said.code or 0))
    if type(error) is LinkLost and said.status == 200 and said.code and said.code not in CODES:
        return AuthRejected(f"{what} was refused ({said})", code=str(said.code), action=ALLOW)
    return error


def send_error(said: Said) -> HermesError:
    """The error for a refused send: a SendError, or AuthRejected."""
    return unsent(said, CODES.get(said.code or 0))
