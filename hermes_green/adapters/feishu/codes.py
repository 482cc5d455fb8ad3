"""What the platform's error numbers mean, read from ``codes.txt``; and which of them ask for more than their policy.

Numbers: lark-oapi 1.7.5 ``ws/const.py`` (endpoint and handshake), open.feishu.cn "Error codes" and the
pages of the calls used here; which of them both SDKs retry is in their sources.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import table_of
from hermes_green.core.errors import SendRefused, TextRefused


class BadContent(TextRefused):
    """It was refused as rich text, perhaps; plain text has no shape that could be wrong."""


class LostAnchor(SendRefused):
    """The message that a reply names is gone or too old: the same text is sent as a message of its own."""


class NotGrowing(SendRefused):
    """A card grows for ten minutes; then it says once that this is over, and later that it is not growing."""


class LowSequence(SendRefused):
    """The card has had a change with a higher number."""


_TEXT = Path(__file__).with_name("codes.txt").read_text("utf-8")
TABLE = table_of(_TEXT, BadContent, LostAnchor, NotGrowing, LowSequence)
CODES, HELP = TABLE.sections["codes"], TABLE.help
ALLOW = TABLE.remedies["allow"]

# An answer that says the token is stale; a fresh one and a second try cure it.
STALE_TOKEN = frozenset({99991661, 99991663, 99991664, 99991665, 99991668})
