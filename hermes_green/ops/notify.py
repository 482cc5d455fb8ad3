"""Notifier: tells systemd how we are, over its datagram socket; silent where there is none.

Source of the protocol: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
import time
from typing import Mapping


class Notifier:
    """One per process. A datagram that cannot be sent is dropped: it must never hold up the sender."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._stopping = False
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self.watchdog_interval = _watchdog(env) if self._socket else None

    def ready(self, status: str = "") -> None:
        """We are serving."""
        self._send("READY=1", status)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``, until ``stopping`` has said the last."""
        if not self._stopping:
            self._send("", text)

    def watchdog(self) -> None:
        """We are alive; due at least every ``watchdog_interval`` seconds (None: nobody waits)."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """We have begun to stop."""
        self._stopping = True
        self._send("STOPPING=1", status)

    def extend(self, seconds: float) -> None:
        """Grant us ``seconds`` more before the start or stop counts as hung."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Free the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: str, status: str = "") -> None:
        if self._socket is None:
            return
        if status:
            lines = f"{lines}\nSTATUS={' '.join(status.split())}".lstrip("\n")
        try:
            self._socket.sendto(lines.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError:
            pass


def _watchdog(env: Mapping[str, str]) -> float | None:
    """Half of what systemd grants, in seconds; None when the variable is absent or for another process."""
    pid, micros = env.get("WATCHDOG_PID", ""), env.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or int(micros) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000
