"""What the first screen of the README promises: a clone, one command, a page that answers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

import gevent
import gevent.subprocess
import pytest

from tests.support.pulse import Pulse
from tests.support.stage import PATIENCE, ROOT, http, until

# What would lead a new user's first start elsewhere: another Python path, another gateway's places.
FOREIGN = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NOTIFY_SOCKET"}
READY = re.compile(r"^hermes-green ready (http://\S+) pid=(\d+)$")
FIRST_START = 300.0  # seconds; installs everything, from wherever pip gets it
SECOND_START = 15.0  # about one, on a machine that does nothing else; what this one is late by comes on top


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The last commit, as `git clone` gives it to somebody else."""
    home = tmp_path_factory.mktemp("new-user")
    for name in ("home", "state"):
        (home / name).mkdir()
    place = home / "hermes green"  # a space in the path is nothing special
    git = ["git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(place)]
    done = subprocess.run(git, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if not _is_free(8787):
        # Somebody on this machine runs a gateway already.
        (place / "conf" / "gateway.local.yaml").write_text("http: {port: 0}\n")
    yield place
    shutil.rmtree(place / ".venv", ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _environment(home: Path) -> dict[str, str]:
    """An empty HOME; of the old one only where pip looks for packages, and what it has of them."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and not name.startswith(("HERMES_GREEN_", "XDG_"))
    }
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pip"
    env.setdefault("PIP_CACHE_DIR", str(cache))
    for file in (Path.home() / ".config" / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf"):
        if file.is_file():
            env.setdefault("PIP_CONFIG_FILE", str(file))
    return {**env, "HOME": str(home / "home"), "HERMES_GREEN_STATE_DIR": str(home / "state")}


class Started:
    """One run of the shipped script, up to the line that says it serves; ends with its test."""

    def __init__(self, clone: Path, within: float) -> None:
        began = time.time()
        self.errors = clone.parent / "stderr.log"
        with self.errors.open("wb") as log:
            self.popen = gevent.subprocess.Popen(
                [str(clone / "scripts" / "run_gateway.sh")],
                cwd=clone.parent,
                env=_environment(clone.parent),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        with Pulse() as pulse, gevent.Timeout(within, AssertionError(f"no ready line within {within:g} s")):
            line = self.popen.stdout.readline().decode().rstrip("\n")
            self.seconds = time.time() - began - pulse.late(began)
        match = READY.match(line)
        assert match, f"the first line is {line!r}: {self.said()}"
        self.url, self.pid = match[1], int(match[2])

    def said(self) -> str:
        return self.errors.read_text(errors="replace")

    def until_ready(self) -> None:
        until(lambda: http("GET", f"{self.url}/readyz")[0] == 200, what="/readyz to be 200")

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


def _answers(url: str, chat: str) -> list[str]:
    status, said = http("GET", f"{url}/api/chat?chat={chat}")
    assert status == 200, said
    return [line["text"] for line in said["lines"] if line["role"] == "assistant"]


def test_a_clone_and_one_command_are_a_gateway_that_answers(clone: Path) -> None:
    with Started(clone, FIRST_START) as first:
        print(f"first start: {first.seconds:.1f} s")
        first.until_ready()
        assert b"<title>hermes-green</title>" in http("GET", first.url)[1].encode()
        status, taken = http("POST", f"{first.url}/api/chat", {"text": "good morning", "chat": "new"})
        assert status == 202, taken
        until(lambda: _answers(first.url, "new") == ["good morning"], what="the echo")
        # The script gave its place to the gateway: a signal to one is a signal to the other.
        assert first.pid == first.popen.pid
        first.popen.send_signal(signal.SIGTERM)
        assert first.popen.wait(timeout=PATIENCE) == 0

    stamp = (clone / ".venv" / ".installed-run").stat().st_mtime_ns
    with Started(clone, FIRST_START) as second:
        print(f"second start: {second.seconds:.1f} s")
        assert second.seconds < SECOND_START
        assert "install" not in second.said() and (clone / ".venv" / ".installed-run").stat().st_mtime_ns == stamp
        second.until_ready()
        assert _answers(second.url, "new") == ["good morning"], "the conversation is still there"
        second.popen.send_signal(signal.SIGTERM)
        assert second.popen.wait(timeout=PATIENCE) == 0

    git = ["git", "-c", "safe.directory=*", "-C", str(clone), "status", "--porcelain"]
    dirty = subprocess.run(git, capture_output=True, text=True, timeout=120)
    assert dirty.stdout == "", "running leaves nothing that git would want to commit"
    assert not list((clone.parent / "home").rglob("*hermes*")), "nothing is written into HOME"
