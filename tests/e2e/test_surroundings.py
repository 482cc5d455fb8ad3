"""Where a gateway is started from, and by whom: odd names and a parent's leftovers change nothing for its users."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.stage import PATIENCE, Stage, clean_env, until

ME = [sys.executable, "-m", "hermes_green"]
BLOCKED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
AGENT = """
def answer(turn):
    return "told: " + turn.text
"""


def answers(stage: Stage, gateway: object) -> list[str]:
    """Of the page's chat."""
    lines = gateway.get("/api/chat")[1]["lines"]  # type: ignore[attr-defined]
    return [line["text"] for line in lines if line["role"] == "assistant"]


def test_a_directory_whose_name_is_no_text_serves_as_any_other(tmp_path: Path) -> None:
    """Such as one that was named in another encoding than the system has now."""
    stage = Stage(tmp_path / os.fsdecode(b"caf\xe9"))
    (stage.home / "mine.py").write_text(AGENT)
    stage.write("gateway", {"http": {"port": 0}, "agent": {"type": "python", "target": "mine:answer"}})
    try:
        gateway = stage.gateway()
        gateway.post("/api/chat", {"text": "hello"})
        until(lambda: answers(stage, gateway) == ["told: hello"], what="an answer")
        env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
        for words in (["check"], ["status", "--json"], ["sessions", "list"], ["reload"], ["stop"]):
            done = subprocess.run([*ME, *words, "--conf", stage.conf], env=env, capture_output=True, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
        assert gateway.popen.wait(timeout=PATIENCE) == 0 and "Traceback" not in gateway.tail()
        offline = subprocess.run([*ME, "sessions", "list", "--conf", stage.conf], env=env, timeout=PATIENCE)
        assert offline.returncode == 0
    finally:
        stage.close()


def test_signals_that_a_parent_has_blocked_are_heard(stage: Stage) -> None:
    command = [sys.executable, "-c", BLOCKED, "-m", "hermes_green", "run", "--conf", str(stage.conf)]
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and b"ready" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
