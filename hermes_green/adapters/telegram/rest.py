"""Rest: the Bot API over HTTP. The token is part of every address, so no address leaves this file.

Source: core.telegram.org/bots/api "Making requests", tdlib/telegram-bot-api Client.cpp.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from hermes_green.adapters.telegram.codes import CODES, find
from hermes_green.adapters.telegram.settings import Settings
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
from hermes_green.core.model import Secret
from hermes_green.link.http import Answer, BadAnswer, Http, as_send_error
from hermes_green.link.multipart import Multipart

API_BASE = "https://api.telegram.org"
READ = 20.0
# Uploads and downloads; a send is given up after 90 s by whoever asked for it.
FILE_READ = 60.0
FILE_TOTAL = 85.0
_MIB = 1024 * 1024
# core.telegram.org/bots/api "Sending files"; a server of one's own takes more, and says so itself.
UPLOAD = 50 * _MIB
PHOTO = 10 * _MIB
LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, taken apart. ``wait``: retry_after; ``moved``: migrate_to_chat_id, or ""."""

    status: int
    good: bool
    text: str = ""
    result: Any = None
    wait: float | None = None
    moved: str = ""

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f", {self.text}" if self.text else "")


class Rest:
    """One bot's two HTTP sessions: one for its polls, so that no send waits behind them, one for the rest."""

    def __init__(self, settings: Settings) -> None:
        base = settings.api_base or API_BASE
        self._token = settings.token
        self._polls = Http(base, ca_file=settings.ca_file, proxy=settings.proxy, read=READ)
        self._sends = Http(base, ca_file=settings.ca_file, proxy=settings.proxy, read=READ)

    def close(self) -> None:
        """Close the pooled connections."""
        self._polls.close()
        self._sends.close()

    # --- the link ------------------------------------------------------------------------------

    def ask(self, method: str, params: Mapping[str, Any], within: float = READ) -> Said:
        """A call over the polls' connection. ``within`` seconds the answer is there, whole.

        Raises:
            LinkLost, ConfError: no answer; ``code`` is "timeout" when it was late.
        """
        # Only the total counts, so that being late has one name.
        return self._call(self._polls, method, json=dict(params), read=within + 5, total=within)

    # --- sends ---------------------------------------------------------------------------------

    def send(self, method: str, params: Mapping[str, Any]) -> Said:
        """A call for a message: the answer, good or refused.

        Raises:
            SendError: no answer.
        """
        return self._sent(method, json=dict(params))

    def upload(self, method: str, params: Mapping[str, Any], field: str, media: Mapping[str, Any]) -> Said:
        """A call that carries a file from our disk, read as it is sent.

        Raises:
            SendError: SendRefused when it cannot be read or is too large.
        """
        path, name = str(media.get("path") or ""), str(media.get("name") or "")
        limit = PHOTO if field == "photo" else UPLOAD
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 < size <= limit:
                    text = f"{name or 'a file'} has {size} bytes: Telegram takes 1 to {limit}"
                    raise SendRefused(text, code="file_size", limit=limit if size else None)
                name = name or os.path.basename(path)
                body = Multipart({key: _field(value) for key, value in params.items()}, field, name, file, size)
                headers = {"Content-Type": body.content_type}
                return self._sent(method, data=body, headers=headers, read=FILE_READ, total=FILE_TOTAL)
        except OSError as error:
            raise SendRefused(f"the file {name or path} cannot be read: {error.strerror}", code="file") from error

    def download(self, file_id: str) -> Iterator[bytes]:
        """The bytes of a file that a user sent.

        Raises:
            SendRefused: the platform does not hand it out; files beyond 20 MB, for one.
            SendError, LinkLost: not now.
        """
        said = self.send("getFile", {"file_id": file_id})
        path = said.result.get("file_path") if isinstance(said.result, dict) else None
        if not said.good or not isinstance(path, str) or path.startswith("/"):
            raise SendRefused(f"Telegram does not hand out the file ({said})", code="file")
        try:
            answer = self._sends.stream(
                "GET", f"/file/bot{self._token.reveal()}/{path}", first=READ, pause=READ, total=FILE_TOTAL
            )
        except HermesError as error:
            raise _alone(error) from None
        try:
            if answer.status != 200:
                raise LinkLost(f"a file could not be fetched: HTTP {answer.status}", status=answer.status)
            yield from answer.pieces()
        finally:
            answer.close()

    def _sent(self, method: str, **how: Any) -> Said:
        try:
            return self._call(self._sends, method, **how)
        except LinkError as error:
            raise as_send_error(error) from None
        except ConfError as error:
            raise SendRefused(error.text, code=error.code, action=error.action) from None

    def _call(self, http: Http, method: str, **how: Any) -> Said:
        try:
            answer = http.request("POST", f"/bot{self._token.reveal()}/{method}", **how)
        except HermesError as error:
            raise _alone(error) from None
        return take(answer, self._token)


def take(answer: Answer, token: Secret) -> Said:
    """An answer taken apart; gateways between us and the platform answer in HTML, or anything."""
    try:
        body = answer.json()
    except BadAnswer:
        return Said(answer.status, False, f"no JSON, {len(answer.body)} bytes")
    more = body.get("parameters")
    more = more if isinstance(more, dict) else {}
    wait, moved = more.get("retry_after"), more.get("migrate_to_chat_id")
    return Said(
        status=answer.status,
        good=answer.status == 200 and body.get("ok") is True,
        text=str(body.get("description") or "").replace(token.reveal(), "***")[:300],
        result=body.get("result"),
        wait=min(float(wait), LONGEST_WAIT) if isinstance(wait, (int, float)) and wait >= 0 else answer.retry_after,
        moved=str(moved) if isinstance(moved, int) else "",
    )


def link_error(what: str, said: Said) -> LinkError:
    """The error for a refused call on the way to a link, or on it."""
    if said.status in (401, 404):
        error = CODES[said.status].build(said.status, said.text)
        assert isinstance(error, AuthRejected)
        return error
    if said.status == 429:
        return Throttled(f"{what}: Telegram asks to wait", after=max(1.0, said.wait or 0.0), code="429")
    return LinkLost(f"{what} was refused ({said})", status=said.status, code=str(said.status))


def send_error(said: Said) -> SendError | AuthRejected:
    """The error for a refused send."""
    if said.status >= 500 or said.status == 200:
        return SendUnknown(f"Telegram failed ({said})", code=str(said.status))
    code = find(said.status, said.text)
    if code is None or said.status == 409:
        return SendRefused(f"Telegram refused the message ({said})", code=str(said.status))
    error = code.build(said.status, said.text, said.wait if said.status == 429 else None)
    if isinstance(error, SendRetry) and error.after <= 0:
        error.after = code.after
    assert isinstance(error, (SendError, AuthRejected))
    return error


def _field(value: Any) -> str:
    """A parameter as a form has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _alone(error: HermesError) -> HermesError:
    """The error without what led to it: that quotes the address."""
    error.__context__ = None
    return error
