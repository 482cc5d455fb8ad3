"""TokenCache: one token for all greenlets, fetched once at a time and ahead of its end."""

from __future__ import annotations

import math
from typing import Any, Callable

from gevent.event import AsyncResult

from hermes_green.core.clock import Clock
from hermes_green.core.errors import AuthRejected, HermesError, LinkError, LinkLost, SendRetry, Throttled

_AHEAD = 60.0  # seconds before its end at which a token is renewed, a tenth of its life at most
_PAUSE = 10.0  # seconds until a failed early renewal is tried again
_AGAIN = 2.0  # seconds until a send asks again for a token that could not be had


def life_of(seconds: Any) -> float:
    """How long a token lives, told as a number or a string; 0 where that makes no sense."""
    try:
        life = float(seconds)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return life if 0 < life < math.inf else 0.0


class TokenCache:
    """``fetch`` asks the platform: the token and the seconds it has to live. ``hide`` is told of each token,
    so that nothing shows it."""

    def __init__(self, fetch: Callable[[], tuple[str, float]], clock: Clock, hide: Callable[[str], object]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._hide = hide
        self._token = ""
        self._renew = 0.0
        self._end = 0.0
        self._flight: AsyncResult | None = None

    def get(self) -> str:
        """The token. Who comes while it is being fetched waits for that one answer, or its error.

        A token that still lives is used while its successor is on the way, and when the successor
        cannot be had because the platform is away.

        Raises:
            what ``fetch`` raises.
        """
        while True:
            now = self._clock.monotonic()
            living = bool(self._token) and now < self._end
            if living and (now < self._renew or self._flight is not None):
                return self._token
            if self._flight is None:
                return self._renewed(living)
            token = self._flight.get()
            if token is not None:
                return str(token)  # None: whoever fetched was killed; the next one does it

    def for_send(self) -> str:
        """The token for a send, of which nothing has left as long as there is none.

        Raises:
            SendRetry: it cannot be had now; the whole account waits.
            AuthRejected: the credentials were refused.
        """
        try:
            return self.get()
        except AuthRejected:
            raise
        except LinkError as error:
            after = error.after if isinstance(error, Throttled) else _AGAIN
            raise SendRetry(f"no token: {error.text}", after=after, scope="account", code=error.code) from error

    def drop(self, token: str) -> None:
        """The platform called ``token`` invalid: fetch anew, unless that was done already."""
        if token == self._token:
            self._token = ""

    def _renewed(self, living: bool) -> str:
        old = self._token
        flight = self._flight = AsyncResult()
        try:
            token, life = self._fetch()
            self._hide(token)
            now = self._clock.monotonic()
            self._token, self._end = token, now + life
            self._renew = self._end - min(_AHEAD, life / 10)
            flight.set(token)
            return token
        except HermesError as error:
            # It may have been called invalid meanwhile.
            if living and self._token == old and isinstance(error, (LinkLost, Throttled)):
                pause = error.after if isinstance(error, Throttled) else _PAUSE
                self._renew = self._clock.monotonic() + pause
                flight.set(old)
                return old
            flight.set_exception(error)
            raise
        finally:
            self._flight = None
            if not flight.ready():
                flight.set(None)
