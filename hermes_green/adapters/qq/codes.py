"""What QQ's numbers mean, read from ``codes.txt``; and which of them ask for more than their policy.

Sources: bot-docs develop/api-v2/dev-prepare/error-trace and server-inter/message/send-receive/send.md,
botgo errs/errs.go; 11298 and 40054005 from public reports of their wording; error-trace/websocket.md for
the close codes.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import Code, table_of
from hermes_green.core.errors import HermesError, LinkLost

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP, CLOSES = TABLE.sections["codes"], TABLE.help, TABLE.sections["closes"]
_LOST = Code(LinkLost, "closed by QQ")

# HTTP 401 with one of these: the token, not the bot, was refused.
TOKEN_CODES = frozenset({11241, 11242, 11243, 11244})
# Close codes after which the session may be resumed, beside those that are not known.
RESUMABLE = frozenset({4004, 4008, 4009})
BAD_TOKEN, NOT_GRANTED = 4004, 4014
# What 4014 is called where nothing less can be asked for: every bot has the rest.
NOTHING_GRANTED = "nothing_granted"


def keeps(code: int | None) -> bool:
    """Whether a close leaves the session to be resumed; codes that are not known (1001, 1006, none) are network."""
    return code not in CLOSES or code in RESUMABLE


def closed(code: int | str | None, reason: str = "") -> HermesError:
    """The error for a close frame."""
    error = CLOSES.get(code or 0, _LOST).build(code or "no code", reason)
    if isinstance(error, LinkLost) and isinstance(code, int):
        error.status = code
    return error
