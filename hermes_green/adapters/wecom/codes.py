"""What WeCom's numbers mean, read from ``codes.txt``; and which of them ask for more than their policy.

Sources: developer.work.weixin.qq.com/document/path/101463, field reports on 846605 to 846609 and 45009
(WecomTeam/wecom-openclaw-plugin), the platform's global error codes for -1.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import table_of

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP, SUBSCRIBING = TABLE.sections["codes"], TABLE.help, TABLE.sections["subscribing"]
TAKEN = TABLE.remedies["taken"]

NOT_SUBSCRIBED = 846609
# This way of answering is over, and another one may be open: the callback's req_id is not known (any
# more); the stream was not refreshed for six minutes.
STALE_REQUEST, STALE_STREAM = "846605", "846608"
