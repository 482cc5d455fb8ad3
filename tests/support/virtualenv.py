"""A virtualenv for each program that may not be mixed with ours, built once and kept under ``.cache``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HERMES_GREEN_CACHE") or ROOT / ".cache")


def clean_environment() -> dict[str, str]:
    """Ours, without what would let our packages into the other program's process."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in ours}


def built(*requirements: str) -> Path:
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
    result = subprocess.run(argv, env=clean_environment(), capture_output=True, text=True, timeout=600)
    if result.returncode:
        pytest.fail(f"{' '.join(argv)} failed:\n{result.stdout}\n{result.stderr}", pytrace=False)
