"""The status answers while disks hang: what cannot be read now is shown as it was read last."""

from types import SimpleNamespace
from typing import Any

import gevent
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.ports import Counts
from hermes_green.ops.ledger import Ledger
from hermes_green.runtime import gateway
from hermes_green.runtime.dials import DialBook
from hermes_green.runtime.gateway import Gateway, Identity
from hermes_green.runtime.suspicion import Suspicion
from hermes_green.store.memory import MemoryStore
from tests.support.children import Bench, ScriptedAdapter, eventually

BUDGET = ((4, 120.0),)


class Disk:
    """Reads and writes at once, or (``hangs``) not at all; counts what has been begun."""

    def __init__(self) -> None:
        self.hangs = False
        self.begun = 0

    def call(self, work: Any, *args: Any) -> Any:
        self.begun += 1
        if self.hangs:
            gevent.sleep(30)
        return work(*args)


def test_a_status_does_not_wait_for_disks_and_shows_what_it_knew(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "STATUS_WAITS", 0.02)
    bench, disk, clock = Bench(MemoryStore()), Disk(), SystemClock()
    members = {}
    for name in ("one", "two", "three"):
        ledger = Ledger(tmp_path / name, clock)
        calm = Suspicion(ledger, disk.call, clock, "")
        dials = DialBook(ledger, disk.call, {"dial": BUDGET}, lambda: None, "", 0, lambda outcome: None, calm)
        bench.child(ScriptedAdapter(), name, dials=dials)
        members[name] = SimpleNamespace(dials=dials)
    store = SimpleNamespace(counts=lambda now: gevent.sleep(30) if disk.hangs else Counts(inbox=7, quarantine=2))
    house: Any = SimpleNamespace(
        members=members,
        supervisor=bench.supervisor,
        lanes=SimpleNamespace(active=0),
        turns=SimpleNamespace(stale=0),
        policy=SimpleNamespace(locale="en"),
        door=SimpleNamespace(pairing=None),
        resume=None,
        was_reset=None,
    )
    rest: Any = dict.fromkeys(("bus", "offhub", "reload", "stop"))
    upkeep: Any = SimpleNamespace(counts=Counts(inbox=3))
    subject = Gateway(
        **rest,
        identity=Identity("1", 1, 0.0),
        house=house,
        upkeep=upkeep,
        store=store,  # type: ignore[arg-type]
        clock=clock,
        log=logger,
        lag_ms=lambda: 0.0,
        told=lambda: {"config": {}, "hooks": []},
    )
    eventually(lambda: subject.status()["inbox"] == 7)
    fresh = subject.status()
    assert (fresh["inbox"], fresh["quarantine"]) == (7, 2)
    assert [child["dials"] for child in fresh["children"]] == [[{"window": 120.0, "used": 1, "limit": 4}]] * 3
    disk.hangs = True
    for _ in range(2):
        began = clock.monotonic()
        late = subject.status()
        assert clock.monotonic() - began < 20
        assert late["inbox"] == 3 and late["children"][0]["dials"] == fresh["children"][0]["dials"]
    begun = disk.begun
    subject.status()
    assert disk.begun == begun, "what hangs is not asked once more"
    bench.close()
