"""Tried: what a platform said when a bot's credentials were tried without a dial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tried:
    """``who``: the bot's name there, "" where nobody was asked. ``lacking``: sentences about what the bot
    still needs, each with where to get it. ``notes``: sentences that are good to know."""

    who: str = ""
    lacking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
