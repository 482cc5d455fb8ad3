"""Drafts: the bubbles that still grow, kept alive over links for as long as their turn may last."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_green.adapters.wecom import wire
from hermes_green.adapters.wecom.exchange import Exchange
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendError, SendRefused, SendRetry
from hermes_green.core.remembered import Remembered

# Seconds. A stream without a frame for 360 takes no more (846608); a frame with the same text counts.
KEEP_ALIVE = 240.0
# How often to look for one that needs it.
LOOK = 15.0
# A turn that takes longer has lost its bubble; its answer comes as a new one.
KEEP_FOR = 2 * 3600.0
MOST = 1_000


def pace(frames: int) -> float:
    """Seconds to the next frame of a stream that has had so many.

    The platform is said to take about a hundred, which is not published: they last for an hour.
    """
    return 0.0 if frames < 40 else 10.0 if frames < 75 else KEEP_ALIVE


@dataclass(slots=True)
class _Bubble:
    """What one stream shows. Times are monotonic seconds."""

    req_id: str
    opened: float
    content: str = ""
    at: float = 0.0
    frames: int = 0
    closing: bool = False


class Drafts:
    """The streams of one account that are not finished, by stream id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bubbles: Remembered[str, _Bubble] = Remembered(MOST)

    def show(self, link: Exchange, req_id: str, stream_id: str, content: str) -> None:
        """Show the text so far.

        Raises:
            SendError: SendRetry also when it is too early; SendRefused when the bubble takes no more.
        """
        now = self._clock.monotonic()
        bubble = self._bubbles.get(stream_id)
        if bubble is None:
            bubble = _Bubble(req_id, now)
        elif bubble.content == content:
            return
        wait = bubble.at + pace(bubble.frames) - now
        if bubble.frames and wait > 0:
            raise SendRetry("the bubble has had many updates", after=wait)
        self._put(link, stream_id, bubble, content)

    def finish(self, link: Exchange, req_id: str, stream_id: str, content: str) -> None:
        """Show the final text and close the bubble; on every retry the same. Raises SendError."""
        bubble = self._bubbles.get(stream_id)
        if bubble is not None:
            # From now on nothing older may be shown, should the answer to this frame be lost.
            bubble.closing, bubble.content = True, content
        try:
            link.ask(wire.RESPOND, wire.stream(stream_id, content, True), req_id)
        except SendRefused:
            self._bubbles.pop(stream_id, None)
            raise
        finally:
            if bubble is not None:
                bubble.closing = False
        self._bubbles.pop(stream_id, None)

    def refresh(self, link: Exchange) -> None:
        """Repeat what bubbles show that have had no frame for long."""
        for stream_id, bubble in list(self._bubbles.items()):
            now = self._clock.monotonic()
            if now - bubble.opened > KEEP_FOR:
                self._bubbles.pop(stream_id, None)
            elif now - bubble.at >= KEEP_ALIVE and not bubble.closing and not link.busy(bubble.req_id):
                try:
                    self._put(link, stream_id, bubble, bubble.content)
                except SendError:
                    continue  # the next look tries again; a bubble that takes no more is forgotten already

    def _put(self, link: Exchange, stream_id: str, bubble: _Bubble, content: str) -> None:
        try:
            link.ask(wire.RESPOND, wire.stream(stream_id, content, False), bubble.req_id)
        except SendRefused:
            self._bubbles.pop(stream_id, None)
            raise
        bubble.content, bubble.at = content, self._clock.monotonic()
        bubble.frames += 1
        self._bubbles[stream_id] = bubble
