"""Asks a gateway how it is, ten times a second, and writes down how long each answer took; a process of its own.

``python -m tests.support.asker URL``: a line of JSON for each answer, times in milliseconds. ``late`` is how much
longer than asked this process itself had slept before: what an answer's time may owe to a busy machine. Ends with
a line of status 0 where no answer comes, as when the gateway has ended.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent.subprocess

from tests.support.stage import ROOT, clean_env

PAUSE = 0.1


class Asker:
    """The process; ``since`` tells its lines after a wall time."""

    def __init__(self, url: str, file: Path) -> None:
        self._file = file
        argv, nothing = [sys.executable, "-m", "tests.support.asker", url], subprocess.DEVNULL
        with file.open("wb") as out:
            self._process = gevent.subprocess.Popen(argv, stdout=out, stdin=nothing, cwd=ROOT, env=clean_env())

    def since(self, wall: float) -> list[dict[str, Any]]:
        """What came after ``wall``; the last line may be half written."""
        lines = [json.loads(line) for line in self._file.read_text().rpartition("\n")[0].splitlines()]
        return [line for line in lines if line["at"] >= wall]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main(url: str) -> None:
    """Ask until nobody answers."""
    host = urlsplit(url)
    status = 200
    while status:
        slept = time.monotonic()
        time.sleep(PAUSE)
        began = time.monotonic()
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            status, hub = answer.status, json.loads(answer.read())["hub_lag_ms"]
        except (OSError, http.client.HTTPException):
            status, hub = 0, 0.0
        took = time.monotonic() - began
        connection.close()
        line = {"at": time.time(), "status": status, "ms": took * 1000, "hub": hub}
        print(json.dumps({**line, "late": (began - slept - PAUSE) * 1000}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
