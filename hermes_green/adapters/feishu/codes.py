"""What the platform's error numbers mean, for the gateway's policy and for people.

Numbers: lark-oapi 1.7.5 ``ws/const.py`` (endpoint and handshake), open.feishu.cn "Error codes" and the
pages of the calls used here; which of them both SDKs retry is in their sources.
"""

from __future__ import annotations

from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, HermesError, LinkLost, SendRefused, SendRetry, SendUnknown, Throttled

ALLOW = (
    "check app_id, app_secret and domain in feishu.yaml, and that the app is self-built, published and "
    "receives its events over a long connection"
)
_KEYS = "check app_id and app_secret in feishu.yaml (developer console, Credentials & Basic Info)"
_CONNECTIONS = "another program holds this app's long connections: stop it, or give this gateway an app of its own"
_SCOPE = "give the app the missing scope in the developer console and publish a version"
_RANGE = "widen the app's availability range in the developer console"

# An answer that says the token is stale; a fresh one and a second try cure it.
STALE_TOKEN = frozenset({99991661, 99991663, 99991664, 99991665, 99991668})
# The message that a reply names is gone or too old: the same text is sent as a message of its own.
LOST_ANCHOR = frozenset({230011, 230031, 99992354})
# The content was refused as rich text; plain text has no shape that could be wrong.
BAD_CONTENT = frozenset({230001, 230099})
# A card grows for ten minutes; then it says once that this is over, and later that it is not growing.
NOT_STREAMING = frozenset({200850, 300309})
LOW_SEQUENCE = 300317

CODES: Mapping[int | str, Code] = {
    # Endpoint discovery and the handshake
    1: Code(LinkLost, "the platform is busy"),
    1000040343: Code(LinkLost, "the platform had an internal error"),
    1000040350: Code(Throttled, "the app has too many long connections", _CONNECTIONS, after=60),
    403: Code(AuthRejected, "the platform forbids this app a long connection", _KEYS),
    514: Code(AuthRejected, "the platform refused the app's credentials", _KEYS),
    1000040344: Code(AuthRejected, "the platform knows no such credentials", _KEYS),
    # Tokens
    10003: Code(AuthRejected, "the App ID is not known", _KEYS),
    10014: Code(AuthRejected, "the App Secret is wrong", _KEYS),
    99991543: Code(AuthRejected, "App ID or App Secret is wrong", _KEYS),
    # Limits
    99991400: Code(SendRetry, "the app sends too fast", after=1, scope="account"),
    11232: Code(SendRetry, "the app sends too fast", after=1, scope="account"),
    230020: Code(SendRetry, "this chat gets messages too fast", after=1),
    200810: Code(SendRetry, "the card is busy with a user's click", after=1),
    300313: Code(SendRetry, "the card's text is not there yet", after=0.5),
    # Perhaps delivered: the same uuid tells
    230049: Code(SendUnknown, "the message is still being sent"),
    300120: Code(SendUnknown, "the platform had an internal error"),
    # Never
    200740: Code(SendRefused, "the card is not known"),
    200750: Code(SendRefused, "the card is older than 14 days"),
    200770: Code(SendRefused, "the id of this change to a card was used before"),
    200850: Code(SendRefused, "the card has stopped growing"),
    200860: Code(SendRefused, "the card is too large"),
    300309: Code(SendRefused, "the card does not grow any more"),
    LOW_SEQUENCE: Code(SendRefused, "the card has had a later change"),
    234006: Code(SendRefused, "the file is too large"),
    234010: Code(SendRefused, "the file is empty"),
    230001: Code(SendRefused, "the platform refused the request's parameters"),
    230002: Code(SendRefused, "the bot is not in this chat", "add the bot to the chat"),
    230006: Code(SendRefused, "the app has no bot", "enable the bot ability in the developer console"),
    230013: Code(SendRefused, "the user is outside the bot's range", _RANGE),
    230018: Code(SendRefused, "the bot may not speak in this chat"),
    230022: Code(SendRefused, "the text did not pass the content audit"),
    230025: Code(SendRefused, "the message is too long"),
    230027: Code(SendRefused, "the app lacks a permission", _SCOPE),
    230028: Code(SendRefused, "the text did not pass the content audit"),
    230035: Code(SendRefused, "the bot may not speak in this chat"),
    230053: Code(SendRefused, "the user has stopped the bot"),
    230099: Code(SendRefused, "the platform could not make a card of the content"),
    232009: Code(SendRefused, "the chat has been dissolved"),
    230011: Code(SendRefused, "the message replied to was recalled"),
    230031: Code(SendRefused, "the message replied to is too old"),
    99992354: Code(SendRefused, "the message replied to is not known"),
    99991672: Code(SendRefused, "the app lacks a scope for this call", _SCOPE),
}


def number(error: HermesError) -> int:
    """The platform's number in an error; 0 where it carries none."""
    return int(error.code) if error.code.isdigit() else 0
