"""Remote: the running gateway as another process of the same machine finds it and talks to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import quote, urlsplit

from hermes_green.ops.lock import data_lock_path, holds, owner, state_dir
from hermes_green.ops.places import published_path
from hermes_green.ops.whereabouts import found
from hermes_green.settings.schema import Outline

SILENCE = 2.0
ANSWER = 30.0
POLL = 0.1


class NotRunning(Exception):
    """Nobody holds the data directory's lock."""


class Silent(Exception):
    """The lock is held, and its holder does not answer. ``pid`` is 0 when it has not said its own."""

    def __init__(self, text: str, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said; ``body`` is the JSON value, or None where there was none."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def error(self) -> str:
        """The gateway's own words for why not."""
        if isinstance(self.body, Mapping):
            error = self.body.get("error")
            if isinstance(error, Mapping) and error.get("text"):
                field = f"{error['field']}: " if error.get("field") else ""
                return f"{field}{error['text']}"
        return f"the gateway answered {self.status}"


class Remote:
    """The gateway of a configuration: that which owns its data directory, or which runs elsewhere because
    ``data_dir`` was changed since.

    Running means that the flock on the directory is held and that its holder's pid is the one in
    gateway.json; a pid alone proves nothing, because pids are used again.
    """

    def __init__(self, outline: Outline) -> None:
        self._outline = outline

    def pid(self) -> int:
        """The holder of the lock; 0 while it has not written its pid. Raises NotRunning."""
        holder = owner(data_lock_path(self._data_dir()))
        if holder is None:
            raise NotRunning
        return holder.pid

    def _data_dir(self) -> Path:
        return found(self._outline.conf_dir, self._outline.data_dir, state_dir())

    def get(self, path: str) -> Answer:
        """Raises NotRunning, Silent."""
        return self._ask("GET", path, None, {}, SILENCE)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Raises NotRunning, Silent."""
        return self._ask("POST", path, {} if body is None else body, headers or {}, ANSWER)

    def stop(self, timeout: float) -> None:
        """Ask it to stop and wait until its lock is free. Nothing happens when none runs.

        Raises:
            Silent: it is still there after ``timeout`` seconds.
        """
        try:
            pid = self.pid()
            self._ask_to_stop(pid)
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                if self.pid() not in (pid, 0):
                    return  # another one has taken its place
                time.sleep(POLL)
        except NotRunning:
            return
        raise Silent(f"the gateway (pid {pid}) has not stopped within {timeout:g} s", pid)

    def _ask_to_stop(self, pid: int) -> None:
        try:
            if self._ask("POST", "/api/stop", {}, {}, SILENCE).ok:
                return
        except Silent:
            pass
        # It may be starting, or too busy to answer; it holds the lock, so the pid is certainly its own, unless it is
        # another container's.
        if pid and holds(data_lock_path(self._data_dir()), pid):
            os.kill(pid, signal.SIGTERM)

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: float) -> Answer:
        host, port, pid = self._address()
        sent = {"Accept": "application/json", **headers}
        if self._outline.http.token:
            sent["Authorization"] = f"Bearer {self._outline.http.token.reveal()}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(host, port, timeout=SILENCE)
        try:
            connection.connect()
            connection.sock.settimeout(timeout)
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.pid()  # gone in the meantime: say that instead
            cause = "no answer in time" if isinstance(error, (socket.timeout, TimeoutError)) else str(error)
            raise Silent(f"the gateway (pid {pid}) is not answering: {cause}", pid) from None
        finally:
            connection.close()
        try:
            return Answer(response.status, json.loads(text) if text else None)
        except ValueError:
            return Answer(response.status, None)

    def _address(self) -> tuple[str, int, int]:
        """Host, port and pid out of gateway.json, once it is the lock holder's; waits 2 s for that."""
        deadline = time.monotonic() + SILENCE
        while True:
            pid = self.pid()
            published = self._published()
            if published and published[2] == pid:
                return published
            if time.monotonic() >= deadline:
                whose = f" (pid {pid})" if pid else ""
                raise Silent(f"the gateway{whose} is not answering: it holds the lock and has no address yet", pid)
            time.sleep(POLL)

    def _published(self) -> tuple[str, int, int] | None:
        try:
            said = json.loads(published_path(self._data_dir()).read_text("utf-8"))
            parts = urlsplit(said["http"])
            if not parts.hostname or not parts.port:
                return None
            return parts.hostname, parts.port, int(said["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def quoted(segment: str) -> str:
    """A child's, a row's or a session's id as one part of a path."""
    return quote(segment, safe="")
