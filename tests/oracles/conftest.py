"""The official SDKs as judges: one virtualenv per SDK, built once, and a client process in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HERMES_GREEN_CACHE") or ROOT / ".cache")


def _clean_environment() -> dict[str, str]:
    """Ours, without what would let our packages into the SDK's process."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in ours}


def _built(*requirements: str) -> Path:
    """The interpreter of a virtualenv that holds exactly ``requirements`` (pinned) and what they need.

    Built once per set of requirements and Python version, under ``.cache`` or ``HERMES_GREEN_CACHE``.
    """
    wanted = "\n".join((sys.version, *requirements))
    name = requirements[0].partition("==")[0]
    folder = CACHE / "oracles" / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, done = folder / "bin" / "python", folder / "complete"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements)
            done.touch()
    return python


def _run(*argv: str) -> None:
    result = subprocess.run(argv, env=_clean_environment(), capture_output=True, text=True, timeout=600)
    if result.returncode:
        pytest.fail(f"{' '.join(argv)} failed:\n{result.stdout}\n{result.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def sdk_python() -> Callable[..., Path]:
    """``sdk_python("lark-oapi==1.7.5")``: the interpreter to run a client with."""
    return _built


@pytest.fixture
def run_client(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``run_client(python, script, *arguments)``: start a client; ended, and its output shown, afterwards.

    ``script`` is a file beside this one. The output is shown by pytest when the test fails.
    """
    running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(python: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = tmp_path / f"{script}.{len(running)}.log"
        environment = _clean_environment() | {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"}
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
        child.wait(timeout=10)
        print(f"--- {log.name} (exit {child.returncode})\n{log.read_text(errors='replace')[-8000:]}")
