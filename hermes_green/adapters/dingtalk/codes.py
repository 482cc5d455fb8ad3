"""What the platform's error codes mean, for the gateway's policy and for people.

The new API answers refusals with HTTP 4xx and a word for a code, the old one (session webhooks and
uploads) with HTTP 200 and a number. Sources: open.dingtalk.com "Error codes", "Custom robots",
"Call limits"; the words of refused credentials as public reports quote them.
"""

from __future__ import annotations

from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, SendRefused, SendRetry, SendUnknown

KEYS = "check client_id and client_secret in dingtalk.yaml against the app's Credentials page (open-dev.dingtalk.com)"
_GRANT = "grant the app this permission on open-dev.dingtalk.com > Permissions, and publish a version"
_WHITELIST = "add this machine's public address to the app's IP whitelist on open-dev.dingtalk.com"

# A refused token is answered with HTTP 401, or by the old API with one of these numbers.
STALE_TOKEN: frozenset[int | str] = frozenset({"InvalidAuthentication", 40014, 42001})
# All codes that begin so say that the app calls too often; the rest of the word says which limit it was.
QPS = "Forbidden.AccessDenied.Qps"
# The page that stands in front of the API when an address is blocked has this in ``status``.
PUNISHED = 1111
# The session webhook's own limit; who exceeds it is blocked for ten minutes.
WEBHOOK_TOO_FAST = 130101

_BAD_KEYS = Code(AuthRejected, "the platform refused client_id or client_secret", KEYS)
_BUSY = Code(SendRetry, "the app calls too often", after=1, scope="account")
_DENIED = Code(SendRefused, "the app lacks a permission for this call", _GRANT)
_CONTENT = Code(SendRefused, "the platform refused the message's content")

CODES: Mapping[int | str, Code] = {
    # Opening a connection, and tokens
    "authFailed": _BAD_KEYS,
    "invalidClientIdOrSecret": _BAD_KEYS,
    "invalidClientId": _BAD_KEYS,
    "invalidClientSecret": _BAD_KEYS,
    # Limits
    QPS: _BUSY,
    "QpsLimit": _BUSY,
    88: _BUSY,
    90018: _BUSY,
    PUNISHED: Code(SendRetry, "the platform blocks this machine's address for a while", after=300, scope="account"),
    WEBHOOK_TOO_FAST: Code(SendRetry, "more than 20 messages a minute in one chat: blocked for ten minutes", after=600),
    # Perhaps delivered
    -1: Code(SendUnknown, "the platform had an internal error"),
    # Never
    "Forbidden.AccessDenied.AccessTokenPermissionDenied": _DENIED,
    "Forbidden.AccessDenied.IpNotInWhiteList": Code(
        SendRefused, "this machine's address is not on the app's IP whitelist", _WHITELIST
    ),
    "invalidStaff": Code(SendRefused, "the platform knows no such user in the app's organisation"),
    "flowControlled": Code(SendRetry, "the platform takes no more messages for this user now", after=60),
    43004: _CONTENT,
    400402: _CONTENT,
    460101: Code(SendRefused, "the message is too long"),
}
# What a webhook refuses for reasons of its own, such as its age, may still go by the API; these would
# be refused there too, or forbid another try.
FINAL_FOR_WEBHOOK = frozenset({43004, 400402, 460101})


def meaning(code: int | str | None) -> Code | None:
    """The entry for a code; the calls' many limits share one."""
    if code is None:
        return None
    if isinstance(code, str) and code.startswith(QPS):
        return CODES[QPS]
    return CODES.get(code)
