"""Blast: the simulated Feishu with users who write as fast as the wire takes it.

``POST /_sim/blast {count, window, chats, kind, seconds}`` pushes ``count`` messages (or ``kind``
``reaction``: events that nobody handles), at most ``window`` of them without an acknowledgement
(0: without regard to acknowledgements), for at most ``seconds``; answers ``{sent, acked, seconds}``.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Iterator  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))

from hermes_green import sim  # noqa: E402
from hermes_green.sim import feishu_events as events, feishu_frames as frames  # noqa: E402
from hermes_green.sim.feishu import FeishuSim  # noqa: E402
from hermes_green.sim.feishu_rest import Message  # noqa: E402
from hermes_green.sim.kit import Answer, Link  # noqa: E402

CHUNK = 32  # frames per write
_N, _C = "0000000000", "oc_0000"


class BlastSim(FeishuSim):
    """Feishu, and ``blast``."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._blasting = False
        self._acked = 0
        self._heard = Event()
        self._pushed = int(time.time()) % 100_000 * 10_000  # ids of this process alone

    def received(self, link: Link, data: str | bytes) -> None:
        if self._blasting and b'"code"' in data:
            self._acked += 1
            self._heard.set()
        else:
            super().received(link, data)

    def control(self, verb: str, args: dict[str, Any]) -> Answer:
        if verb == "blast":
            return Answer(200, self._blast(**args))
        return super().control(verb, args)

    def _blast(
        self, count: int, window: int = 0, chats: int = 50, kind: str = "message", seconds: float = 10.0
    ) -> dict[str, Any]:
        (link,) = self.links
        pushes = self._pushes(chats, kind)
        self._blasting, self._acked = True, 0
        sent, begun, last = 0, time.monotonic(), time.monotonic()
        while sent < count and time.monotonic() - begun < seconds and link.alive:
            if window and sent - self._acked >= window - CHUNK:
                self._heard.clear()
                self._heard.wait(seconds)
                continue
            chunk = min(CHUNK, count - sent)
            with link._lock:
                link._write(b"".join(next(pushes) for _ in range(chunk)))
            sent += chunk
            if time.monotonic() - last > 0.001:
                gevent.sleep(1e-9)
                last = time.monotonic()
        while window and self._acked < sent and time.monotonic() - begun < seconds:
            self._heard.clear()
            self._heard.wait(0.5)
        took = time.monotonic() - begun
        gevent.sleep(0 if window else 0.5)
        self._blasting = False
        return {"sent": sent, "acked": self._acked, "seconds": took}

    def _pushes(self, chats: int, kind: str) -> Iterator[bytes]:
        """WebSocket frames, one an event, made from one of them by putting other numbers in."""
        message_id = f"om_{_N}"
        if kind == "message":
            said = events.Said(message_id, _C, "p2p", f"ou_{_N}", "text", {"text": f"blast {_N}"})
            body = events.message_received(self.app_id, said)
        else:
            body = events.reaction(self.app_id, True, message_id, "bot", "OK")  # its own, which is not for it
        body["header"]["event_id"] = f"ev_{_N}"
        body["header"]["create_time"] = events.millis()
        payload = json.dumps(body, separators=(",", ":")).encode()
        (part,) = frames.parts_of(self.service_id, f"push_{_N}", payload, 1, "0123456789abcdef0000000000000", 1)
        head = b"\x82\x7e" + len(part.data).to_bytes(2, "big")
        template = head + part.data
        while True:
            self._pushed += 1
            number, chat = f"{self._pushed:010d}", f"oc_{self._pushed % chats:04d}"
            if kind == "message":
                self.rest.messages[f"om_{number}"] = Message(f"om_{number}", chat, "text", "{}", False, "", "", "")
            yield template.replace(_N.encode(), number.encode()).replace(_C.encode(), chat.encode())


if __name__ == "__main__":
    sim.PLATFORMS["feishu"] = "tests.bench._blast:BlastSim"
    sys.exit(sim.main("feishu", sys.argv[1:]))
