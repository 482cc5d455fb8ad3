"""Commands: which texts are for the gateway and not for the agent; pure recognition."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Answered at once, past the lane, even while an agent is stuck.
IMMEDIATE = frozenset({"help", "stop", "status", "whoami", "adapters", "approve"})
# They change the conversation, or carry a message for it, so they wait for their turn.
ORDERED = frozenset({"new", "retry", "undo", "queue", "steer"})
KNOWN = IMMEDIATE | ORDERED
# What follows these is a message for the agent.
CARRIERS = frozenset({"queue", "steer"})

_ALIASES = {
    "帮助": "help",
    "停止": "stop",
    "状态": "status",
    "我是谁": "whoami",
    "通道": "adapters",
    "批准": "approve",
    "新对话": "new",
    "重试": "retry",
    "撤销": "undo",
    "排队": "queue",
    "引导": "steer",
}
# A Chinese keyboard gives the wide slash; where several bots listen, ``@bot`` says whose it is.
_FORM = re.compile(r"\s*[/／](\w+)(?:@\w+)?(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """``/name rest``."""

    name: str
    rest: str

    @property
    def immediate(self) -> bool:
        """True when it does not wait its turn; so is one that lacks its text, and is answered with help."""
        return self.name in IMMEDIATE or (self.name in CARRIERS and not self.rest)


def recognise(text: str) -> Command | None:
    """The command a text is, or None: it is for the agent (unknown commands are, too)."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    word = found[1].lower()
    name = _ALIASES.get(word, word)
    return Command(name, (found[2] or "").strip()) if name in KNOWN else None


def spoken(text: str) -> str:
    """What a message says to the agent: what it carries, or itself."""
    command = recognise(text)
    return command.rest if command is not None and command.name in CARRIERS and command.rest else text
