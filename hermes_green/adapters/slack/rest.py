"""Rest: the HTTP half of the platform: where to dial, who we are, and every call of the Web API.

Sources: docs.slack.dev/apis/web-api and .../rate-limits, slack_sdk 3.47.0 ``web/base_client.py`` (shapes of
answers) and ``web/client.py`` (arguments; the three steps of an upload).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, Mapping
from urllib.parse import urlsplit

from hermes_green.adapters.slack.codes import APP_TOKEN, BOT_TOKEN, CODES, RATES
from hermes_green.adapters.slack.parse import Bot
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, HermesError, LinkLost, SendRetry
from hermes_green.core.loose import text_at
from hermes_green.core.model import Secret
from hermes_green.link.api import Api
from hermes_green.link.dial import rebased
from hermes_green.link.files import Outgoing
from hermes_green.link.http import Answer, Streamed
from hermes_green.link.said import Said, address_in, body_of, undialled, unseen, unsent, wait_of

BASE = "https://slack.com"
FILES = ".slack.com"  # the hosts that may see the bot token beside the API's own

# Seconds, where an answer that asks to wait does not say how long: slack_sdk 3.47.0 waits 30 s to dial again.
DIAL_AGAIN = 30.0
UPLOAD_TOTAL = 75.0  # a send is given up after 90 s


class Rest(Api):
    """One account's HTTP session."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.api_base or BASE, settings, take, send_error)
        self._settings = settings

    # --- on the way to a link --------------------------------------------------------------------

    def open(self) -> str:
        """The socket's address, good for one dial.

        Raises:
            AuthRejected: the app token is refused.
            Throttled, LinkLost: not now.
        """
        said = self._told_first("apps.connections.open", self._settings.app_token, "a connection", APP_TOKEN)
        return rebased(address_in(said, "url"), self._settings.ws_base)

    def bot(self) -> Bot:
        """Who we are in the workspace. Raises AuthRejected (the bot token is refused), Throttled, LinkLost."""
        data = self._told_first("auth.test", self._settings.bot_token, "the bot's own id", BOT_TOKEN).data
        return Bot(text_at(data, "user_id"), text_at(data, "bot_id"), text_at(data, "user"))

    def _told_first(self, method: str, token: Secret, what: str, action: str) -> Said:
        said = self._ask("POST", f"/api/{method}", **self._request({}, token))
        if not said.good:
            raise dial_error(what, said, action)
        return said

    # --- while sending ---------------------------------------------------------------------------

    def call(self, method: str, fields: Mapping[str, Any], *, form: bool = False) -> Mapping[str, Any]:
        """One method with the bot token, and its answer. Fields that are None are left out; ``form``: it takes
        no JSON.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the bot token is refused.
        """
        said = self._tell("POST", f"/api/{method}", **self._request(fields, self._settings.bot_token, form))
        return self._told(said if said.good else replace(said, text=f"{method} {said.text}".rstrip()))

    def upload(self, url: str, file: Outgoing) -> None:
        """POST a file's bytes to the address that was given out for it. Raises SendError; nobody has
        seen anything of the file yet, so that every failure may be tried again."""
        if not url.startswith(("http://", "https://")):
            raise SendRetry("Slack gave no address to upload to", after=5.0, code="no_url")
        url, headers = rebased(url, self._settings.api_base), {"Content-Type": "application/octet-stream"}
        with unseen("the upload"):
            said = self._tell("POST", url, data=file, headers=headers, total=UPLOAD_TOTAL)
        if said.status != 200:
            raise SendRetry(f"the file could not be uploaded ({said})", after=5.0, code=str(said.status))

    def _request(self, fields: Mapping[str, Any], token: Secret, form: bool = False) -> dict[str, Any]:
        """What goes into a call."""
        given = {name: value for name, value in fields.items() if value is not None}
        headers = self._signed(token.reveal())
        if form:
            return {"data": given, "headers": headers}
        headers["Content-Type"] = "application/json; charset=utf-8"  # without it, each answer carries a warning
        return {"json": given, "headers": headers}

    # --- files that people sent ------------------------------------------------------------------

    def download(self, url: str, mime: str) -> Iterator[bytes]:
        """The bytes behind a file's private address.

        Raises:
            LinkLost: they could not be had, or what came is not the file: without the scope files:read
                Slack answers with a page to sign in.
        """
        base = self._settings.api_base
        parts = urlsplit(url)
        if not base and (parts.scheme != "https" or not f".{parts.hostname}".endswith(FILES)):
            raise LinkLost(f"a file at {parts.hostname}, which is not Slack's", code="foreign_file")

        def why_not(answer: Streamed) -> str:
            page = answer.headers.get("Content-Type", "").startswith("text/html") and not mime.startswith("text/html")
            return "" if answer.status == 200 and not page else f"HTTP {answer.status}"

        headers = self._signed(self._settings.bot_token.reveal())
        action = "Give the app the scope files:read, and install it again."
        yield from self._pieces(rebased(url, base), headers, why_not=why_not, action=action)


def take(answer: Answer) -> Said:
    """Take an answer apart, whatever it is; errors come with HTTP 200 too."""
    body = body_of(answer)
    error, needed = body.get("error"), body.get("needed")
    return Said(
        status=answer.status,
        good=answer.status == 200 and body.get("ok") is True,
        code=error if isinstance(error, str) and error else None,
        text=f"needs {needed}" if isinstance(needed, str) else "",
        data=body,
        wait=wait_of(answer),
    )


def dial_error(what: str, said: Said, action: str) -> HermesError:
    """The error for a refused request on the way to a link; ``action`` names the token it was made with."""
    known = CODES.get(said.code or "")
    if said.code in ("missing_scope", "no_permission", "access_denied"):
        known = Code(AuthRejected, f"{what} was refused", action)
    elif known is not None and issubclass(known.error, AuthRejected):
        known = replace(known, action=action)
    elif said.code not in RATES:
        known = None
    return undialled(what, said, known, again=DIAL_AGAIN)


def send_error(said: Said) -> HermesError:
    """The error for a refused call while sending: a SendError, or AuthRejected."""
    known = CODES.get(said.code or "")
    if said.status == 429:
        return CODES["ratelimited"].build("429", said.text, said.wait)
    if known is not None and issubclass(known.error, AuthRejected):
        known = replace(known, action=BOT_TOKEN)
    return unsent(said, known)
