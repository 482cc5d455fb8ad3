"""Every fault test runs on real processes, prints its seed, and can be replayed with it."""

from __future__ import annotations

import os

import pytest

from tests.support.pulse import Pulse
from tests.support.stage import Stage

LONG = os.environ.get("HERMES_GREEN_FAULTS") == "long"


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def pulse():
    """How late this machine is while a test runs."""
    with Pulse() as beating:
        yield beating


@pytest.fixture
def long_run() -> bool:
    """True when the whole length is asked for (scripts/test.sh --faults), else a short slice."""
    return LONG


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("HERMES_GREEN_SEED", "7"))
    print(f"HERMES_GREEN_SEED={chosen}")
    return chosen
