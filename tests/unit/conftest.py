"""What every quick test shares: a store that is away is asked again after milliseconds."""

from typing import Iterator

import pytest

from hermes_green.runtime import intake


@pytest.fixture(autouse=True, scope="module")
def a_store_is_asked_again_soon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "AGAIN", 0.03)
        patch.setattr(intake, "AGAIN_MORE", (0.005, 0.02))
        yield
