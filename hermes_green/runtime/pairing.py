"""Pairing: a stranger gets a short-lived code, and whoever runs the bot lets him in by it.

Codes are drawn from 40 bits, told only to the stranger, valid for an hour, and gone once used. Wrong
ones are counted: after five the whole mechanism is locked for a while, so that guessing is hopeless.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from hermes_green.core.clock import Clock, rfc3339
from hermes_green.core.errors import HermesError, StoreAway

CODE_TTL = 3_600.0
# A stranger who writes on is answered once in this time, then met with silence.
SILENCE = 600.0
MAX_PENDING = 500
FAILURES = 5
LOCK = 3_600.0
# No letters or digits that are mistaken for each other when read aloud.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
LENGTH = 8


class PairingRefused(HermesError):
    """A code that is not (or no longer) valid, or a mechanism that is locked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A stranger who waits: the code he was told, and until when it is valid (wall seconds)."""

    code: str
    child: str
    user: str
    name: str
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Somebody who was let in; ``at`` in wall seconds."""

    child: str
    user: str
    name: str
    at: float


class Pairing:
    """``state`` is what was saved before; ``save`` writes it durably and may wait."""

    def __init__(self, clock: Clock, state: Mapping[str, Any] | None, save: Callable[[dict[str, Any]], None]) -> None:
        self._clock = clock
        self._save = save
        state = state or {}
        self._paired = {(p["child"], p["user"]): Paired(**p) for p in state.get("paired", ())}
        self._asked = {a["code"]: Asked(**a) for a in state.get("asked", ())}
        self._failures = int(state.get("failures", 0))
        self._locked_until = float(state.get("locked_until", 0.0))

    def knows(self, child: str, user: str | None) -> bool:
        """True when this user was let in."""
        return user is not None and (child, user) in self._paired

    def ask(self, child: str, user: str, name: str = "") -> Asked | None:
        """The code to tell a stranger; None: he was told lately, or too many wait: say nothing."""
        now = self._clock.wall()
        self._forget(now)
        mine = next((each for each in self._asked.values() if (each.child, each.user) == (child, user)), None)
        if mine is not None and now - mine.at < SILENCE or len(self._asked) >= MAX_PENDING:
            return None
        if mine is not None:
            del self._asked[mine.code]
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        asked = self._asked[code] = Asked(code, child, user, name[:80], now, now + CODE_TTL)
        try:
            self._keep()
        except StoreAway:
            pass  # The next change writes it along; a code that a crash forgets is asked for again.
        return asked

    def approve(self, code: str, child: str | None = None) -> Paired:
        """Let the stranger in who was told ``code`` (on ``child``, where that is given).

        Raises:
            PairingRefused: the code is wrong or old, or too many wrong ones were tried.
            StoreAway: nothing has changed.
        """
        now = self._clock.wall()
        self._forget(now)
        if now < self._locked_until:
            raise PairingRefused(
                f"pairing is locked for {self._locked_until - now:.0f} s after {FAILURES} wrong codes",
                code="pairing_locked",
                action="wait, then take the code from `hermes-green pairing list`",
            )
        asked = self._asked.get(code.strip().upper().replace("-", "").replace(" ", ""))
        if asked is None or child is not None and asked.child != child:
            self._failures += 1
            if self._failures >= FAILURES:
                self._failures, self._locked_until = 0, now + LOCK
            self._keep()
            raise PairingRefused(
                "this pairing code is not valid (any more)",
                code="pairing_code",
                action="`hermes-green pairing list` shows who waits; a new message of theirs makes a new code",
            )
        del self._asked[asked.code]
        self._failures = 0
        paired = self._paired[(asked.child, asked.user)] = Paired(asked.child, asked.user, asked.name, now)
        try:
            self._keep()
        except StoreAway:
            # Not let in before it is written down: the code stays good for another try.
            del self._paired[(asked.child, asked.user)]
            self._asked[asked.code] = asked
            raise
        return paired

    def revoke(self, child: str, user: str) -> bool:
        """Let somebody out again; False: he was not in. Raises StoreAway: he is out until the process ends."""
        gone = self._paired.pop((child, user), None) is not None
        if gone:
            self._keep()
        return gone

    def waiting(self) -> tuple[Asked, ...]:
        """Who waits, oldest first."""
        self._forget(self._clock.wall())
        return tuple(self._asked.values())

    def paired(self) -> tuple[Paired, ...]:
        """Who is in."""
        return tuple(self._paired.values())

    def shown(self) -> dict[str, Any]:
        """Both, for people and programs."""
        waiting = [{**_plain(one), "at": rfc3339(one.at), "until": rfc3339(one.until)} for one in self.waiting()]
        return {"waiting": waiting, "paired": [{**_plain(one), "at": rfc3339(one.at)} for one in self.paired()]}

    def _forget(self, now: float) -> None:
        for code in [code for code, asked in self._asked.items() if asked.until <= now]:
            del self._asked[code]

    def _keep(self) -> None:
        self._save(
            {
                "paired": [_plain(each) for each in self._paired.values()],
                "asked": [_plain(each) for each in self._asked.values()],
                "failures": self._failures,
                "locked_until": self._locked_until,
            }
        )


def _plain(value: Asked | Paired) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def spoken(code: str) -> str:
    """The code in two halves, as people read it."""
    return f"{code[:4]}-{code[4:]}"
