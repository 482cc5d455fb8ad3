"""Rest: the HTTP half of the platform: token, gateway discovery and sends.

Sources: bot-docs dev-prepare/interface-framework/api-use.md (token), openapi/wss/shard_url_get.md
(gateway), server-inter/message/send-receive/send.md and rich-media.md (sends), botgo token/token_source.go.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.codes import CODES, TOKEN_CODES
from hermes_green.adapters.qq.render import FILE_LIMIT
from hermes_green.adapters.qq.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import HermesError, LinkError, SendRefused, Throttled
from hermes_green.core.loose import dict_of, number_of
from hermes_green.core.model import Peer
from hermes_green.link.api import Api
from hermes_green.link.embedded import Body, Embedded
from hermes_green.link.files import Shown, outgoing, shown_as
from hermes_green.link.http import Answer, TokenCache
from hermes_green.link.said import Said, address_in, body_of, token_in, undialled, unsent, wait_of
from hermes_green.link.tokens import life_of

BUSY = 60.0
FILE_READ = 60.0
KINDS: Mapping[str, Shown[int]] = {
    "image": Shown(1, (".png", ".jpg", ".jpeg")),
    "video": Shown(2, (".mp4",)),
    "audio": Shown(3, (".silk",)),
}
FILE = 4
# What stands under "code" where nothing went wrong.
NO_CODE = (None, "", 0, "0")


class Rest(Api):
    """One account's HTTP session and token."""

    def __init__(self, settings: Settings, clock: Clock, hide: Callable[[str], object]) -> None:
        # One report has the token address refuse callers without an Accept of their own.
        headers = {"Accept": "application/json"}
        super().__init__(settings.api_base or wire.API_BASE, settings, take, send_error, headers=headers)
        self._settings = settings
        self._token_url = (settings.token_base or settings.api_base or wire.TOKEN_BASE).rstrip("/") + wire.TOKEN_PATH
        self._tokens = TokenCache(self._fetch_token, clock, hide)

    # --- for dials --------------------------------------------------------------------------

    def gateway(self, *, starting: bool) -> str:
        """Where the gateway's socket is; ``starting``: a session is to be started, and there may be no more today.

        Raises:
            AuthRejected, LinkLost, Throttled.
        """
        said = self._asked("GET", wire.GATEWAY_PATH)
        if not said.good:
            raise dial_error("the gateway's address", said)
        limit = dict_of(said.data.get("session_start_limit"))
        if starting and number_of(limit.get("remaining")) == 0:
            after = life_of(limit.get("reset_after")) / 1000
            raise Throttled("QQ allows no more session starts today", after=max(1.0, after))
        return address_in(said, "url")

    def _fetch_token(self) -> tuple[str, float]:
        asked = {"appId": self._settings.app_id, "clientSecret": self._settings.client_secret.reveal()}
        # Asked for earlier than 60 s before its end, the platform returns the same token again; in that
        # last minute a new one, while the old stays valid. The cache renews within that minute.
        return token_in(self._ask("POST", self._token_url, json=asked), "access_token", "expires_in", dial_error)

    def _signed(self, token: str) -> dict[str, str]:
        return {"Authorization": f"QQBot {token}"}

    # --- for sends --------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **how: Any) -> Mapping[str, Any]:
        """One call, and the JSON object of its answer; a token that turns out to be refused is replaced once.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the credentials were refused.
        """
        return self._sent(method, path, json=body, **how)

    def upload(self, peer: Peer, media: Mapping[str, Any]) -> Mapping[str, Any]:
        """Upload a payload's file, which nobody sees until a message names the answer's ``file_info``; that may
        be used again for as long as its ``ttl`` says, in chats of the same kind.

        Raises:
            SendRefused: it cannot be read or is too large; the sentence says the limit.
            SendError, AuthRejected: as ``call``.
        """
        with outgoing(media, FILE_LIMIT) as file:
            kind, data = shown_as(media, KINDS, file.size), Embedded(file.size, lambda: file)
            body: dict[str, Any] = {"file_type": kind or FILE, "srv_send_msg": False, "file_data": data.mark}
            if kind is None:
                body["file_name"] = file.name
            path, whole = wire.path_of(peer, "files"), Body(body, [data])
            said = self._sent("POST", path, {"Content-Type": "application/json"}, data=whole, read=FILE_READ)
        if not said.get("file_info"):
            raise SendRefused("QQ took the file and gave nothing to send it by", code="file_info")
        return said

    def download(self, url: str) -> Iterator[bytes]:
        """The bytes at an address that the platform gave out; it asks for no token. Raises LinkLost."""
        return self._pieces(url)


def take(answer: Answer) -> Said:
    """Take an answer apart. 201 and 202: taken, and published once it was audited; their code says so."""
    body = body_of(answer)
    code, status = code_of(body), answer.status
    return Said(
        status=status,
        good=status in (201, 202) or (status < 300 and bool(body.get("id") or body.get("code") in NO_CODE)),
        code=code,
        text=str(body.get("message") or ""),
        data=body,
        wait=wait_of(answer),
        stale=code in TOKEN_CODES or (status == 401 and code not in CODES),  # 401 is for the IP whitelist too
    )


def code_of(body: Mapping[str, Any]) -> int | None:
    """The error's number; of ``code`` and the finer ``err_code`` the one we know."""
    codes = [code for value in (body.get("code"), body.get("err_code")) if (code := number_of(value))]
    known = [value for value in codes if value in CODES]
    return next(iter(known or codes), None)


def dial_error(what: str, said: Said) -> LinkError:
    """The error for a refused request on the way to a link."""
    known = CODES.get(said.code) if said.code and said.code not in TOKEN_CODES else None
    return undialled(what, said, known, again=BUSY)


def send_error(said: Said) -> HermesError:
    """The error for a refused send: a SendError, or AuthRejected."""
    return unsent(said, CODES.get(said.code) if said.code else None)


def file_lives(said: Mapping[str, Any]) -> float:
    """For how many seconds an uploaded file is named by what the platform called it: half of what it says."""
    return (life_of(said.get("ttl")) or 3600.0) / 2
