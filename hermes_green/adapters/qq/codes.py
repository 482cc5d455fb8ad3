"""What QQ's numbers mean, read from ``codes.txt``; and which of them ask for more than their policy.

Sources: bot-docs develop/api-v2/dev-prepare/error-trace and server-inter/message/send-receive/send.md,
botgo errs/errs.go; 11298 and 40054005 from public reports of their wording; error-trace/websocket.md for
the close codes.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import table_of

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP, CLOSES = TABLE.sections["codes"], TABLE.help, TABLE.sections["closes"]

# HTTP 401 with one of these: the token, not the bot, was refused.
TOKEN_CODES = frozenset({11241, 11242, 11243, 11244})
# Close codes after which the session may be resumed, beside those that are not known.
RESUMABLE = frozenset({4004, 4008, 4009})
BAD_TOKEN, NOT_GRANTED = 4004, 4014
