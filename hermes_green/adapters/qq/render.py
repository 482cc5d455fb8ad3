"""Render: a reply as the texts QQ takes; pure.

Plain text (msg_type 0): Markdown messages need a permission most bots do not have. No maximum
length is documented; 4,000 characters is what clients in the field use.
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import fit, split

LIMIT = 4000
UNIT = Unit.CHARS
# bot-docs send.md: at most five replies to one message.
PARTS = 5


def left_out(count: int) -> str:
    """The sentence at the end of a reply that was longer than the platform allows."""
    return f"[… {count} more characters left out / 余下 {count} 字未发送]"


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, at least one.

    What exceeds the parts still free for the message answered is left out, and the last part says
    how much; once all are spent, one more is made and the platform decides about it.
    """
    room = max(1, PARTS - reply.seq_used)
    pieces = fit(split(_text_of(reply), LIMIT, UNIT), room, LIMIT, UNIT, left_out)
    return tuple({"content": piece} for piece in pieces)


def _text_of(reply: Reply) -> str:
    """The text, and a line for each medium, which this platform's adapter cannot upload; never empty,
    because the platform refuses empty messages."""
    lines = [reply.text.rstrip()] + [f"[{each.kind}] {each.name}".rstrip() for each in reply.media]
    return "\n".join(line for line in lines if line) or "…"
