"""A child asks its dial book before every dial, and a disk that is full must not look like a crash."""

from __future__ import annotations

from typing import Any

import pytest

from hermes_green.core.clock import ManualClock, SystemClock
from hermes_green.core.errors import Throttled
from hermes_green.ops.ledger import Ledger
from hermes_green.ops.offhub import OffHubTimeout
from hermes_green.runtime.dials import DialBook
from hermes_green.runtime.suspicion import Suspicion

BUDGET = ((2, 120.0),)


class FullDisk(Ledger):
    """Reads, and cannot write."""

    def _append(self, file: int, entry: Any) -> None:
        raise OSError(28, "No space left on device")


def book_of(ledger: Ledger, counts: list[str] | None = None, budget: Any = BUDGET) -> DialBook:
    count = counts.append if counts is not None else lambda outcome: None
    offhub = lambda work, *args: work(*args)  # noqa: E731
    calm = Suspicion(ledger, offhub, SystemClock(), "")
    return DialBook(ledger, offhub, {"dial": budget}, lambda: None, "secret", 0, count, calm)


def start(path, *, ready: bool = False) -> DialBook:
    """A process begins, dials, and perhaps comes to READY."""
    book = book_of(Ledger(path, SystemClock()), budget=())
    book.before_dial(handover=False)
    if ready:
        book.accepted()
    return book


def test_starts_that_come_to_nothing_keep_their_distance_and_those_that_led_to_a_link_do_not(tmp_path):
    start(tmp_path / "a", ready=True)
    start(tmp_path / "a")
    with pytest.raises(Throttled) as caught:
        start(tmp_path / "a")
    assert caught.value.code == "boot_spacing" and caught.value.after == 2


def test_a_spent_budget_is_told_and_not_the_shorter_spacing_of_starts(tmp_path):
    book_of(Ledger(tmp_path / "a", SystemClock())).before_dial(handover=False)
    counts: list[str] = []
    again = book_of(Ledger(tmp_path / "a", SystemClock()), counts)
    with pytest.raises(Throttled) as caught:
        again.before_dial(handover=False)
    assert caught.value.code == "boot_spacing"
    again.before_dial(handover=False)
    third = book_of(Ledger(tmp_path / "a", SystemClock()), counts)
    with pytest.raises(Throttled, match="cooling down until") as caught:
        third.before_dial(handover=False)
    assert caught.value.code == "budget_spent" and caught.value.after > 100
    assert counts == ["refused", "made", "refused"]


def test_a_full_disk_makes_dials_wait_and_is_no_crash(tmp_path):
    start(tmp_path / "a", ready=True)
    book = book_of(FullDisk(tmp_path / "a", SystemClock()))
    for _ in range(2):
        with pytest.raises(Throttled) as caught:
            book.before_dial(handover=False)
        assert caught.value.code == "ledger_away"


@pytest.mark.parametrize("own", [None, ((1, 60.0), (9, 600.0)), ()], ids=["none", "another", "no limit"])
def test_the_operators_budget_is_for_dials_and_for_nothing_else_that_is_counted(tmp_path, own):
    ledger, identify = Ledger(tmp_path / "a", SystemClock()), ((1, 5.0),)
    offhub = lambda work, *args: work(*args)  # noqa: E731
    calm = Suspicion(ledger, offhub, SystemClock(), "")
    budgets = {"dial": BUDGET, "identify": identify}
    book = DialBook(ledger, offhub, budgets, lambda: own, "secret", 0, lambda outcome: None, calm)
    assert book.windows("dial") == (BUDGET if own is None else own)
    assert book.windows("identify") == identify
    book.spend("identify")
    with pytest.raises(Throttled):
        book.spend("identify")
    for _ in range(9):
        book.spend("free")


class HungDisk(Ledger):
    """Ends no call within its deadline."""

    def book(self, *args: Any, **kwargs: Any) -> None:
        raise OffHubTimeout("book took more than 30 s")

    note = usage = book  # type: ignore[assignment]


def test_a_disk_that_hangs_makes_dials_wait_keeps_links_up_and_shows_in_no_status(tmp_path):
    book = book_of(HungDisk(tmp_path / "a", SystemClock()))
    book._booted = True
    with pytest.raises(Throttled) as caught:
        book.before_dial(handover=False)
    assert caught.value.code == "ledger_away" and caught.value.after > 0
    with pytest.raises(Throttled):
        book.spend("dial")
    book.accepted()
    book.look().join()
    assert book.usage() == []


def test_a_spent_budget_is_told_though_the_disk_cannot_note_the_burst(tmp_path):
    ledger = Ledger(tmp_path / "a", SystemClock())
    for _ in range(2):
        ledger.book("dial", ())
    ledger.note("opened")
    full = FullDisk(tmp_path / "a", SystemClock())
    book = book_of(full)
    book._booted = True
    book._suspicion = Suspicion(full, lambda work, *args: work(*args), SystemClock(), "wait")
    with pytest.raises(Throttled) as caught:
        book.before_dial(handover=False)
    assert caught.value.code == "suspect" and caught.value.after > 295


def test_whether_a_secret_was_accepted_before_is_asked_with_the_dial_and_known_without_a_wait_afterwards(tmp_path):
    start(tmp_path / "a", ready=True)
    again = book_of(Ledger(tmp_path / "a", SystemClock()))
    again.before_dial(handover=False)
    again._offhub = None  # nothing is asked any more
    assert again.was_accepted()
    stranger = book_of(Ledger(tmp_path / "b", SystemClock()))
    stranger.before_dial(handover=False)
    assert not stranger.was_accepted()


def test_each_process_notes_that_its_secret_was_accepted_though_an_earlier_one_had(tmp_path):
    for _ in range(2):
        start(tmp_path / "a", ready=True)
    lines = (tmp_path / "a").read_text().splitlines()
    assert sum('"kind": "ready"' in line for line in lines) == 2


def test_a_link_that_came_up_stays_up_when_the_disk_cannot_note_it(tmp_path):
    book = book_of(FullDisk(tmp_path / "a", SystemClock()))
    book.accepted()
    assert book.was_accepted()


def suspected(path, budget: Any = BUDGET) -> DialBook:
    """The dial book of a new process, of a platform that may go deaf when it is dialled too often."""
    book = book_of(Ledger(path, SystemClock()), budget=budget)
    book._suspicion = Suspicion(book._ledger, lambda work, *args: work(*args), SystemClock(), "the other remedy")
    return book


def dialled(book: DialBook) -> None:
    """A dial of which a link came."""
    book.before_dial(handover=False)
    book.accepted()


def refused(book: DialBook) -> Throttled:
    with pytest.raises(Throttled) as caught:
        book.before_dial(handover=False)
    return caught.value


def test_a_burst_that_makes_it_suspect_is_told_with_the_longer_time_at_once(tmp_path):
    book = suspected(tmp_path / "a")
    for _ in range(2):
        dialled(book)
    told = refused(book)
    assert book.suspect and 295 < told.after <= 300 and told.action == "the other remedy", told


def test_a_process_that_only_waits_for_its_first_dial_knows_that_it_is_suspect(tmp_path):
    one = suspected(tmp_path / "a")
    for _ in range(2):
        dialled(one)
    refused(one)
    for _ in range(2):
        other = suspected(tmp_path / "a")
        told = refused(other)
        assert other.suspect and 295 < told.after <= 300 and told.action == "the other remedy", told


def test_a_dial_that_brought_no_message_either_doubles_the_distance_at_once(tmp_path):
    now = ManualClock()
    ledger = Ledger(tmp_path / "a", now)
    book = suspected(tmp_path / "a")
    book._ledger, book._suspicion = ledger, Suspicion(ledger, lambda work, *args: work(*args), now, "the other remedy")
    for _ in range(2):
        dialled(book)
    for minutes in (5, 10, 20, 40, 60, 60):
        assert abs(refused(book).after - 60 * minutes) < 1 and refused(book).code == "suspect"
        now.advance(60 * minutes)
        dialled(book)


def test_dials_that_reach_nobody_spend_the_budget_and_make_nobody_suspect(tmp_path):
    book = suspected(tmp_path / "a")
    for _ in range(2):
        book.before_dial(handover=False)
    told = refused(book)
    assert not book.suspect and told.code == "budget_spent" and told.after < 130, told


def test_a_budget_that_is_spent_for_longer_than_it_is_suspect_is_what_is_told(tmp_path):
    book = suspected(tmp_path / "a", ((2, 900.0),))
    for _ in range(2):
        dialled(book)
    for _ in range(2):
        told = refused(book)
        assert book.suspect and told.after > 890, told


def test_what_else_a_platform_counts_is_shown_beside_the_dials_and_its_refusal_is_counted(tmp_path):
    counts: list[str] = []
    book = book_of(Ledger(tmp_path / "a", SystemClock()), counts, budget=((4, 120.0),))
    book._budgets = {**book._budgets, "identify": ((1, 5.0), (1000, 86400.0))}
    book.before_dial(handover=False)
    book.spend("identify")
    with pytest.raises(Throttled):
        book.spend("identify")
    book.look().join()
    assert book.usage() == [
        {"window": 120.0, "used": 1, "limit": 4},
        {"window": 5.0, "used": 1, "limit": 1, "kind": "identify"},
        {"window": 86400.0, "used": 1, "limit": 1000, "kind": "identify"},
    ]
    assert counts == ["made", "refused"]
