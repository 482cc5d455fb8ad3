"""Every test runs as the gateway does: patched before anything else is imported."""

import gc

from gevent import monkey

monkey.patch_all()


def pytest_collection() -> None:
    """What is collected lives to the end: to look for garbage in it would cost a tenth of the quick tests' time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From now on garbage is looked for among what tests leave, not among the tests."""
    gc.freeze()
    gc.enable()
