"""A frame that no platform sends again is kept from its arrival to its commit, and taken up by the next run."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import BadFrame, LinkLost, StoreAway, Throttled
from hermes_green.core.machine import State
from hermes_green.core.model import Caps, Inbound, Peer
from hermes_green.core.options import PlatformOptions
from hermes_green.link.dialogue import Dialogue
from hermes_green.ops.shelter import Shelter
from hermes_green.store.memory import MemoryStore
from tests.support.children import Bench, FreeDials, ScriptedAdapter, eventually
from tests.support.port import FakeContext, FakePort


def inbound(text: str) -> Inbound:
    return Inbound(keys=(text,), peer=Peer("one", "c", "dm", user_id="u"), message_id=text, text=text)


class Talk(Dialogue):
    """Each frame is a message; "bad" is none, "nothing" says nothing, "control" is not for anybody."""

    def _on_frame(self, raw: str | bytes) -> None:
        text = raw if isinstance(raw, str) else raw.decode()

        def read() -> Inbound | None:
            if text == "bad":
                raise BadFrame("bad")
            return None if text == "nothing" else inbound(text)

        if text != "control":
            self._hand_in(raw, read, None)


class Once(ScriptedAdapter):
    """Hands in by its dialogue what it is told to."""

    caps = ScriptedAdapter.caps

    def __init__(self, script: Any = None) -> None:
        super().__init__(script, Caps(limit=100, resends=False))
        self.replayed: list[Any] = []

    def replay(self, port: Any, raw: str | bytes) -> None:
        self.replayed.append(raw)
        Talk(port, FakeContext("one"), PlatformOptions()).again(raw)


class AwayStore(MemoryStore):
    away = False

    def accept(self, *about: Any) -> Any:
        if self.away:
            raise StoreAway("away")
        return super().accept(*about)


@pytest.fixture
def bench():
    bench = Bench(AwayStore())
    yield bench
    bench.close()


def left_by_another(tmp_path, *raws: str | bytes) -> Shelter:
    for_them = Shelter(tmp_path / "frames", logger)
    for raw in raws:
        for_them.keep(raw)
    return Shelter(tmp_path / "frames", logger)


def texts(bench: Bench) -> list[str]:
    return [message.text for _, message in bench.routed]


def test_what_another_process_left_is_taken_up_in_order_before_the_first_dial(bench, tmp_path) -> None:
    shelter = left_by_another(tmp_path, "one", b"two", "control", "nothing", "bad", "three")
    dials, adapter = FreeDials(), Once()
    dials.spent.append(Throttled("cooling", after=60))
    child = bench.child(adapter, dials=dials, shelter=shelter)
    eventually(lambda: texts(bench) == ["one", "two", "three"])
    eventually(lambda: child.state is State.WAITING)
    assert not adapter.links
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


def test_what_was_committed_before_the_end_is_not_taken_twice(bench, tmp_path) -> None:
    child = bench.child(Once(), shelter=left_by_another(tmp_path, "one", "one"))
    eventually(lambda: child.state is State.READY and texts(bench) == ["one"])
    assert child.intake.shelter is not None
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


def test_a_frame_is_kept_while_the_store_is_away_and_no_longer(bench, tmp_path) -> None:
    adapter = Once()
    child = bench.child(adapter, shelter=Shelter(tmp_path / "frames", logger))
    eventually(lambda: child.state is State.READY)
    bench.store.away = True
    Talk(adapter.links[0].port, FakeContext("one"), PlatformOptions()).again("one")
    eventually(lambda: child.intake.away)
    assert [held.raw for held in Shelter(tmp_path / "frames", logger).left()] == ["one"]
    bench.store.away = False
    eventually(lambda: texts(bench) == ["one"])
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


def test_a_frame_that_comes_while_we_stop_is_there_for_the_next_process(bench, tmp_path) -> None:
    adapter = Once()
    child = bench.child(adapter, shelter=Shelter(tmp_path / "frames", logger))
    eventually(lambda: child.state is State.READY)
    child.intake.refuse()
    Talk(adapter.links[0].port, FakeContext("one"), PlatformOptions()).again("late")
    child.stop()
    eventually(lambda: child.state is State.STOPPED)
    child.intake.close(1.0)
    assert texts(bench) == [] and [held.raw for held in Shelter(tmp_path / "frames", logger).left()] == ["late"]


def test_a_frame_that_a_run_could_not_hand_in_goes_to_the_next_run(bench, tmp_path) -> None:
    adapter = Once()
    child = bench.child(adapter, shelter=Shelter(tmp_path / "frames", logger))
    eventually(lambda: child.state is State.READY)
    child.run.end()
    with pytest.raises(LinkLost):
        Talk(adapter.links[0].port, FakeContext("one"), PlatformOptions()).again("one")
    eventually(lambda: len(adapter.links) == 2)
    assert texts(bench) == ["one"] and adapter.replayed == ["one"]


def test_what_comes_while_a_retired_link_says_goodbye_is_taken_in_at_once(bench, tmp_path) -> None:
    """No run begins soon that would take it up: the link beside it lives."""
    adapter = Once()
    child = bench.child(adapter, shelter=Shelter(tmp_path / "frames", logger))
    eventually(lambda: child.state is State.READY)
    first = adapter.links[0]

    def close() -> None:
        try:
            Talk(first.port, FakeContext("one"), PlatformOptions()).again("late")
        finally:
            first.close()

    first.port.on_close(close)
    first.port.retire(0.01)
    eventually(lambda: first.closed_politely)
    assert len(adapter.links) == 2 and child.link is adapter.links[1]
    eventually(lambda: texts(bench) == ["late"] and Shelter(tmp_path / "frames", logger).left() == [], 20)


def test_a_full_queue_leaves_all_that_was_not_handed_in_yet(bench, tmp_path) -> None:
    shelter = left_by_another(tmp_path, *map(str, range(1_100)))
    bench.store.away = True
    adapter = Once()
    child = bench.child(adapter, shelter=shelter)
    eventually(lambda: child.state is State.WAITING)
    bench.store.away = False
    eventually(lambda: len(texts(bench)) == 1_100 and child.state is State.READY)
    assert texts(bench) == list(map(str, range(1_100)))


@pytest.mark.parametrize("bug", [KeyError("a bug"), gevent.Timeout(1)], ids=["error", "timeout let out"])
def test_a_kept_frame_that_the_adapter_stumbles_over_is_quarantined_once_and_the_rest_goes_on(
    bench, tmp_path, bug
) -> None:
    class Stumbling(Once):
        def replay(self, port: Any, raw: str | bytes) -> None:
            if raw == "one":
                raise bug
            super().replay(port, raw)

    child = bench.child(Stumbling(), shelter=left_by_another(tmp_path, "one", "two"))
    eventually(lambda: child.state is State.READY and texts(bench) == ["two"])
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])
    assert bench.store.counts(0.0).quarantine == 1


def test_what_an_end_in_this_process_left_uncommitted_is_taken_up_by_the_next_under_the_name(bench, tmp_path) -> None:
    shelter = Shelter(tmp_path / "frames", logger)
    adapter = Once()
    first = bench.child(adapter, shelter=shelter)
    eventually(lambda: first.state is State.READY)
    bench.store.away = True
    Talk(adapter.links[0].port, FakeContext("one"), PlatformOptions()).again("waiting")
    eventually(lambda: first.intake.away)
    bench.supervisor.retire("one")
    first.intake.close(0.0)
    bench.supervisor.forget("one")
    bench.store.away = False
    second = bench.child(Once(), shelter=shelter)
    eventually(lambda: texts(bench) == ["waiting"] and second.state is State.READY)
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


def test_a_quarantine_that_is_full_keeps_what_was_not_looked_at_yet(bench, tmp_path) -> None:
    class Stumbling(Once):
        def replay(self, port: Any, raw: str | bytes) -> None:
            if raw == "one" and not self.replayed:
                self.replayed.append(raw)
                port._void = True  # told to end in between
                raise KeyError("a bug")
            super().replay(port, raw)

    bench.child(Stumbling(), shelter=left_by_another(tmp_path, "one", "two"))
    eventually(lambda: texts(bench) == ["one", "two"])


def test_a_frame_that_an_adapter_stumbles_over_is_quarantined_by_the_next_run(bench, tmp_path) -> None:
    class Stumbling(Once):
        def replay(self, port: Any, raw: str | bytes) -> None:
            self.replayed.append(raw)
            Tripping(port, FakeContext("one"), PlatformOptions()).again(raw)

    class Tripping(Talk):
        def _offer(self, *about: Any) -> None:
            raise KeyError("a bug")

    adapter = Stumbling()
    child = bench.child(adapter, shelter=Shelter(tmp_path / "frames", logger))
    eventually(lambda: child.state is State.READY)
    with pytest.raises(KeyError):
        Tripping(adapter.links[0].port, FakeContext("one"), PlatformOptions()).again("one")
    for number in (2, 3):
        adapter.links[-1].end(LinkLost("gone"))
        eventually(lambda: len(adapter.links) == number)
        eventually(lambda: bench.store.counts(0.0).quarantine == 1)
    assert adapter.replayed == ["one"]
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


def test_what_processes_died_of_is_quarantined_without_being_read_again(bench, tmp_path) -> None:
    shelter = left_by_another(tmp_path, "deadly", "two")
    ends = []
    for _ in range(2):
        ends.append(shelter.left()[0].reading())
        ends[-1].__enter__()
        shelter = Shelter(tmp_path / "frames", logger)
    adapter = Once()
    child = bench.child(adapter, shelter=shelter)
    eventually(lambda: child.state is State.READY and texts(bench) == ["two"])
    assert adapter.replayed == ["two"] and bench.store.counts(0.0).quarantine == 1
    eventually(lambda: Shelter(tmp_path / "frames", logger).left() == [])


@pytest.mark.parametrize("text", ["one", "nothing", "bad"])
def test_a_dialogue_lets_a_frame_go_once_it_is_committed_or_says_nothing(text) -> None:
    port = FakePort()
    port.hold()
    Talk(port, FakeContext("one"), PlatformOptions()).again(text)
    (kept,) = port.kept
    assert kept.raw == text and kept.state == ("done" if text == "nothing" else "kept")
    port.release()
    eventually(lambda: kept.state == "done")
    port.stop()


def test_a_dialogue_leaves_a_frame_that_was_not_taken() -> None:
    port = FakePort()
    port.full = True
    with pytest.raises(LinkLost):
        Talk(port, FakeContext("one"), PlatformOptions()).again("one")
    assert port.kept[0].state == "left"
    port.stop()
