"""Watching a link from a test: how its frames end."""

from __future__ import annotations

import gevent
import pytest

from hermes_green.core.errors import LinkLost
from hermes_green.link.websocket import WebSocket


def loss(ws: WebSocket) -> LinkLost:
    """How the frames end."""
    with gevent.Timeout(60), pytest.raises(LinkLost) as caught:
        for _ in ws.frames():
            pass
    assert "s3cret" not in str(caught.value)
    return caught.value


class Reader:
    """Iterates a link's frames in a greenlet of its own."""

    def __init__(self, ws: WebSocket) -> None:
        self.got: list[str | bytes] = []
        self.error: Exception | None = None
        self._ws = ws
        self._job = gevent.spawn(self._read)
        gevent.sleep(0)

    def _read(self) -> None:
        try:
            for each in self._ws.frames():
                self.got.append(each)
        except LinkLost as error:
            self.error = error

    def until_end(self, timeout: float = 60.0) -> Exception | None:
        self._job.join(timeout)
        assert self._job.dead, "frames() has not ended"
        return self.error
