"""Tokens: how much a model is given, counted roughly, because every model counts otherwise; and what it took."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from hermes_green.core.model import Message

ASCII_PER_TOKEN = 4


def approximate(text: str) -> int:
    """About how many tokens a text is: four ASCII characters are one, any other character is one."""
    plain = len(text) if text.isascii() else sum(map(str.isascii, text))
    return len(text) - plain + -(-plain // ASCII_PER_TOKEN)


def within(history: Sequence[Message], tokens: int) -> Sequence[Message]:
    """The newest exchanges that have room in so many tokens, whole and in order; 0: all of them."""
    if not tokens:
        return history
    start = len(history)
    left = tokens
    for place in range(len(history) - 1, -1, -1):
        left -= approximate(history[place].text)
        if left < 0:
            break
        if history[place].role == "user":
            start = place
    return history[start:]


def tokens_of(usage: Mapping[str, Any] | None) -> int:
    """All tokens of a call, by whichever names the agent reports them."""
    if not usage:
        return 0
    names = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    return _count(usage.get("total_tokens")) or sum(_count(usage.get(name)) for name in names)


def _count(value: Any) -> int:
    return max(0, value) if isinstance(value, int) else 0
