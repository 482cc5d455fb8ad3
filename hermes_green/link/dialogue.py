"""Dialogue: the life of one link, from the dial to its end; a platform says what its frames mean."""

from __future__ import annotations

from typing import Any, Callable, Mapping, cast

import gevent
from gevent.event import Event

from hermes_green.core.errors import BadFrame, LinkLost, Throttled
from hermes_green.core.model import Inbound
from hermes_green.core.options import PlatformOptions
from hermes_green.core.ports import Ack, Context, Json, Kept, Port
from hermes_green.link.dial import DialOptions
from hermes_green.link.http import retry_after
from hermes_green.link.said import LONGEST_WAIT
from hermes_green.link.websocket import Close, Heartbeat, UpgradeRefused, WebSocket, dial

CLEAN = (None, 1000, 1001)


class Dialogue:
    """One link. ``live`` is its whole life; ``leave`` ends it from outside, at any time.

    A platform's own begins in ``_begin`` and takes each message in ``_on_frame``; ``_dial``, ``_end`` and
    ``_judge`` may be its own as well. ``interval`` and ``timeout`` are the heartbeat's seconds where the
    operator set none. ``closes_with``: the code of our close frame; ``waits``: seconds until the next dial
    where a refusal asks to wait and does not say how long.
    """

    closes_with = 1000
    waits = 30.0

    def __init__(
        self, port: Port, ctx: Context, options: PlatformOptions, interval: float = 30.0, timeout: float = 20.0
    ) -> None:
        self._port = port
        self._ctx = ctx
        self._interval = options.ping_interval or interval
        self._timeout = options.ping_timeout or timeout
        self._dialling = DialOptions(ca_file=options.ca_file, proxy=options.proxy)
        self._ws: WebSocket | None = None
        self._heart: Heartbeat | None = None
        self._ready = False
        self._done = False  # whoever sets it wants no frame after this one
        self._left = Event()
        self._guard: gevent.Greenlet | None = None
        self._greenlets: list[gevent.Greenlet] = []

    def live(self, address: Any) -> None:
        """Dial, pump until the link ends; returns on a planned or clean end.

        Raises:
            LinkError, ConfError: why it ended.
        """
        if self._left.is_set():
            return
        ws = self._ws = self._dial(address)
        try:
            if self._left.is_set():
                return
            self._begin(ws)
            for raw in ws.frames():
                self._on_frame(raw)
                if self._done:
                    return
        finally:
            self._end()
            ws.close(self.closes_with)
        if not self._left.is_set():
            self._judge(ws.closed)

    def again(self, raw: str | bytes) -> None:
        """Take in a frame of a link that is gone: nobody is there to be answered."""
        self._on_frame(raw)

    def leave(self) -> None:
        """Close the link politely; what is not open yet will not be."""
        self._left.set()
        if self._ws is not None:
            self._ws.close(self.closes_with)

    # --- what a platform may say otherwise -------------------------------------------------------

    def _dial(self, address: Any) -> WebSocket:
        """The open link."""
        try:
            return dial(address, self._dialling)
        except UpgradeRefused as refused:
            if refused.status != 429:
                raise
            asked = retry_after({"Retry-After": refused.headers.get("retry-after", "")})
            after = min(self.waits if asked is None else asked, LONGEST_WAIT)
            raise Throttled("the platform asks to wait before the next dial", after=after, code="429") from refused

    def _begin(self, ws: WebSocket) -> None:
        """The link is open: say what must be said first, and beat."""

    def _on_frame(self, raw: str | bytes) -> None:
        """One message of the platform's."""

    def _end(self) -> None:
        """The link is over, or was never begun."""
        gevent.killall(self._greenlets, block=False)
        if self._heart is not None:
            self._heart.stop()

    def _judge(self, close: Close | None) -> None:
        """The platform has closed the link. Raises LinkLost unless that is a clean end."""
        code, reason = (close.code, close.reason) if close is not None else (None, "")
        if not self._ready or code not in CLEAN:
            when = "" if self._ready else " before it was ready"
            raise LinkLost(f"the platform closed the link{when} (close code {code}) {reason}".rstrip(), status=code)

    # --- what all of them do ---------------------------------------------------------------------

    def _beating(
        self, ws: WebSocket, send: Callable[[], None], interval: float | None = None, **more: Any
    ) -> Heartbeat:
        """The link's heartbeat, not yet begun; ``more`` as in ``Heartbeat``."""
        self._heart = Heartbeat(
            ws,
            send,
            interval=self._interval if interval is None else interval,
            timeout=self._timeout,
            count=cast(Callable[[str], None], self._port.heartbeat),
            name=f"heartbeat-{self._ctx.child}",
            **more,
        )
        return self._heart

    def _say(self, data: str | bytes) -> None:
        """Send a frame; of a link that is gone nobody is there to hear it. Raises LinkLost."""
        if self._ws is not None:
            self._ws.send(data)

    def _answered(self) -> None:
        """The platform has answered a beat."""
        if self._heart is not None:
            self._heart.answered()
        self._port.beat()

    def _heard(self) -> None:
        """The platform itself has said something."""
        if self._heart is not None:
            self._heart.heard()
        self._port.beat()

    def _hand_in(
        self,
        raw: str | bytes,
        read: Callable[[], Inbound | None],
        ack: Ack | None,
        memo: Callable[[Inbound], Mapping[str, Json]] = lambda inbound: {},
    ) -> None:
        """What a frame says: kept where it cannot be read, answered at once where there is nothing to commit
        (an answer still stops the platform from sending it again), else answered once it is committed. Where the
        platform sends nothing again the frame is kept until then."""
        kept = self._port.keep(raw)
        if kept is None:
            self._offer(raw, read, ack, memo)
            return
        try:
            self._offer(raw, read, _after(kept, ack), memo)
        except BaseException:
            kept.leave()
            raise

    def _offer(
        self,
        raw: str | bytes,
        read: Callable[[], Inbound | None],
        ack: Ack | None,
        memo: Callable[[Inbound], Mapping[str, Json]],
    ) -> None:
        try:
            inbound = read()
        except BadFrame as error:
            self._port.quarantine(raw, error, ack)
            return
        if inbound is not None:
            if inbound.strange:
                self._keep_strange(raw, f"a message of the unknown kind {inbound.strange[:40]!r}")
            self._port.accept(inbound, ack, memo(inbound) or None)
        elif ack is not None:
            ack(False)

    def _keep_strange(self, raw: str | bytes, what: str) -> None:
        """Keep a frame that says what nobody here knows yet, and count it."""
        self._ctx.count("frames", "unknown")
        self._port.quarantine(raw, BadFrame(what))

    def _later(self, what: str, seconds: float, call: Callable[..., Any], *values: Any) -> gevent.Greenlet:
        """Call in so many seconds, unless the link is over by then; ``what`` names the greenlet."""
        greenlet = gevent.spawn_later(seconds, call, *values)
        greenlet.name = f"{what}-{self._ctx.child}"
        self._greenlets.append(greenlet)
        return greenlet

    def _ready_within(self, ws: WebSocket, seconds: float, what: str) -> None:
        """Cut the link unless it is ready by then; ``what`` has not come."""
        late = LinkLost(f"no {what} within {seconds:g} s of the dial", code="not_ready")
        self._guard = self._later("ready", seconds, ws.abort, late)

    def _now_ready(self, who: str, link: Any = None) -> None:
        """The platform has answered: the link works. Told to the runtime once."""
        if self._guard is not None:
            self._guard.kill(block=False)
        if not self._ready:
            self._ready = True
            self._port.ready(who, link or self._ws, proof_within=self._interval + self._timeout)


def _after(kept: Kept, ack: Ack | None) -> Ack:
    """``ack``, once the frame need not be kept any more."""

    def done(taken: bool) -> None:
        kept.done()
        if ack is not None:
            ack(taken)

    return done
