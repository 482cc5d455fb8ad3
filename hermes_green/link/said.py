"""Said: a platform's answer to a call, taken apart, and what it means for a dial or for what was being sent."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Callable, Iterator, Mapping, TypeVar

from hermes_green.core.codes import Code
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
from hermes_green.core.loose import text_at
from hermes_green.core.model import EMPTY
from hermes_green.link.dial import split_url
from hermes_green.link.http import Answer, BadAnswer, retry_after
from hermes_green.link.tokens import life_of

# Seconds until a human may have mended refused credentials.
MENDED = 60.0
LONGEST_WAIT = 3600.0
# Characters of what a platform says.
LONGEST_TEXT = 300
# HTTP statuses of an address that is not there, or not for this.
_NOT_THERE = ("404", "405")
Call = TypeVar("Call", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. ``code`` is the platform's own, None where it told none; ``data``: what was asked for, where
    it is ``good``; ``wait``: seconds that it asks for. ``stale``: it refused the token, and another may do."""

    status: int
    good: bool
    code: int | str | None = None
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=lambda: EMPTY, repr=False)  # it may hold a token
    wait: float | None = None
    stale: bool = False

    def __post_init__(self) -> None:
        # Whatever a stranger says at length ends in errors, which are logged and kept.
        object.__setattr__(self, "text", self.text[:LONGEST_TEXT])
        if isinstance(self.code, str):
            object.__setattr__(self, "code", self.code[:LONGEST_TEXT])

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f", {self.code} {self.text}".rstrip() if self.code is not None else "")


def body_of(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where there is none."""
    try:
        return answer.json()
    except BadAnswer:
        return EMPTY


def wait_of(answer: Answer, header: str = "Retry-After") -> float | None:
    """Seconds that an answer asks us to wait, in a platform's own ``header`` or the usual one; at most an hour."""
    asked = retry_after({"Retry-After": answer.headers.get(header, "")})
    asked = answer.retry_after if asked is None else asked
    return None if asked is None else min(asked, LONGEST_WAIT)


def address_in(said: Said, name: str) -> str:
    """The socket's address in a good answer. Raises LinkLost: there is none."""
    url = said.data.get(name)
    url = url if isinstance(url, str) else ""
    try:
        split_url(url)
    except ConfError:  # the platform's, and not the operator's
        raise LinkLost("the platform gave no address to dial", code="no_url") from None
    return url


def given(data: Mapping[str, Any], name: str, error: type[SendError] = SendUnknown) -> str:
    """What a good answer must have brought. Raises ``error``: it did not."""
    value = text_at(data, name)
    if not value:
        raise error(f"the platform gave no {name}", code="bad_answer")
    return value


def token_in(
    said: Said, name: str, seconds: str, refusal: Callable[[str, Said], HermesError]
) -> tuple[str, float]:
    """A token and how long it lives, in an answer's fields of these names. Raises what ``refusal`` says, where
    there is none."""
    token = said.data.get(name)
    if not said.good or not isinstance(token, str) or not token:
        raise refusal("an access token", said)
    return token, life_of(said.data.get(seconds))


def undialled(what: str, said: Said, known: Code | None, *, again: float = 0.0) -> LinkError:
    """The error for a refused request on the way to a link, for ``what``. ``known``: the code's entry;
    ``again``: seconds to wait where the answer asks to and does not say how long."""
    busy = known is not None and issubclass(known.error, SendRetry)
    if said.status == 429 or busy:
        after = said.wait or again or (known.after if busy and known is not None else 1.0)
        return Throttled(f"{what}: the platform asks to wait ({said})", after=after, code=str(said.code or 429))
    if known is not None and issubclass(known.error, LinkError):
        error = known.build(said.code or said.status, said.text, said.wait)
        assert isinstance(error, LinkError)
        return error
    if said.code is None and said.status < 300:
        text = f"{what} could not be had ({said}, and an answer that makes no sense)"
        return LinkLost(text, status=said.status, code="bad_answer")
    return LinkLost(f"{what} could not be had ({said})", status=said.status, code=str(said.code or said.status))


def unsent(said: Said, known: Code | None) -> SendError | AuthRejected:
    """The error for a refused send. ``known``: the code's entry."""
    if known is not None and (said.status != 429 or known.scope == "account"):
        error = known.build(said.code or said.status, said.text, said.wait)
        if isinstance(error, (SendError, AuthRejected)):
            return error
    code = str(said.code or said.status)
    if said.status == 429:
        return SendRetry(f"sending too fast ({said})", after=said.wait or 1.0, scope="account", code=code)
    if said.status >= 500 or said.status == 408:
        return SendUnknown(f"the platform failed ({said})", code=code)
    if said.code or said.status == 413:  # whoever on the way finds it too large will do so for ever
        return SendRefused(f"the platform refused the message ({said})", code=code)
    if said.status < 300:
        return SendUnknown("the platform's answer could not be read", code="bad_answer")
    # No answer of the platform's own shape: something on the way refused, and may not do so for ever.
    return SendRetry(f"the request did not reach the platform ({said})", after=5.0, scope="account", code=code)


@contextmanager
def alone() -> Iterator[None]:
    """For calls that have limits of their own: a wait holds for their chat alone, and holds back no other. Where
    there is no such call at all, nothing waits for it.

    Raises:
        SendRefused: in place of SendRetry, where the address is not known.
    """
    try:
        yield
    except SendRetry as error:
        if error.code in _NOT_THERE:
            raise SendRefused(error.text, code=error.code, action=error.action) from error
        raise SendRetry(error.text, after=error.after, code=error.code, action=error.action) from error


@contextmanager
def unseen(what: str) -> Iterator[None]:
    """For calls of which nobody sees anything before a later one: a lost answer leaves no doubt.

    Raises:
        SendRetry: in place of SendUnknown.
    """
    try:
        yield
    except SendUnknown as error:
        raise SendRetry(f"{what} broke off: {error}", after=1.0, code=error.code) from error


def halting(method: Call) -> Call:
    """For an adapter's methods that call the platform outside of ``run``: refused credentials halt the child,
    and what was to be sent waits for a human."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        except (AuthRejected, ConfError) as error:
            raise halted(self._ctx, error) from error

    return guarded  # type: ignore[return-value]


def halted(ctx: Any, error: HermesError) -> SendRetry:
    """Halt the child for refused credentials; the error for what was to be sent."""
    ctx.reject(error)
    return SendRetry(error.text, after=MENDED, scope="account", code=error.code, action=error.action)
