"""What a user does, done to real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import pytest

from tests.support.browser import Browser
from tests.support.gateway import Site
from tests.support.page import FakeLab, fill, history
from tests.support.stage import ROOT, Stage, clean_env

# What is not in a fresh clone.
_NAMES = (".git", ".venv", ".cache", "var", "build", "__pycache__", ".*_cache", "*.egg-info", "*.local.yaml")
LEFT_OUT = shutil.ignore_patterns(*_NAMES)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A directory of its own for configuration, data and state; what it started ends with the test."""
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests; it starts slower than they run."""
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser whose tabs end with the test."""
    yield chromium
    chromium.close_pages()


@pytest.fixture
def site() -> Iterator[Site]:
    """The page, served by a gateway that only remembers what it was asked."""
    site = Site(history=history())
    yield site
    site.stop()


@pytest.fixture
def full_site() -> Iterator[Site]:
    """The same with something of everything."""
    site = Site(history=history(), lab=FakeLab())
    fill(site)
    yield site
    site.stop()


@dataclass
class Checkout:
    """A copy of the project as a new user has it: no environment, an empty home."""

    root: Path
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        env = clean_env() | {"HOME": str(self.home), "HERMES_GREEN_STATE_DIR": str(self.home / "state")}
        # Neither the environment of this test nor its import path may help.
        for name in ("PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME"):
            env.pop(name, None)
        # The packages themselves need not be fetched again and again.
        return env | {"PIP_CACHE_DIR": str(ROOT / ".cache" / "pip")}

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        """A command at the checkout's root, ended with the test."""
        process = subprocess.Popen(
            argv,
            cwd=self.root,
            env=self.env | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The checkout, with its environment built by the shipped script."""
    folder = tmp_path_factory.mktemp("user")
    checkout = Checkout(folder / "hermes", folder / "home")
    shutil.copytree(ROOT, checkout.root, ignore=LEFT_OUT)
    (checkout.root / "var").mkdir()
    checkout.home.mkdir()
    done = subprocess.run(
        ["scripts/run_gateway.sh", "--help"],
        cwd=checkout.root,
        env=checkout.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing" in done.stderr and "usage: hermes-green run" in done.stdout
    return checkout


@pytest.fixture
def checkout(built: Checkout) -> Iterator[Checkout]:
    """The built checkout on a free port, its data and state empty."""
    shutil.rmtree(built.root / "var", ignore_errors=True)
    shutil.rmtree(built.home / "state", ignore_errors=True)
    (built.root / "var").mkdir()
    local = built.root / "conf" / "gateway.local.yaml"
    local.write_text("http: {port: 0}\n")
    built.started.clear()
    yield built
    built.close()
    for path in (built.root / "conf").glob("*.local.yaml"):
        path.unlink()
    assert not os.path.exists(local)
