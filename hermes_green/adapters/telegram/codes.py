"""What Telegram's refusals mean, read from ``codes.txt``; and which of them another form gets past.

The platform tells errors by an HTTP status and, among those of one status, by its wording alone, so
both are keys there. Sources: tdlib/telegram-bot-api Client.cpp (fail_query_with_error and the checks
of single methods), core.telegram.org/bots/api "Making requests".
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import Code, table_of

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP = TABLE.sections["codes"], TABLE.help

NOT_MODIFIED = "message is not modified"
# Refusals that another form of the same message gets past.
BAD_MARKUP = ("can't parse entities", "entities_too_long")
LOST_THREAD = ("message thread not found", "topic_closed", "topic_deleted")


def find(status: int, text: str) -> Code | None:
    """The entry for a refusal: by its wording, else by its status."""
    said = text.lower()
    for known, code in CODES.items():
        if isinstance(known, str) and known in said:
            return code
    return CODES.get(status)
