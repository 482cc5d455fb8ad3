"""The dial ledger: budgets that hold through crashes and clock changes."""

import json

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import Throttled
from hermes_green.ops import ledger as module
from hermes_green.ops.ledger import MARGIN, Ledger
from tests.support.disks import sync_no_directory

BUDGET = ((4, 120), (8, 900))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def book(tmp_path, clock):
    return Ledger(tmp_path / "cred.ledger", clock, boot_id="boot-1")


def spend(ledger, times, clock, gap=0.0):
    for _ in range(times):
        ledger.book("dial", BUDGET)
        clock.advance(gap)


def test_the_fifth_dial_within_a_window_is_refused_and_told_when(book, clock):
    spend(book, 4, clock, gap=10)
    with pytest.raises(Throttled, match=r"cooling down until \d\d:\d\d:\d\d") as caught:
        book.book("dial", BUDGET)
    assert caught.value.after == pytest.approx(120 + MARGIN - 40)
    clock.advance(caught.value.after)
    book.book("dial", BUDGET)


def test_the_wider_window_counts_too(book, clock):
    spend(book, 8, clock, gap=40)
    with pytest.raises(Throttled) as caught:
        book.book("dial", BUDGET)
    assert caught.value.after == pytest.approx(900 + MARGIN - 8 * 40)


def test_a_refused_dial_is_not_booked(book, clock):
    spend(book, 4, clock)
    for _ in range(3):
        with pytest.raises(Throttled):
            book.book("dial", BUDGET)
    assert book.usage("dial", BUDGET) == [
        {"window": 120, "used": 4, "limit": 4},
        {"window": 900, "used": 4, "limit": 8},
    ]


def test_dials_are_booked_where_a_file_system_syncs_no_directory(book, monkeypatch):
    sync_no_directory(monkeypatch)
    book.book("dial", BUDGET)
    assert book.usage("dial", BUDGET)[0]["used"] == 1


def test_kinds_have_budgets_of_their_own(book, clock):
    spend(book, 4, clock)
    book.book("identify", ((1, 60),))
    with pytest.raises(Throttled):
        book.book("identify", ((1, 60),))


def test_a_reserve_is_left_over_for_those_who_ask_without_one(book):
    for _ in range(3):
        book.book("dial", BUDGET, reserve=1)
    with pytest.raises(Throttled):
        book.book("dial", BUDGET, reserve=1)
    book.book("dial", BUDGET)


def test_a_reserve_never_takes_the_only_dial_of_a_window(book):
    book.book("dial", ((1, 60),), reserve=1)


def test_no_budget_means_no_limit(book):
    for _ in range(20):
        book.book("dial", ())
    assert book.usage("dial", ((99, 60),))[0]["used"] == 20, "and each is counted all the same"


def test_a_check_refuses_as_the_next_booking_would_and_books_nothing(book, clock):
    spend(book, 3, clock)
    book.check("dial", BUDGET)
    book.check("dial", BUDGET)
    spend(book, 1, clock)
    with pytest.raises(Throttled, match="cooling down until") as caught:
        book.check("dial", BUDGET)
    assert caught.value.after == pytest.approx(120 + MARGIN)


@pytest.mark.parametrize("jump", [-1e6, +1e6])
def test_setting_the_wall_clock_neither_grants_nor_costs_a_dial(book, clock, jump):
    spend(book, 4, clock)
    clock.jump(jump)
    with pytest.raises(Throttled) as caught:
        book.book("dial", BUDGET)
    assert caught.value.after == pytest.approx(120 + MARGIN)
    clock.advance(120 + MARGIN)
    book.book("dial", BUDGET)


def test_a_new_process_sees_what_the_old_one_dialled(book, tmp_path, clock):
    spend(book, 4, clock)
    with pytest.raises(Throttled):
        Ledger(book.path, clock, boot_id="boot-1").book("dial", BUDGET)


def test_after_a_reboot_wall_time_decides(book, clock):
    spend(book, 4, clock)
    rebooted = Ledger(book.path, ManualClock(wall=clock.wall() + 60, monotonic=5), boot_id="boot-2")
    with pytest.raises(Throttled) as caught:
        rebooted.book("dial", BUDGET)
    assert caught.value.after == pytest.approx(60 + MARGIN)


def test_a_dial_from_the_future_counts_as_now_and_not_for_ever(book, clock):
    spend(book, 4, clock)
    past = ManualClock(wall=clock.wall() - 86_400 * 365, monotonic=5)
    rebooted = Ledger(book.path, past, boot_id="boot-2")
    with pytest.raises(Throttled) as caught:
        rebooted.book("dial", BUDGET)
    assert caught.value.after == pytest.approx(120 + MARGIN)
    past.advance(120 + MARGIN)
    rebooted.book("dial", BUDGET)


def test_the_future_counts_as_now_where_the_boot_cannot_be_told(tmp_path, clock):
    one = Ledger(tmp_path / "x.ledger", clock, boot_id="")
    spend(one, 4, clock)
    clock.jump(-10_000)
    with pytest.raises(Throttled):
        one.book("dial", BUDGET)
    clock.advance(120 + MARGIN)
    one.book("dial", BUDGET)


def test_a_torn_last_line_costs_only_itself(book, clock):
    spend(book, 3, clock)
    with open(book.path, "ab") as file:
        file.write(b'{"kind": "dial", "wall": 17')
    book.book("dial", BUDGET)
    assert book.usage("dial", BUDGET)[0]["used"] == 4
    with pytest.raises(Throttled):
        book.book("dial", BUDGET)


def test_lines_that_are_not_ours_are_passed_over(book, clock):
    book.path.write_bytes(b"\n[]\n{}\nnull\n\xff\xfe\n" + json.dumps({"kind": "dial", "wall": "x"}).encode() + b"\n")
    spend(book, 4, clock)
    assert book.usage("dial", BUDGET)[0]["used"] == 4


def test_a_disk_that_takes_no_record_gets_no_dial(tmp_path, clock):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Throttled) as caught:
        Ledger(tmp_path / "file" / "x.ledger", clock, boot_id="b").book("dial", BUDGET)
    assert caught.value.code == "ledger_away"
    assert caught.value.after > 0


def test_the_file_stays_bounded_and_keeps_what_windows_and_fingerprints_need(book, clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_LINES", 50)
    monkeypatch.setattr(module, "MAX_KEPT", 30)
    print_of_old = book.fingerprint("old secret")
    book.note("ready", fp=print_of_old)
    clock.advance(86_400 * 2)
    for _ in range(120):
        book.note("boot")
        clock.advance(1)
    book.book("dial", BUDGET)
    assert len(book.path.read_bytes().splitlines()) < 60
    assert book.was_ready(print_of_old)
    assert book.fingerprint("old secret") == print_of_old
    assert book.usage("dial", BUDGET)[0]["used"] == 1


def test_nobody_else_may_read_the_file(book):
    book.note("boot")
    assert book.path.stat().st_mode & 0o777 == 0o600


def test_a_fingerprint_tells_one_secret_from_another_and_tells_neither(book, tmp_path, clock):
    book.note("ready", fp=book.fingerprint("hunter2-secret"))
    assert book.was_ready(book.fingerprint("hunter2-secret"))
    assert not book.was_ready(book.fingerprint("another"))
    assert b"hunter2" not in book.path.read_bytes()
    other = Ledger(tmp_path / "other.ledger", clock, boot_id="boot-1")
    assert other.fingerprint("hunter2-secret") != book.fingerprint("hunter2-secret")


def test_the_last_note_of_a_kind_comes_with_its_age(book, clock):
    assert book.last("ready") is None
    book.note("ready", fp="a")
    book.note("ready", fp="b")
    clock.advance(7)
    assert book.last("ready") == {"wall": clock.wall() - 7, "pid": book.last("ready")["pid"], "age": 7, "fp": "b"}


def test_boots_that_never_came_to_ready_are_spaced_out(book, clock):
    assert [book.boot_wait() for _ in range(8)] == [0, 2, 4, 8, 16, 32, 60, 60]
    book.note("ready")
    assert book.boot_wait() == 0
    assert book.boot_wait() == 2
    clock.advance(301)
    assert book.boot_wait() == 0


def test_a_budget_of_a_week_outlives_a_compaction(book, clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_LINES", 50)
    monkeypatch.setattr(module, "MAX_KEPT", 10)
    week = ((3, 7 * 86_400),)
    for _ in range(3):
        book.book("dial", week)
    clock.advance(2 * 86_400)
    for _ in range(60):
        book.note("heard")
    with pytest.raises(Throttled):
        book.book("dial", week)
