"""Rest: the HTTP half of the platform: where to dial, who we are, and every call of the Web API.

Sources: docs.slack.dev/apis/web-api and .../rate-limits, slack_sdk 3.47.0 ``web/base_client.py`` (shapes of
answers) and ``web/client.py`` (arguments; the three steps of an upload).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Iterator, Mapping
from urllib.parse import urlsplit

from hermes_green.adapters.slack.codes import APP_TOKEN, BOT_TOKEN, CODES, RATES
from hermes_green.adapters.slack.parse import Bot
from hermes_green.adapters.slack.settings import Settings
from hermes_green.core.errors import (
    AuthRejected,
    ConfError,
    HermesError,
    LinkError,
    LinkLost,
    SendError,
    SendRefused,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.core.model import EMPTY, Secret
from hermes_green.link.dial import rebased
from hermes_green.link.http import Answer, BadAnswer, Http, as_send_error

BASE = "https://slack.com"
FILES = ".slack.com"  # the hosts that may see the bot token beside the API's own

# Seconds, where an answer that asks to wait does not say how long: slack_sdk 3.47.0 waits 30 s to dial again.
DIAL_AGAIN = 30.0
LONGEST_WAIT = 3600.0
UPLOAD_TOTAL = 75.0  # a send is given up after 90 s


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of the Web API, taken apart. ``error`` is its name, "" where the answer held none."""

    status: int
    good: bool
    error: str
    detail: str
    body: Mapping[str, Any]
    wait: float | None

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f", {self.error} {self.detail}".rstrip() if self.error else "")


class Rest:
    """One account's HTTP session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = Http(settings.api_base or BASE, ca_file=settings.ca_file, proxy=settings.proxy)

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    # --- on the way to a link --------------------------------------------------------------------

    def open(self) -> str:
        """The socket's address, good for one dial.

        Raises:
            AuthRejected: the app token is refused.
            Throttled, LinkLost: not now.
        """
        said = self._ask("apps.connections.open", {}, self._settings.app_token)
        url = said.body.get("url")
        if not said.good:
            raise dial_error("a connection", said, APP_TOKEN)
        if not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            raise LinkLost("Slack gave no address to dial", code="no_url")
        return rebased(url, self._settings.ws_base)

    def bot(self) -> Bot:
        """Who we are in the workspace. Raises AuthRejected (the bot token is refused), Throttled, LinkLost."""
        said = self._ask("auth.test", {}, self._settings.bot_token)
        if not said.good:
            raise dial_error("the bot's own id", said, BOT_TOKEN)
        user, bot, name = (str(said.body.get(field) or "") for field in ("user_id", "bot_id", "user"))
        return Bot(user, bot, name)

    # --- while sending ---------------------------------------------------------------------------

    def call(self, method: str, fields: Mapping[str, Any], *, form: bool = False) -> Mapping[str, Any]:
        """One method with the bot token, and its answer; ``form``: it takes no JSON.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the bot token is refused.
        """
        try:
            said = self._ask(method, fields, self._settings.bot_token, form)
        except LinkError as error:
            raise as_send_error(error) from error
        except ConfError as error:
            raise SendRefused(error.text, code=error.code, action=error.action) from error
        if not said.good:
            raise send_error(method, said)
        return said.body

    def upload(self, url: str, file: BinaryIO) -> None:
        """POST a file's bytes to the address that was given out for it. Raises SendError; nobody has
        seen anything of the file yet, so that every failure may be tried again."""
        if not url.startswith(("http://", "https://")):
            raise SendRetry("Slack gave no address to upload to", after=5.0, code="no_url")
        url, headers = rebased(url, self._settings.api_base), {"Content-Type": "application/octet-stream"}
        try:
            answer = self._http.request("POST", url, data=file, headers=headers, total=UPLOAD_TOTAL)
        except (LinkError, ConfError) as error:
            raise SendRetry(f"the file could not be uploaded: {error.text}", after=2.0, code=error.code) from error
        if answer.status != 200:
            raise SendRetry(f"the file could not be uploaded: HTTP {answer.status}", after=5.0, code=str(answer.status))

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
        answer = self._http.stream(
            "GET", rebased(url, base), headers=_bearer(self._settings.bot_token), first=20.0, pause=20.0, total=300.0
        )
        try:
            page = answer.headers.get("Content-Type", "").startswith("text/html") and not mime.startswith("text/html")
            if answer.status != 200 or page:
                raise LinkLost(
                    f"Slack did not give the file (HTTP {answer.status})",
                    status=answer.status,
                    code="no_file",
                    action="Give the app the scope files:read, and install it again.",
                )
            yield from answer.pieces()
        finally:
            answer.close()

    def _ask(self, method: str, fields: Mapping[str, Any], token: Secret, form: bool = False) -> Said:
        headers = _bearer(token)
        if form:
            return take(self._http.request("POST", f"/api/{method}", data=dict(fields), headers=headers))
        headers["Content-Type"] = "application/json; charset=utf-8"  # without it, each answer carries a warning
        return take(self._http.request("POST", f"/api/{method}", json=dict(fields), headers=headers))


def take(answer: Answer) -> Said:
    """Take an answer apart, whatever it is; errors come with HTTP 200 too."""
    try:
        body: Mapping[str, Any] = answer.json()
    except (BadAnswer, RecursionError):
        body = EMPTY
    error, needed = body.get("error"), body.get("needed")
    wait = answer.retry_after
    return Said(
        status=answer.status,
        good=answer.status == 200 and body.get("ok") is True,
        error=error if isinstance(error, str) else "",
        detail=f"needs {needed}" if isinstance(needed, str) else "",
        body=body,
        wait=None if wait is None else min(wait, LONGEST_WAIT),
    )


def dial_error(what: str, said: Said, action: str) -> HermesError:
    """The error for a refused request on the way to a link; ``action`` names the token it was made with."""
    if said.status == 429 or said.error in RATES:
        return Throttled(f"{what}: Slack asks to wait", after=said.wait or DIAL_AGAIN, code=said.error or "429")
    known = CODES.get(said.error)
    if known is not None and issubclass(known.error, AuthRejected):
        return replace(known, action=action).build(said.error, said.detail)
    if said.error in ("missing_scope", "no_permission", "access_denied"):
        return AuthRejected(f"{what} was refused ({said})", code=said.error, action=action)
    return LinkLost(f"{what} could not be had ({said})", status=said.status, code=said.error or str(said.status))


def send_error(method: str, said: Said) -> SendError | HermesError:
    """The error for a refused call while sending: a SendError, or AuthRejected."""
    if said.status == 429:
        return CODES["ratelimited"].build("429", method, said.wait)
    known = CODES.get(said.error)
    if known is not None:
        action = BOT_TOKEN if issubclass(known.error, AuthRejected) else known.action
        return replace(known, action=action).build(said.error, said.detail or method, said.wait)
    code = said.error or str(said.status)
    if said.status >= 500 or said.status == 408:
        return SendUnknown(f"Slack failed at {method} ({said})", code=code)
    if said.error:
        return SendRefused(f"Slack refused {method} ({said})", code=code)
    if said.status < 300:
        return SendUnknown(f"Slack's answer to {method} could not be read", code="bad_answer")
    # No answer of Slack's own shape: something on the way refused, and may not do so for ever.
    return SendRetry(f"{method} did not reach Slack ({said})", after=5.0, scope="account", code=code)


def _bearer(token: Secret) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.reveal()}"}
