"""What the platform's error codes mean, read from ``codes.txt``; and which of them ask for more than their policy.

The new API answers refusals with HTTP 4xx and a word for a code, the old one (session webhooks and
uploads) with HTTP 200 and a number. Sources: open.dingtalk.com "Error codes", "Custom robots",
"Call limits"; the words of refused credentials as public reports quote them.
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import Code, table_of

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP = TABLE.sections["codes"], TABLE.help
KEYS = TABLE.remedies["keys"]

# A refused token is answered with HTTP 401, or by the old API with one of these numbers.
STALE_TOKEN: frozenset[int | str] = frozenset({"InvalidAuthentication", 40014, 42001})
# All codes that begin so say that the app calls too often; the rest of the word says which limit it was.
QPS = "Forbidden.AccessDenied.Qps"
# The page that stands in front of the API when an address is blocked has this in ``status``.
PUNISHED = 1111
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
