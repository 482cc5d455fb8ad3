"""Progress: what answers that grow show, so that no update goes out that nobody would see a difference by."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.clock import Clock
from hermes_green.core.remembered import Remembered

REMEMBERED = 1_000
# Markdown is walked anew for each update: beyond so many characters it is walked beside the hub, and the pauses
# grow with the text.
QUICK, SLOWER = 4_000, 0.4


class Progress:
    """The drafts of one account, by whatever names them on their platform.

    ``render``: what a text looks like there; pure. ``most``: characters that a draft can show; no more of a text
    is looked at than half as many again. ``beside(compute, *values)`` computes off the hub.
    """

    def __init__(
        self, clock: Clock, render: Callable[[str], str], most: int, beside: Callable[..., Any]
    ) -> None:
        self._clock = clock
        self._render = render
        self._most = most + most // 2
        self._beside = beside
        # draft -> what it shows as far as this process knows, since when (monotonic), and a text that looks so; of
        # texts the hashes alone
        self._shown: Remembered[str, tuple[int, float, int]] = Remembered(REMEMBERED)

    def next(self, draft: str, text: str) -> str:
        """What the draft is to show for the text so far, or "" where there is nothing to be done: the text is
        blank, what can be shown of it stands there already (the rest waits for the end), or the last update is
        too young for a text so long."""
        text = text[: self._most]
        shown, at, seen = self._shown.get(draft, (hash(""), 0.0, 0))
        pause = SLOWER * max(0, len(text) - QUICK) / 1000
        if not text.strip() or seen == hash(text) or self._clock.monotonic() - at < pause:
            return ""
        now: str = self._render(text) if len(text) <= QUICK else self._beside(self._render, text)
        if hash(now) == shown:
            self._shown[draft] = (shown, at, hash(text))
            return ""
        return now

    def shown(self, draft: str, content: str) -> None:
        """The draft shows this now."""
        self._shown[draft] = (hash(content), self._clock.monotonic(), 0)
