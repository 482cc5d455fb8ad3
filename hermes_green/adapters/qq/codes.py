"""CODES: what QQ's numbers mean for us, by table.

Sources: bot-docs develop/api-v2/dev-prepare/error-trace and server-inter/message/send-receive/send.md,
botgo errs/errs.go; 11298 and 40054005 from public reports of their wording. Close codes of the
gateway socket stand in ``wire.CLOSES``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, SendCollision, SendRefused, SendRetry

CREDENTIALS = "Check app_id and client_secret in qq.yaml against q.qq.com > development settings."
_GRANT = "Grant the bot this permission on q.qq.com, or ask the owner of the group or guild to let it speak."
_WHITELIST = "Add this machine's public address to the IP whitelist on q.qq.com > development settings."

# HTTP 401 with one of these: the token, not the bot, was refused.
TOKEN_CODES = frozenset({11241, 11242, 11243, 11244})
RATE_CODES = frozenset({1100100, 1100308})
DEDUPED = 40054005

_WINDOW = Code(SendRefused, "window closed: the message is too old to be answered, or not of this chat")
_PROACTIVE = Code(
    SendRefused,
    "QQ takes no messages that answer nothing",
    "QQ withdrew proactive messages; the bot can only answer a message within its reply window.",
)
_BUSY = Code(SendRetry, "sending too fast", after=2.0)
_MEDIA = Code(SendRetry, "QQ could not fetch the media", after=5.0)
_TOKEN = Code(SendRetry, "the token was refused", after=60.0, scope="account")
_DENIED = Code(SendRefused, "the bot lacks a permission, or it was revoked", _GRANT)

CODES: Mapping[int | str, Code] = MappingProxyType(
    {
        # the token address; HTTP 200 all the same
        100007: Code(AuthRejected, "app_id is not known to QQ", CREDENTIALS),
        100016: Code(AuthRejected, "app_id or client_secret is wrong", CREDENTIALS),
        # any call
        **{code: _TOKEN for code in TOKEN_CODES},
        11298: Code(AuthRejected, "this machine's address is not on the bot's IP whitelist", _WHITELIST),
        # sends
        11253: _DENIED,
        11254: _DENIED,
        22009: _PROACTIVE,
        304003: Code(
            SendRefused,
            "the text contains a web address that is not registered",
            "Register the address on q.qq.com > development settings > message URLs.",
        ),
        304018: Code(SendRetry, "guild sends need the gateway link, which was down", after=2.0),
        50002: Code(SendRetry, "the stream grows too fast", after=1.0),
        304027: _WINDOW,
        304082: _MEDIA,
        304083: _MEDIA,
        **{code: _BUSY for code in RATE_CODES},
        40034024: _WINDOW,
        40034102: _PROACTIVE,
        40034128: Code(SendRefused, "window closed: too late for an answer, or five answers were given"),
        DEDUPED: Code(SendCollision, "this reply number was taken already"),
    }
)
