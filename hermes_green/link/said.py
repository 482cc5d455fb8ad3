"""Refusals: what an answer to a send means whose code no table lists."""

from __future__ import annotations

from hermes_green.core.errors import SendError, SendRefused, SendRetry, SendUnknown


def unlisted(said: object, status: int, code: int | str | None, wait: float | None) -> SendError:
    """The error for it. ``said``: the answer in words; ``code``: the platform's own, None where the answer
    was not of its shape; ``wait``: seconds that it asks for."""
    name = str(code or status)
    if status == 429:
        return SendRetry(f"sending too fast ({said})", after=wait or 1.0, scope="account", code=name)
    if status >= 500 or status == 408:
        return SendUnknown(f"the platform failed ({said})", code=name)
    if code:
        return SendRefused(f"the platform refused the message ({said})", code=name)
    if status < 300:
        return SendUnknown("the platform's answer could not be read", code="bad_answer")
    # No answer of the platform's own shape: something on the way refused, and may not do so for ever.
    return SendRetry(f"the request did not reach the platform ({said})", after=5.0, scope="account", code=name)
