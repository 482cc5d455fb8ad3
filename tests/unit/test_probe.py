"""A dial of a fresh process stands on the same seam as the gateway's own."""

from __future__ import annotations

from typing import Any

import pytest

from hermes_green.core.ports import Context, Port
from hermes_green.ops.log import redact
from hermes_green.probe import Alone, OneDial


@pytest.mark.parametrize("seam, ours", [(Context, Alone("x", "")), (Port, OneDial())])
def test_a_fresh_process_has_all_that_an_adapter_may_call(seam: Any, ours: object) -> None:
    assert [name for name in vars(seam) if not name.startswith("_") and not hasattr(ours, name)] == []


def test_what_it_says_holds_no_token_that_it_fetched() -> None:
    Alone("x", "").hide("t-f4c1-9a07")
    assert redact("refused: t-f4c1-9a07") == "refused: ***"
