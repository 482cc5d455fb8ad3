"""Rest: the Bot API over HTTP. The token is part of every address, so no address leaves this file.

Source: core.telegram.org/bots/api "Making requests", tdlib/telegram-bot-api Client.cpp.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from hermes_green.adapters.telegram.codes import CODES, find
from hermes_green.adapters.telegram.settings import Settings
from hermes_green.core.errors import (
    AuthRejected,
    HermesError,
    LinkError,
    SendError,
    SendRefused,
    SendRetry,
    SendUnknown,
)
from hermes_green.core.loose import dict_of, number_of, seconds_of
from hermes_green.core.model import Secret
from hermes_green.link.api import Api, delivered
from hermes_green.link.files import MIB, outgoing
from hermes_green.link.http import Answer, Http
from hermes_green.link.said import LONGEST_WAIT, Said as Answered, body_of, undialled, wait_of

API_BASE = "https://api.telegram.org"
READ = 20.0
# Uploads and downloads; a send is given up after 90 s by whoever asked for it.
FILE_READ = 60.0
FILE_TOTAL = 85.0
# core.telegram.org/bots/api "Sending files"; a server of one's own takes more, and says so itself.
UPLOAD = 50 * MIB
PHOTO = 10 * MIB
TEXT = "sendMessage"  # the one method that no server of the Bot API is without


@dataclass(frozen=True, slots=True)
class Said(Answered):
    """An answer. ``text`` is all that tells one refusal from another; ``moved``: migrate_to_chat_id, or ""."""

    result: Any = None
    moved: str = ""

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f", {self.text}" if self.text else "")


class Rest(Api):
    """One bot's two HTTP sessions: one for its polls, so that no send waits behind them, one for the rest."""

    def __init__(self, settings: Settings) -> None:
        base, self._token = settings.api_base or API_BASE, settings.token
        super().__init__(base, settings, self._taken, send_error)
        self._polls = Http(base, ca_file=settings.ca_file, proxy=settings.proxy)

    def close(self) -> None:
        """Close the pooled connections."""
        self._polls.close()
        super().close()

    # --- the link ------------------------------------------------------------------------------

    def ask(self, method: str, params: Mapping[str, Any], within: float = READ) -> Said:
        """A call over the polls' connection. ``within`` seconds the answer is there, whole.

        Raises:
            LinkLost, ConfError: no answer; ``code`` is "timeout" when it was late.
        """
        # Only the total counts, so that being late has one name.
        with _unquoted():
            path, body = self._path(method), dict(params)
            return self._taken(self._polls.request("POST", path, json=body, read=within + 5, total=within))

    # --- sends ---------------------------------------------------------------------------------

    def send(self, method: str, params: Mapping[str, Any]) -> Said:
        """A call for a message: the answer, good or refused.

        Raises:
            SendError: no answer.
        """
        return self._call(method, json=dict(params))

    def upload(self, method: str, params: Mapping[str, Any], field: str, media: Mapping[str, Any]) -> Said:
        """A call that carries a file from our disk, read as it is sent.

        Raises:
            SendError: SendRefused when it cannot be read or is too large.
        """
        with outgoing(media, PHOTO if field == "photo" else UPLOAD) as file:
            body = file.form({key: _field(value) for key, value in params.items()}, field)
            headers = {"Content-Type": body.content_type}
            return self._call(method, data=body, headers=headers, read=FILE_READ, total=FILE_TOTAL)

    def download(self, file_id: str) -> Iterator[bytes]:
        """The bytes of a file that a user sent.

        Raises:
            SendRefused: the platform does not hand it out; files beyond 20 MB, for one.
            SendError, LinkLost: not now.
        """
        said = self.send("getFile", {"file_id": file_id})
        path = dict_of(said.result).get("file_path")
        if not said.good or not isinstance(path, str) or path.startswith("/"):
            raise SendRefused(f"Telegram does not hand out the file ({said})", code="file")
        with _unquoted():
            target = f"/file/bot{self._token.reveal()}/{path}"
            answer = self._http.stream("GET", target, first=READ, pause=READ, total=FILE_TOTAL)
        yield from delivered(answer)

    def _call(self, method: str, **how: Any) -> Said:
        with _unquoted():
            answer = self._tell("POST", self._path(method), **how)
            assert isinstance(answer, Said)
        if answer.status == 404 and method != TEXT:
            # What a wrong token is answered, too; but then no text goes out either, and no poll.
            raise SendRefused(f"Telegram knows no {method} ({answer})", code="404")
        return answer

    def _path(self, method: str) -> str:
        return f"/bot{self._token.reveal()}/{method}"

    def _taken(self, answer: Answer) -> Said:
        return take(answer, self._token)


def take(answer: Answer, token: Secret) -> Said:
    """An answer taken apart; gateways between us and the platform answer in HTML, or anything."""
    body = body_of(answer)
    more = dict_of(body.get("parameters"))
    wait, moved = seconds_of(more.get("retry_after")), number_of(more.get("migrate_to_chat_id"))
    good = answer.status == 200 and body.get("ok") is True
    # The status is the error's code; where something on the way has made it 200, the code still stands inside.
    status = number_of(body.get("error_code")) or 200 if answer.status == 200 and not good else answer.status
    text = str(body.get("description") or "") if body else f"no JSON, {len(answer.body)} bytes"
    return Said(
        status=status,
        good=good,
        text=text.replace(token.reveal(), "***"),
        wait=min(wait, LONGEST_WAIT) if wait is not None else wait_of(answer),
        result=body.get("result"),
        moved=str(moved or ""),
    )


def link_error(what: str, said: Said) -> LinkError:
    """The error for a refused call on the way to a link, or on it."""
    known = CODES[said.status] if said.status in (401, 404) else None
    return undialled(what, said, known)


def send_error(said: Answered) -> SendError | AuthRejected:
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


@contextmanager
def _unquoted() -> Iterator[None]:
    """Errors come without what led to them: that quotes the address."""
    try:
        yield
    except HermesError as error:
        error.__cause__ = error.__context__ = None
        raise error from None
