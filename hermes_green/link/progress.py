"""Progress: what answers that grow show, so that no update goes out that nobody would see a difference by."""

from __future__ import annotations

from typing import Callable

from hermes_green.core.clock import Clock
from hermes_green.core.remembered import Remembered

REMEMBERED = 1_000
# Markdown is walked anew for each update: beyond so many characters, the pauses grow with the text.
QUICK, SLOWER = 4_000, 0.4


class Progress:
    """The drafts of one account, by whatever names them on their platform."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # draft -> what it shows as far as this process knows, and since when (monotonic)
        self._shown: Remembered[str, tuple[str, float]] = Remembered(REMEMBERED)

    def next(self, draft: str, text: str, render: Callable[[str], str]) -> str:
        """What the draft is to show for the text so far, or "" where there is nothing to be done: the text is
        blank, what can be shown of it stands there already (the rest waits for the end), or the last update is
        too young for a text so long."""
        content, at = self._shown.get(draft, ("", 0.0))
        pause = SLOWER * max(0, len(text) - QUICK) / 1000
        if not text.strip() or self._clock.monotonic() - at < pause:
            return ""
        now = render(text)
        return now if now != content else ""

    def shown(self, draft: str, content: str) -> None:
        """The draft shows this now."""
        self._shown[draft] = (content, self._clock.monotonic())
