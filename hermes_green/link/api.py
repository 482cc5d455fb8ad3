"""Api: one account's calls of its platform: a session, a token where there is one, and errors that are the policy."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import Any, Callable, Iterator, Mapping, TypeVar
from urllib.parse import quote

import gevent

from hermes_green.core.errors import ConfError, HermesError, LinkError, LinkLost, SendRefused, SendRetry
from hermes_green.core.model import EMPTY
from hermes_green.core.options import PlatformOptions
from hermes_green.link.http import Answer, Http, Streamed, TokenCache, as_send_error
from hermes_green.link.said import MENDED, Said

Rest = TypeVar("Rest", bound="Api")
# Bytes of an answer that says why a file is not given.
_REFUSAL = 64 * 1024


def path_of(root: str, *parts: Any) -> str:
    """A path below ``root``; what stands in its parts comes from strangers: it adds no level and no query, and
    leads no level up."""
    said = (str(part or "") for part in parts)
    return "/".join([root, *("" if part in (".", "..") else quote(part, safe="") for part in said)])


def unless_ok(answer: Streamed) -> str:
    """Why an answer is no file, as far as its status tells; "" where it is."""
    return "" if answer.status == 200 else f"HTTP {answer.status}"


def delivered(
    answer: Streamed, why_not: Callable[[Streamed], str] = unless_ok, action: str = ""
) -> Iterator[bytes]:
    """The pieces of an answer that is a file; it is closed in any case.

    Raises:
        LinkLost: it is none; ``why_not`` says why, or "" where it is.
    """
    try:
        reason = why_not(answer)
        if reason:
            text = f"the platform did not give the file ({reason})"
            raise LinkLost(text, status=answer.status, code="no_file", action=action)
        yield from answer.pieces()
    finally:
        answer.close()


@contextmanager
def briefly(rest: Rest, seconds: float = 8.0) -> Iterator[Rest]:
    """Calls that are all there is to an account, and have so many seconds together. Raises LinkLost."""
    late = LinkLost(f"no answer within {seconds:g} s", code="timeout")
    with closing(rest), gevent.Timeout(seconds, late):
        yield rest


class Api:
    """A platform's own names its calls, and sets ``_tokens`` where it has tokens that end.

    ``take``: takes an answer apart. ``refusal``: the error for a refused send.
    """

    _tokens: TokenCache

    def __init__(
        self,
        base: str,
        options: PlatformOptions,
        take: Callable[[Answer], Said],
        refusal: Callable[[Said], HermesError],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http = Http(base, ca_file=options.ca_file, proxy=options.proxy, headers=headers)
        self._take = take
        self._refusal = refusal

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def token(self) -> str:
        """A valid token.

        Raises:
            AuthRejected: the credentials are wrong.
            LinkLost, Throttled: it could not be had now.
        """
        return self._tokens.get()

    def drop(self, token: str) -> None:
        """The platform says that ``token`` is not valid: ask for another next time."""
        self._tokens.drop(token)

    def _ask(self, method: str, path: str, **how: Any) -> Said:
        """One call, as ``Http.request``. Raises LinkLost, ConfError: no answer."""
        return self._take(self._http.request(method, path, **how))

    def _tell(self, method: str, path: str, **how: Any) -> Said:
        """One call for what is being sent. Raises SendError: no answer."""
        try:
            return self._ask(method, path, **how)
        except LinkError as error:
            raise as_send_error(error) from error
        except ConfError as error:
            raise SendRefused(error.text, code=error.code, action=error.action) from error

    def _told(self, said: Said) -> Mapping[str, Any]:
        """What was asked for. Raises what ``refusal`` says."""
        if said.good:
            return said.data
        raise self._refusal(said)

    # --- with a token ----------------------------------------------------------------------------

    def _signed(self, token: str) -> dict[str, str]:
        """The header that carries a token."""
        return {"Authorization": f"Bearer {token}"}

    def _asked(self, method: str, path: str, **how: Any) -> Said:
        """One question that nothing is sent with, as ``Http.request``. Raises LinkError: no answer, or no token."""
        return self._renewing(
            self._tokens.get, lambda token: self._ask(method, path, headers=self._signed(token), **how)
        )

    def _file(self, path: str, *, pause: float = 20.0, total: float = 300.0) -> Iterator[bytes]:
        """The bytes behind an address of the API, piece by piece; why it is none is told as other answers are.
        Raises LinkError: they could not be had, or no token."""
        answer: Streamed

        def ask(token: str) -> Said:
            nonlocal answer
            answer = self._http.stream("GET", path, headers=self._signed(token), first=pause, pause=pause, total=total)
            if answer.status == 200:
                return Said(200, True)
            with closing(answer):
                return self._take(Answer(answer.status, answer.headers, answer.read(_REFUSAL)))

        said = self._renewing(self._tokens.get, ask)
        yield from delivered(answer, lambda answer: "" if said.good else str(said))

    def _sent(self, method: str, path: str, headers: Mapping[str, str] = EMPTY, **how: Any) -> Mapping[str, Any]:
        """What one call for something that is being sent brought, as ``Http.request``. Raises as ``_with_token``."""
        return self._with_token(
            lambda token: self._tell(method, path, headers={**headers, **self._signed(token)}, **how)
        )

    def _with_token(self, ask: Callable[[str], Said]) -> Mapping[str, Any]:
        """What ``ask``, which sends something, was told.

        Raises:
            SendError: see ``core.errors``.
            AuthRejected: the credentials were refused.
        """
        said = self._renewing(self._tokens.for_send, ask)
        if said.stale:
            text = f"a fresh token was refused ({said})"
            raise SendRetry(text, after=MENDED, scope="account", code=str(said.code or said.status))
        return self._told(said)

    def _renewing(self, get: Callable[[], str], ask: Callable[[str], Said]) -> Said:
        """What ``ask`` is told with a token; one that turns out to be refused is replaced once."""
        token = get()
        said = ask(token)
        if said.stale:
            self._tokens.drop(token)
            said = ask(get())
        return said

    # --- without one -----------------------------------------------------------------------------

    def _pieces(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        pause: float = 20.0,
        total: float = 300.0,
        why_not: Callable[[Streamed], str] = unless_ok,
        action: str = "",
    ) -> Iterator[bytes]:
        """The bytes at an address, piece by piece. Raises LinkLost: they could not be had; as ``delivered``."""
        answer = self._http.stream("GET", url, headers=headers, first=pause, pause=pause, total=total)
        yield from delivered(answer, why_not, action)
