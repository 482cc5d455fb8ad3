"""Commands: which texts are for the gateway and not for the agent; pure recognition."""

from __future__ import annotations

from dataclasses import dataclass

IMMEDIATE = frozenset({"stop", "status", "whoami", "help"})
KNOWN = IMMEDIATE | {"new"}


@dataclass(frozen=True, slots=True)
class Command:
    """``/name rest``. Immediate ones are answered past the lane, even while an agent is stuck."""

    name: str
    rest: str

    @property
    def immediate(self) -> bool:
        """True when it does not wait its turn."""
        return self.name in IMMEDIATE


def recognise(text: str) -> Command | None:
    """The command a text is, or None: it is for the agent (unknown commands are, too)."""
    stripped = text.strip()
    if not stripped.startswith("/"):
        return None
    word, _, rest = stripped[1:].partition(" ")
    name = word.lower()
    return Command(name, rest.strip()) if name in KNOWN else None
