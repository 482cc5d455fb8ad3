"""Rest: the HTTP half of the platform: opening connections, tokens, sends, cards and files.

Sources: dingtalk-stream 0.24.3 ``stream.py`` (open, token, upload), ``chatbot.py`` (webhook, download),
``card_replier.py`` (cards); open.dingtalk.com on robots' messages and on limits of calls.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping
from urllib.parse import quote_plus

from hermes_green.adapters.dingtalk import wire
from hermes_green.adapters.dingtalk.codes import KEYS, PUNISHED, STALE_TOKEN, meaning
from hermes_green.adapters.dingtalk.settings import Settings, api_of, oapi_of, oapi_override
from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, HermesError, LinkError, LinkLost
from hermes_green.core.loose import number_of
from hermes_green.link.api import Api
from hermes_green.link.dial import rebased
from hermes_green.link.files import MIB, outgoing
from hermes_green.link.http import Answer, TokenCache
from hermes_green.link.said import Said, address_in, body_of, given, token_in, undialled, unsent, wait_of

OPEN = "/v1.0/gateway/connections/open"
TOKEN = "/v1.0/oauth2/accessToken"
DOWNLOAD = "/v1.0/robot/messageFiles/download"
UPLOAD = "/media/upload"

DIAL_READ = 15.0  # the official Python client has no deadline here, and hangs with its whole loop
UPLOAD_READ = 60.0
# open.dingtalk.com "Upload media files": 20 MB, images and files alike.
FILE_LIMIT = 20 * MIB


class Rest(Api):
    """One account's HTTP session and token."""

    def __init__(self, settings: Settings, clock: Clock, hide: Callable[[str], object]) -> None:
        # Without an Accept of its own the gateway answers in XML.
        super().__init__(api_of(settings), settings, take, send_error, headers={"Accept": "application/json"})
        self._settings = settings
        self._tokens = TokenCache(self._fetch_token, clock, hide)

    # --- on the way to a link ----------------------------------------------------------------------

    def open(self) -> str:
        """Ask for a connection: the address to dial, once and within 90 s. It holds a ticket and is a
        secret.

        Raises:
            AuthRejected: client_id or client_secret is wrong.
            Throttled, LinkLost: not now.
        """
        settings = self._settings
        body = {
            "clientId": settings.client_id,
            "clientSecret": settings.client_secret.reveal(),
            "subscriptions": wire.subscriptions(bool(settings.card_template_id)),
            "ua": "hermes-green",
        }
        said = self._ask("POST", OPEN, json=body, read=DIAL_READ)
        if not said.good:
            raise dial_error("a connection", said)
        endpoint, ticket = address_in(said, "endpoint"), said.data.get("ticket")
        if not isinstance(ticket, str):
            raise LinkLost("the platform gave no ticket to dial with", code="no_url")
        mark = "&" if "?" in endpoint else "?"
        return rebased(f"{endpoint}{mark}ticket={quote_plus(ticket)}", settings.ws_base)

    def _fetch_token(self) -> tuple[str, float]:
        body = {"appKey": self._settings.client_id, "appSecret": self._settings.client_secret.reveal()}
        return token_in(self._ask("POST", TOKEN, json=body, read=DIAL_READ), "accessToken", "expireIn", dial_error)

    def _signed(self, token: str) -> dict[str, str]:
        return {"x-acs-dingtalk-access-token": token}

    # --- sends ---------------------------------------------------------------------------------------

    def webhook(self, url: str, body: Mapping[str, Any]) -> None:
        """POST a message to a conversation's own webhook, which needs no token.

        Raises:
            SendError: what the answer's errcode says; its HTTP status is 200 whatever happened.
        """
        self._told(self._tell("POST", rebased(url, oapi_override(self._settings)), json=body))

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the new API with a token; one that turns out to be refused is replaced once.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the credentials were refused when a token was asked for.
        """
        return self._sent(method, path, json=body)

    def upload(self, kind: str, media: Mapping[str, Any]) -> tuple[str, str]:
        """Upload a payload's file (``kind``: image or file); its media_id and name.

        Raises:
            SendRefused: it cannot be read or is too large.
            SendError, AuthRejected: as ``call``.
        """
        with outgoing(media, FILE_LIMIT) as file:
            body = file.form({}, "media")

            def ask(token: str) -> Said:
                query = {"access_token": token, "type": kind}
                headers = {"Content-Type": body.content_type}
                url = oapi_of(self._settings) + UPLOAD
                return self._tell("POST", url, params=query, data=body, headers=headers, read=UPLOAD_READ)

            return given(self._with_token(ask), "media_id"), file.name

    def download(self, code: str, robot: str) -> Iterator[bytes]:
        """The bytes of a file that a user sent. Raises SendError, AuthRejected, LinkLost."""
        body = {"downloadCode": code, "robotCode": robot or self._settings.client_id}
        url = self.call("POST", DOWNLOAD, body).get("downloadUrl")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise LinkLost("the platform gave no address for a file", code="no_url")
        yield from self._pieces(url, total=600.0)


def take(answer: Answer) -> Said:
    """Take an answer apart, whatever it is: the new API's, the old one's, or the page in front of both."""
    body = body_of(answer)
    number, word = number_of(body.get("errcode")), body.get("code")
    failed = body.get("success") is False  # cards tell so, with whatever status
    code: int | str | None = None
    if number:
        code = number
    elif isinstance(word, str) and word and (failed or answer.status >= 300):
        code = word
    elif failed:
        code = "unsuccessful"
    elif body.get("status") == PUNISHED:
        code = PUNISHED
    return Said(
        status=answer.status,
        # Only a number or a status tells a failure; a call that has nothing to tell may be answered with nothing.
        good=code is None and answer.status < 300 and (bool(body) or answer.body.strip() in (b"", b"{}")),
        code=code,
        text=str(body.get("errmsg") or body.get("message") or ""),
        data=body,
        wait=wait_of(answer),
        stale=code in STALE_TOKEN or (answer.status == 401 and meaning(code) is None),
    )


def dial_error(what: str, said: Said) -> LinkError:
    """The error for a refused request on the way to a link."""
    known = meaning(said.code)
    if said.status == 401 and known is None:
        return AuthRejected(f"{what} was refused ({said})", code=str(said.code or 401), action=KEYS)
    return undialled(what, said, known)


def send_error(said: Said) -> HermesError:
    """The error for a refused send: a SendError, or AuthRejected."""
    return unsent(said, meaning(said.code))
