"""Streams: server-sent events, one open answer per listener, bounded and ended with the server."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterable, Mapping

import gevent
from gevent.queue import Empty, Full, Queue

from hermes_green.core.clock import rfc3339
from hermes_green.web.exchange import Problem
from hermes_green.web.facade import Event, Feed, Subscription

KEEPALIVE = 15.0  # seconds; a listener that is gone is found out by then
BOUND = 256
MAX_STREAMS = 100
HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


def event(data: Any, *, name: str = "", id: str = "") -> bytes:
    """One event as it stands on the wire."""
    head = (f"id: {_flat(id)}\n" if id else "") + (f"event: {_flat(name)}\n" if name else "")
    return f"{head}data: {json.dumps(data, ensure_ascii=False, default=str)}\n\n".encode("utf-8", "replace")


def gateway_event(happened: Event) -> bytes:
    """Something that happened in the gateway: event ``gateway``, data ``{name, at, data}``."""
    data = {"name": happened.name, "at": rfc3339(happened.at), "data": dict(happened.data)}
    return event(data, name="gateway")


def chat_line(line: Mapping[str, Any]) -> bytes:
    """A line of a chat: an answer is a plain message, what the user said is event ``sent``."""
    name = "sent" if line["role"] == "user" else ""
    return event({**line, "at": rfc3339(line["at"])}, name=name, id=str(line["id"]))


class Stream:
    """One listener: the body of its answer. A greenlet per source fills a bounded queue; the server's
    greenlet empties it."""

    def __init__(self, streams: Streams, first: Iterable[bytes]) -> None:
        self._streams = streams
        self._queue: Queue[bytes | None] = Queue(BOUND)
        self._first = [b"retry: 1000\n: welcome\n\n", *first]
        self._sources: list[Feed | Subscription] = []
        self._pumps: list[gevent.Greenlet] = []
        self._over = False

    def pump(self, source: Feed | Subscription, render: Callable[[Any], bytes | None]) -> None:
        """Add a source; ``render`` makes bytes of its items, or None to leave one out."""
        self._sources.append(source)
        greenlet = gevent.spawn(self._pump, source, render)
        greenlet.name = "events-pump"
        self._pumps.append(greenlet)

    def end(self) -> None:
        """Let the answer end."""
        self._over = True
        try:
            self._queue.put_nowait(None)
        except Full:
            pass  # the reader sees ``_over`` after its next item

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        if self._first:
            return self._first.pop(0)
        if self._over:
            raise StopIteration
        try:
            item = self._queue.get(timeout=KEEPALIVE)
        except Empty:
            return b": still here\n\n"
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Called by the server when the answer is over, however it ended."""
        self._streams.forget(self)
        gevent.killall(self._pumps, block=False)
        for source in self._sources:
            source.close()

    def _pump(self, source: Feed | Subscription, render: Callable[[Any], bytes | None]) -> None:
        while not self._over:
            item = source.get(KEEPALIVE)
            data = render(item) if item is not None else None
            if data is not None:
                self._queue.put(data)
            if getattr(source, "lagging", False):
                # Lines were lost: the listener comes again and reads the transcript.
                self.end()


class Streams:
    """All open streams of the server."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._closed = False

    def open(self, first: Iterable[bytes] = ()) -> Stream:
        """A new stream, which begins with ``first``.

        Raises:
            Problem: 503, too many are open or the server is stopping.
        """
        if self._closed or len(self._open) >= MAX_STREAMS:
            raise Problem(503, "too_many_streams", f"no more than {MAX_STREAMS} listeners at a time: close other pages")
        stream = Stream(self, first)
        self._open.add(stream)
        return stream

    def forget(self, stream: Stream) -> None:
        """The stream's answer is over."""
        self._open.discard(stream)

    def close(self) -> None:
        """End all streams and open no more."""
        self._closed = True
        for stream in tuple(self._open):
            stream.end()


def _flat(text: str) -> str:
    return " ".join(text.split())
