"""What the platform's error numbers mean, read from ``codes.txt``; and which of them ask for more than their policy.

Numbers: lark-oapi 1.7.5 ``ws/const.py`` (endpoint and handshake), open.feishu.cn "Error codes" and the
pages of the calls used here; which of them both SDKs retry is in their sources.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import table_of
from hermes_green.core.errors import HermesError

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP = TABLE.sections["codes"], TABLE.help
ALLOW = TABLE.remedies["allow"]

# An answer that says the token is stale; a fresh one and a second try cure it.
STALE_TOKEN = frozenset({99991661, 99991663, 99991664, 99991665, 99991668})
# The message that a reply names is gone or too old: the same text is sent as a message of its own.
LOST_ANCHOR = frozenset({230011, 230031, 99992354})
# The content was refused as rich text; plain text has no shape that could be wrong.
BAD_CONTENT = frozenset({230001, 230099})
# A card grows for ten minutes; then it says once that this is over, and later that it is not growing.
NOT_STREAMING = frozenset({200850, 300309})
LOW_SEQUENCE = 300317


def number(error: HermesError) -> int:
    """The platform's number in an error; 0 where it carries none."""
    return int(error.code) if error.code.isdigit() else 0
