"""CODES: what Telegram's refusals mean for us.

The platform tells errors by an HTTP status and, among those of one status, by its wording alone, so
both are keys here. Sources: tdlib/telegram-bot-api Client.cpp (fail_query_with_error and the checks
of single methods), core.telegram.org/bots/api "Making requests".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, Displaced, SendRefused, SendRetry, SendUnknown

CREDENTIALS = "Check token in telegram.yaml against @BotFather (and api_base, if it is set)."
_RIVAL = (
    "Stop the other program that polls with this bot's token, or give this gateway a bot of its own "
    "(token in telegram.yaml)."
)
_INVITE = "The user must write to the bot first, or unblock it."

NOT_MODIFIED = "message is not modified"
# Refusals that another form of the same message gets past.
BAD_MARKUP = "can't parse entities"
LOST_THREAD = ("message thread not found", "topic_closed", "topic_deleted")
LOST_DRAFT = (
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
    "there is no text in the message to edit",
)

CODES: Mapping[int | str, Code] = MappingProxyType(
    {
        401: Code(AuthRejected, "Telegram does not know this token", CREDENTIALS),
        404: Code(AuthRejected, "Telegram finds no bot at this address", CREDENTIALS),
        409: Code(Displaced, "another program polls for this bot", _RIVAL),
        408: Code(SendUnknown, "Telegram gave up on the request"),
        413: Code(SendRefused, "the file is too large for Telegram"),
        429: Code(SendRetry, "sending too fast", after=1.0),
        "bot was blocked by the user": Code(SendRefused, "the user has blocked the bot", _INVITE),
        "bot can't initiate conversation": Code(SendRefused, "the user has never written to the bot", _INVITE),
        "user is deactivated": Code(SendRefused, "the user's account is gone"),
        "bot was kicked": Code(SendRefused, "the bot was removed from the chat", "Add the bot to the chat again."),
        "bot is not a member": Code(SendRefused, "the bot is not in the chat", "Add the bot to the chat."),
        "not enough rights": Code(SendRefused, "the bot may not write there", "Let the bot send messages there."),
        "chat_write_forbidden": Code(SendRefused, "the bot may not write there"),
        "chat not found": Code(SendRefused, "Telegram knows no such chat", "Check the chat's id."),
        "message is too long": Code(SendRefused, "the message is too long"),
        "message text is empty": Code(SendRefused, "the message is empty"),
    }
)


def find(status: int, text: str) -> Code | None:
    """The entry for a refusal: by its wording, else by its status."""
    said = text.lower()
    for known, code in CODES.items():
        if isinstance(known, str) and known in said:
            return code
    return CODES.get(status)
