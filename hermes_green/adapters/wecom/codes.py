"""CODES: what WeCom's numbers mean for us, by table.

Sources: developer.work.weixin.qq.com/document/path/101463, field reports on 846605 to 846609 and 45009
(WecomTeam/wecom-openclaw-plugin), the platform's global error codes for -1.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, SendRefused, SendRetry, Throttled

CREDENTIALS = (
    "Check bot_id and secret in wecom.yaml against the bot's page in WeCom: API mode, long connection. "
    "A new Secret there makes the old one invalid."
)
TAKEN = (
    "Another program uses this bot: stop it, or give this gateway a bot of its own (bot_id and secret in "
    "wecom.yaml); then start the child again."
)

NOT_SUBSCRIBED = 846609
TOO_OFTEN = 45009
# This way of answering is over, and another one may be open: the callback's req_id is not known (any
# more); the stream was not refreshed for six minutes.
STALE_REQUEST, STALE_STREAM = "846605", "846608"

_BUSY = Code(SendRetry, "WeCom is busy", after=2.0)

CODES: Mapping[int | str, Code] = MappingProxyType(
    {
        -1: _BUSY,
        40058: Code(SendRefused, "WeCom refused the request's parameters"),
        TOO_OFTEN: Code(SendRetry, "this chat gets messages too fast", after=10.0),
        93006: Code(
            SendRefused,
            "WeCom does not know this chat",
            "The bot can only write to users and groups that have written to it before.",
        ),
        846601: _BUSY,
        846602: _BUSY,
        int(STALE_REQUEST): Code(SendRefused, "the message is too old to be answered"),
        int(STALE_STREAM): Code(SendRefused, "the answer's bubble takes no more updates"),
        NOT_SUBSCRIBED: Code(SendRetry, "the bot's subscription was lost", after=1.0),
    }
)

# The answers to a subscription; every other one passes.
SUBSCRIBING: Mapping[int, Code] = MappingProxyType(
    {
        853000: Code(AuthRejected, "WeCom refused bot_id or secret", CREDENTIALS),
        TOO_OFTEN: Code(Throttled, "the bot subscribes too often", after=60.0),
    }
)
