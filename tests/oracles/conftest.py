"""The official SDKs as judges: one virtualenv per SDK, built once, and a client process in it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.support.virtualenv import built, clean_environment


@pytest.fixture(scope="session")
def sdk_python() -> Callable[..., Path]:
    """``sdk_python("lark-oapi==1.7.5")``: the interpreter to run a client with."""
    return built


@pytest.fixture
def run_client(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``run_client(python, script, *arguments)``: start a client; ended, and its output shown, afterwards.

    ``script`` is a file beside this one. The output is shown by pytest when the test fails.
    """
    running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(python: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = tmp_path / f"{script}.{len(running)}.log"
        environment = clean_environment() | {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"}
        with open(log, "wb") as out:
            child = subprocess.Popen(
                [str(python), str(Path(__file__).with_name(script)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=tmp_path,
            )
        running.append((child, log))
        return child

    yield start
    for child, log in running:
        child.kill()
        child.wait(timeout=60)
        print(f"--- {log.name} (exit {child.returncode})\n{log.read_text(errors='replace')[-8000:]}")
