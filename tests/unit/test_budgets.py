"""How often a platform may be dialled where nobody says otherwise: from what it publishes, or what was seen of it."""

from __future__ import annotations

from typing import Any

import pytest

from hermes_green.adapters import registry
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import Throttled
from hermes_green.ops.ledger import Ledger
from hermes_green.runtime.dials import DialBook
from hermes_green.runtime.suspicion import Suspicion

# How many in how many seconds; QQ counts what is identified, and resuming is free.
WANTED: dict[str, dict[str, Any]] = {
    "feishu": {"dial": ((30, 60.0), (300, 3600.0))},
    "dingtalk": {"dial": ((4, 120.0), (8, 900.0))},
    "wecom": {"dial": ((10, 60.0), (60, 3600.0))},
    "qq": {"dial": (), "identify": ((1, 5.0), (1000, 86400.0))},
    "telegram": {"dial": ((30, 60.0), (300, 3600.0))},
    "slack": {"dial": ((10, 60.0), (90, 3600.0))},
}


def test_every_platform_that_is_dialled_has_a_budget() -> None:
    assert {name: dict(registry.package(name).BUDGETS) for name in registry.BUILTIN if name != "web"} == WANTED


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in WANTED for kind in WANTED[name]])
@pytest.mark.thorough
def test_no_window_ever_sees_more_uses_than_its_budget(tmp_path, name: str, kind: str) -> None:
    clock, windows = ManualClock(), WANTED[name][kind]
    ledger = Ledger(tmp_path / "a", clock, "boot")
    offhub = lambda work, *args: work(*args)  # noqa: E731
    calm = Suspicion(ledger, offhub, clock, "")
    book = DialBook(ledger, offhub, WANTED[name], lambda: None, "secret", 0, lambda outcome: None, calm)
    times: list[float] = []
    for _ in range(40):
        try:
            book.spend(kind)
            times.append(clock.monotonic())
        except Throttled as spent:
            assert spent.code == "budget_spent"
            clock.advance(spent.after)
            book.spend(kind)  # never before, and then at once
            times.append(clock.monotonic())
    for count, seconds in windows:
        assert max(sum(at <= other < at + seconds for other in times) for at in times) <= count
