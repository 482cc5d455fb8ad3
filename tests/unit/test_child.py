"""A child's life: one run is one link, its end is one event, and only it is restarted."""

from dataclasses import replace

import gevent
import pytest

from hermes_green.core.errors import AuthRejected, ConfError, Displaced, LinkLost, StoreAway, Throttled
from hermes_green.core.machine import State
from hermes_green.core.model import Caps, Inbound, Peer
from hermes_green.runtime.redial import Pace
from hermes_green.runtime.snapshot import child_status
from hermes_green.store.memory import MemoryStore
from tests.support.children import QUICK, Bench, FreeDials, ScriptedAdapter, eventually


@pytest.fixture
def bench():
    bench = Bench(MemoryStore())
    yield bench
    bench.close()


def states(bench, id="one"):
    return [state for child, state in bench.moves if child == id]


def test_a_child_dials_and_is_ready_when_the_platform_answered(bench):
    child = bench.child(ScriptedAdapter())
    eventually(lambda: child.state is State.READY)
    assert states(bench) == ["STARTING", "READY"]
    assert child.reason.text == "connected as bot"


def test_a_lost_link_is_dialled_again_and_the_sibling_does_not_notice(bench):
    victim, sibling = ScriptedAdapter(), ScriptedAdapter()
    child = bench.child(victim)
    other = bench.child(sibling, "two")
    eventually(lambda: child.state is State.READY and other.state is State.READY)
    victim.links[0].end(LinkLost("RST"))
    eventually(lambda: len(victim.links) == 2 and child.state is State.READY)
    assert states(bench) == ["STARTING", "READY", "WAITING", "STARTING", "READY"]
    assert states(bench, "two") == ["STARTING", "READY"]
    assert child.losses == 1 and len(sibling.links) == 1


def test_other_numbers_hold_for_a_child_that_runs_and_its_link_stays(bench):
    adapter = ScriptedAdapter(lambda number: 1 / 0 if number else None)
    child = bench.child(adapter, pace=replace(QUICK, backoff_min=600.0, backoff_max=600.0, crashes=50))
    eventually(lambda: child.state is State.READY)
    child.repace(replace(QUICK, crashes=3))
    assert child.state is State.READY and len(adapter.links) == 1
    adapter.links[0].end(LinkLost("RST"))
    eventually(lambda: child.state is State.FAILED)
    assert child.restarts == 2, "three crashes were too many, and each was soon followed by the next dial"


@pytest.mark.parametrize("error", [LinkLost("refused"), StoreAway("no answer from the disk within 5 s")])
def test_an_outage_of_many_dials_ends_in_ready_and_never_trips(bench, error):
    def refuse(number):
        if len(dials.dials) < 12:
            raise error

    dials = FreeDials()
    child = bench.child(ScriptedAdapter(refuse), dials=dials, pace=replace(QUICK, backoff_min=0.002, backoff_max=0.01))
    eventually(lambda: child.state is State.READY)
    assert "FAILED" not in states(bench)


@pytest.mark.parametrize(
    "bug",
    [ZeroDivisionError("bug"), gevent.Timeout(1), SystemExit(3)],
    ids=["error", "timeout let out", "end of the process"],
)
def test_crashes_are_counted_and_trip_the_limit_but_an_operator_may_start_again(bench, bug):
    broken = True

    def script(number):
        if broken:
            raise bug

    child = bench.child(ScriptedAdapter(script))
    eventually(lambda: child.state is State.FAILED)
    assert states(bench).count("STARTING") == QUICK.crashes
    assert child.restarts == QUICK.crashes - 1, "after each crash but the last"
    assert "adapters restart one" in child.reason.action
    broken = False
    bench.supervisor.command("one", "restart")
    eventually(lambda: child.state is State.READY)


@pytest.mark.parametrize(
    "error", [AuthRejected("bad secret", action="mend app_secret"), ConfError("bad"), Displaced("other")]
)
def test_what_needs_a_human_halts_and_names_the_remedy(bench, error):
    def script(number):
        raise error

    child = bench.child(ScriptedAdapter(script))
    eventually(lambda: child.state is State.HALTED)
    gevent.sleep(3 * QUICK.backoff_min)
    assert states(bench) == ["STARTING", "HALTED"]
    assert child.reason.text == error.text and child.reason.action.startswith(error.action)


def test_a_credential_refused_during_a_send_halts_and_closes_the_link(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    bench.supervisor.halt("one", AuthRejected("revoked"))
    eventually(lambda: child.state is State.HALTED and adapter.links[0].closed_politely)
    assert child.link is None and not child.sends


def test_a_disk_that_hangs_keeps_neither_the_supervisor_nor_the_reader_of_a_link_waiting(bench):
    class Hung(FreeDials):
        def accepted(self):
            gevent.sleep(30)

    adapter = ScriptedAdapter()
    child = bench.child(adapter, dials=Hung())
    eventually(lambda: child.state is State.READY)
    adapter.links[0].end(AuthRejected("revoked"))
    eventually(lambda: child.state is State.HALTED)


def test_a_child_that_is_halted_while_it_waits_for_its_next_dial_does_not_dial_then(bench):
    def script(number):
        raise LinkLost("refused")

    dials = FreeDials()
    child = bench.child(ScriptedAdapter(script), dials=dials, pace=Pace(backoff_min=0.02, backoff_max=0.02))
    child._redial._backoff._draw = lambda low, high: high
    eventually(lambda: child.state is State.WAITING)
    made = len(dials.dials)
    bench.supervisor.halt("one", AuthRejected("revoked"))
    eventually(lambda: child.state is State.HALTED)
    gevent.sleep(0.04)
    assert child.state is State.HALTED and len(dials.dials) == made


def test_a_spent_budget_waits_without_dialling_and_says_until_when(bench):
    dials = FreeDials()
    dials.spent = [Throttled("cooling down until 12:00:00", after=0.03, code="budget_spent")]
    child = bench.child(ScriptedAdapter(), dials=dials)
    eventually(lambda: child.state is State.WAITING)
    assert child.reason.text == "cooling down until 12:00:00" and child.cooldown_until is not None
    assert dials.dials == []
    eventually(lambda: child.state is State.READY)
    assert child.cooldown_until is None


def test_stop_closes_the_link_and_nothing_dials_again(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    bench.supervisor.command("one", "stop")
    eventually(lambda: child.state is State.STOPPED)
    gevent.sleep(3 * QUICK.backoff_min)
    assert adapter.links[0].closed_politely and len(adapter.links) == 1
    assert states(bench) == ["STARTING", "READY", "STOPPING", "STOPPED"]


@pytest.mark.parametrize(
    "bug", [None, ZeroDivisionError("bug"), gevent.Timeout(1)], ids=["deaf", "error", "timeout let out"]
)
def test_a_link_that_does_not_close_is_killed(bench, monkeypatch, bug):
    monkeypatch.setattr("hermes_green.runtime.run.END_GRACE", 2.02)
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)

    def close():
        if bug is not None:
            raise bug

    adapter.links[0].port.on_close(close)
    bench.supervisor.command("one", "stop")
    eventually(lambda: child.state is State.STOPPED)


def test_a_start_while_stopping_is_not_forgotten(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    bench.supervisor.command("one", "restart")
    bench.supervisor.command("one", "start")
    eventually(lambda: len(adapter.links) == 2 and child.state is State.READY)
    assert child.restarts == 1


def test_stop_while_waiting_cancels_the_dial(bench):
    def script(number):
        raise LinkLost("refused")

    child = bench.child(ScriptedAdapter(script), pace=Pace(backoff_min=30))
    eventually(lambda: child.state is State.WAITING)
    bench.supervisor.command("one", "stop")
    assert child.state is State.STOPPED


def test_a_port_is_void_after_its_run(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    stale = adapter.links[0].port
    adapter.links[0].end(LinkLost("gone"))
    eventually(lambda: len(adapter.links) == 2)
    with pytest.raises(LinkLost):
        stale.accept(None, memo={"seq": 1})
    with pytest.raises(LinkLost):
        stale.ready("ghost")


def test_traffic_moves_to_the_successor_before_the_retired_link_ends(bench):
    adapter = ScriptedAdapter(caps=Caps(handover=True))
    dials = FreeDials()
    child = bench.child(adapter, dials=dials)
    eventually(lambda: child.state is State.READY)
    first = adapter.links[0]
    first.port.retire(0.02)
    eventually(lambda: len(adapter.links) == 2 and child.link is adapter.links[1])
    eventually(lambda: first.closed_politely)
    assert states(bench) == ["STARTING", "READY"]
    assert dials.dials == [False, True] and child.losses == 0


@pytest.mark.parametrize("end", ["stop", "halt"])
def test_a_retired_link_ends_with_its_child_though_no_other_link_is_up(bench, end):
    def script(number):
        if number >= 2:
            raise Throttled("later", after=60)

    adapter = ScriptedAdapter(script, caps=Caps(handover=True))
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    adapter.links[0].port.retire(600)
    eventually(lambda: len(adapter.links) == 2 and child.link is adapter.links[1])
    adapter.links[1].end(LinkLost("RST"))
    eventually(lambda: child.state is State.WAITING)
    if end == "stop":
        bench.supervisor.command("one", "stop")
    else:
        bench.supervisor.halt("one", AuthRejected("revoked"))
    eventually(lambda: adapter.links[0].closed_politely)


def test_whether_the_fault_is_ours_is_asked_once_for_so_many_failed_dials(bench):
    """Waits of our own making, such as for the store, are no dials."""

    def script(number):
        dialled.append(number)
        if len(dialled) <= 4:
            raise LinkLost("refused")
        if len(dialled) <= 10:
            raise Throttled("the store is away", after=0.001, code="store_away")

    dialled, asked = [], []
    bench.supervisor.witness._on_failing = asked.append
    child = bench.child(ScriptedAdapter(script), pace=replace(QUICK, backoff_max=0.005, escalate_after=4))
    eventually(lambda: child.state is State.READY)
    assert len(dialled) == 11 and asked == [child]


def test_a_wait_without_end_that_a_platform_asks_for_costs_nobody_the_status(bench):
    def script(number):
        raise Throttled("come back in the next universe", after=1e300)

    child = bench.child(ScriptedAdapter(script))
    eventually(lambda: child.state is State.WAITING)
    assert child_status(child, bench.clock, [])["cooldown_until"].startswith("20")


def test_a_successor_that_fails_is_retried_while_the_old_link_lives(bench):
    fail = True

    def script(number):
        if number == 1 and fail:
            raise LinkLost("refused")

    adapter = ScriptedAdapter(script)
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    adapter.links[0].port.retire(0.02)
    gevent.sleep(0.04)
    assert child.state is State.READY and child.link is adapter.links[0]
    fail = False
    eventually(lambda: len(adapter.links) == 2 and child.link is adapter.links[1])


def test_when_the_retired_link_ends_first_the_successors_dial_is_the_reconnect(bench):
    gate = gevent.event.Event()

    def script(number):
        if number == 1:
            gate.wait()

    adapter = ScriptedAdapter(script)
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    adapter.links[0].port.retire(5)
    gevent.sleep(0.01)
    adapter.links[0].end()
    eventually(lambda: child.state is State.STARTING)
    gate.set()
    eventually(lambda: child.state is State.READY and child.link is adapter.links[1])
    assert len(adapter.links) == 2


def test_a_link_that_crashes_while_its_successor_is_dialled_leaves_no_second_link_behind(bench):
    gate = gevent.event.Event()

    def script(number):
        if number == 1:
            gate.wait()

    adapter = ScriptedAdapter(script)
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    adapter.links[0].port.retire(5)
    gevent.sleep(0.01)
    adapter.links[0].end(ZeroDivisionError("bug"))
    eventually(lambda: "WAITING" in states(bench))
    gate.set()
    eventually(lambda: child.state is State.READY)
    gevent.sleep(3 * QUICK.backoff_min)
    assert [link for link in adapter.links[1:] if not link.closed_politely] == [child.link]


def test_a_retire_before_ready_is_a_lost_link(bench):
    class Hasty(ScriptedAdapter):
        def run(self, port):
            if not self.links:
                self.links.append(None)
                port.retire(1)
            super().run(port)

    child = bench.child(Hasty())
    eventually(lambda: child.state is State.READY)
    assert states(bench)[:3] == ["STARTING", "WAITING", "STARTING"]


def test_what_a_run_accepted_is_committed_and_then_acknowledged_in_order(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    acks = []
    port = adapter.links[0].port
    for number in (1, 2, 2, 3):
        peer = Peer("one", "c", "dm")
        port.accept(Inbound((f"k{number}",), peer, f"m{number}", "x"), lambda taken, n=number: acks.append((n, taken)))
    eventually(lambda: len(acks) == 4)
    assert acks == [(1, True), (2, True), (2, False), (3, True)]
    assert [inbound.message_id for _, inbound in bench.routed] == ["m1", "m2", "m3"]


@pytest.mark.parametrize(
    "bug",
    [ZeroDivisionError("bug"), gevent.Timeout(1), SystemExit(3)],
    ids=["error", "timeout let out", "end of the process"],
)
def test_an_acknowledgement_that_fails_is_not_the_end_of_all(bench, bug):
    adapter, acks = ScriptedAdapter(), []
    bench.child(adapter)
    eventually(lambda: adapter.links)

    def ack(taken):
        acks.append(taken)
        if len(acks) == 1:
            raise bug

    for key in "ab":
        adapter.links[0].port.accept(Inbound((key,), Peer("one", "c", "dm"), key, "x"), ack)
    eventually(lambda: len(acks) == 2)


def test_a_frame_that_cannot_be_parsed_is_kept_and_then_acknowledged(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    acks = []
    adapter.links[0].port.quarantine(b"\x00", ValueError("what"), acks.append)
    eventually(lambda: acks)
    assert bench.store.counts(0).quarantine == 1


@pytest.mark.parametrize("refuse", ["frame", "link"])
def test_a_full_queue_treats_a_bad_frame_as_it_does_a_message(bench, monkeypatch, refuse):
    adapter = ScriptedAdapter(caps=Caps(refuse=refuse))
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    monkeypatch.setattr("hermes_green.runtime.intake.BOUND", 0)
    port, acks = adapter.links[0].port, []
    told = [lambda: port.quarantine(b"\x00", ValueError("what"), acks.append), lambda: port.accept(None, acks.append)]
    for tell in told:
        if refuse == "frame":
            tell()
        else:
            with pytest.raises(LinkLost, match="intake full"):
                tell()
    child.intake.refuse()
    told[0]()  # stopping: left to the next process
    gevent.sleep(0.01)
    assert acks == [] and bench.store.counts(0).quarantine == 0


def test_a_message_that_cannot_be_written_is_set_aside_and_its_neighbours_pass(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    accept = bench.store.accept

    def picky(child, batch, now):
        if any("m2" == item.inbound.message_id for item in batch):
            raise TypeError("not JSON")
        return accept(child, batch, now)

    bench.store.accept = picky
    acks = []
    for number in (1, 2, 3):
        inbound = Inbound((f"k{number}",), Peer("one", "c", "dm"), f"m{number}", "x")
        adapter.links[0].port.accept(inbound, lambda taken, n=number: acks.append(n))
    eventually(lambda: acks == [1, 2, 3])
    assert [inbound.message_id for _, inbound in bench.routed] == ["m1", "m3"]
    assert bench.store.counts(0).quarantine == 1


def test_a_store_that_is_away_keeps_the_order_and_acknowledges_nothing(bench):
    adapter = ScriptedAdapter()
    child = bench.child(adapter)
    eventually(lambda: child.state is State.READY)
    accept, away = bench.store.accept, [True]

    def locked(child, batch, now):
        if away:
            raise StoreAway("locked")
        return accept(child, batch, now)

    bench.store.accept = locked
    acks = []
    for number in (1, 2):
        inbound = Inbound((f"k{number}",), Peer("one", "c", "dm"), f"m{number}", "x")
        adapter.links[0].port.accept(inbound, lambda taken, n=number: acks.append(n))
    eventually(lambda: child.intake.away)
    assert acks == []
    away.clear()
    eventually(lambda: acks == [1, 2])
