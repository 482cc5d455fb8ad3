"""Stream: the bytes of one link, read fairly, written with a deadline, and cut at once when told."""

from __future__ import annotations

import socket
import ssl
import time

import gevent
from gevent.lock import RLock

from hermes_green.link.fair import Fair

_CHUNK = 64 * 1024


class TooBig(Exception):
    """The peer sent more than was allowed for one item."""


class NotTaken(OSError):
    """The peer took no data until the deadline."""


class Stream:
    """A socket as websocket-client wants one: ``recv``, ``send``, ``gettimeout``, ``close``.

    recv never over-reads for its caller: what is not asked for stays here, so nothing that came
    along with a handshake's answer is lost. Who takes items out of it calls ``breathe`` for each.
    """

    def __init__(self, sock: socket.socket, write: float) -> None:
        self._sock = sock
        self._deadline = write
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._fair = Fair()
        self.breathe = self._fair.breathe
        self._writing = RLock()
        self._cut = False
        self._broken = False

    def allow(self, size: int) -> None:
        """The next item may have ``size`` bytes; ``recv`` raises TooBig beyond that."""
        self._left = size

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, b"" at the end. Raises OSError, TooBig."""
        if self._cut:
            raise OSError("the connection was cut")
        at = self._at
        data = self._buffer[at : at + size]
        if not data:
            self._buffer = self._fill()
            data = self._buffer[:size]
            at = 0
        self._at = at + len(data)
        self._left -= len(data)
        if self._left < 0:
            raise TooBig
        return data

    def _fill(self) -> bytes:
        self.breathe()
        before = time.monotonic()
        data = self._sock.recv(_CHUNK)
        self._fair.rested(before)
        return data

    def send(self, data: bytes) -> int:
        """Write all of ``data``; greenlets take turns.

        A write cut short (late, or its greenlet killed) cuts the connection, for half a frame may be
        out. A write that the kernel refuses does not: what the peer sent before, perhaps the
        reason in a close frame, can still be read.

        Raises:
            NotTaken: not within the deadline, waiting for the turn included.
            OSError: the connection is gone.
        """
        timer = gevent.Timeout(self._deadline)
        timer.start()
        try:
            with self._writing:
                self._write(data)
        except gevent.Timeout as late:
            if late is not timer:
                raise
            self.cut()
            raise NotTaken(f"the peer took no data for {self._deadline:g} s") from None
        finally:
            timer.close()
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._cut or self._broken:
            raise OSError("the connection is closed")
        whole = False
        try:
            self._sock.sendall(data)
            whole = True
        except ssl.SSLError:
            raise
        except OSError:
            self._broken = whole = True
            raise
        finally:
            if not whole:
                self.cut()

    def gettimeout(self) -> float | None:
        """None: a read waits; what ends it is ``cut``."""
        return None

    def cut(self) -> None:
        """Shut the connection down in the kernel: reads and writes under way in other greenlets end
        at once. (Closing alone would leave them blocked. The TLS layer's own shutdown would drop
        its state under the reader.)"""
        self._cut = True
        try:
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            pass  # not connected any more

    def close(self) -> None:
        """Cut and free the descriptor."""
        self.cut()
        self._sock.close()
