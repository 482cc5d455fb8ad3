"""Tokens: how much text a model is given, counted roughly, because every model counts otherwise."""

from __future__ import annotations

from typing import Sequence

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
