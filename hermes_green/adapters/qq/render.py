"""Render: a reply as the texts QQ takes; pure.

Plain text (msg_type 0): Markdown messages need a permission most bots do not have. No maximum
length is documented; 4,000 characters is what clients in the field use.
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.content import media, plain
from hermes_green.content.pack import fit
from hermes_green.core.model import Reply, Unit

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
    # Media are named, because this platform's adapter cannot upload them.
    pieces = (*plain.pieces(reply.text), *media.lines(reply.media))
    # The platform refuses empty messages.
    return tuple({"content": piece} for piece in fit(pieces, room, LIMIT, UNIT, left_out) or ["…"])
