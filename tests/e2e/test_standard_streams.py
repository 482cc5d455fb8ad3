"""Whatever standard output and input are: a gateway lives without them, and commands end in a sentence."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.support.stage import PATIENCE, Stage, clean_env, until

ME = f"{sys.executable} -m hermes_green"


def shell(stage: Stage, line: str, **env: str) -> subprocess.Popen[bytes]:
    """``line`` by a shell, beside conf/."""
    environment = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state), **env}
    return subprocess.Popen(
        ["/bin/bash", "-c", line], cwd=stage.home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def done(stage: Stage, line: str, **env: str) -> tuple[int, str, str]:
    process = shell(stage, line, **env)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


@pytest.mark.parametrize("streams", [">&-", "<&- >&- 2>&-", "> >(exit 0)", "> /dev/full"])
def test_a_gateway_lives_though_nobody_takes_the_line_that_tells_its_address(stage: Stage, streams: str) -> None:
    process = shell(stage, f"exec {ME} run {streams}")
    try:
        until((stage.home / "var" / "gateway.json").exists, what="serving")
        until(lambda: done(stage, f"{ME} status")[0] == 0, what="READY")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 and b"Traceback" not in err and b"Exception ignored" not in err, err
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("words", ["status", "status --json", "sessions list"])
def test_a_command_whose_output_goes_to_a_full_disk_says_so(stage: Stage, words: str) -> None:
    stage.gateway()
    code, _, err = done(stage, f"{ME} {words} > /dev/full")
    assert code == 1 and err.count("\n") == 1 and "No space left on device" in err, err


def test_what_a_terminal_cannot_show_does_not_end_a_command(stage: Stage) -> None:
    gateway = stage.gateway()
    gateway.post("/api/chat", {"text": "漢字"})
    ascii_only: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown: list[str] = []

    def answered() -> bool:
        code, out, err = done(stage, f"{ME} sessions show web:main", **ascii_only)
        shown[:] = [out, err]
        return "assistant: " in out

    until(answered, 20, shown)
    assert "user: \\u6f22\\u5b57" in shown[0]


def test_bytes_that_are_no_text_are_sent_as_well_as_they_can_be(stage: Stage) -> None:
    stage.gateway()
    for line in (f"{ME} send web main $'a\\xffb'", f"printf 'a\\xffb' | {ME} send web main -"):
        code, _, err = done(stage, line)
        assert code == 0, err
