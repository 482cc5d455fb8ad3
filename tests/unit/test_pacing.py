"""Back-off stays within its bounds, the window forgets, the bucket learns."""

from __future__ import annotations

import random

from hermes_green.core.pacing import Backoff, Bucket, Window, enter


def longest(low: float, high: float) -> float:
    return high


def test_backoff_doubles_up_to_its_maximum_and_starts_anew_after_a_reset() -> None:
    backoff = Backoff(1, 60, draw=longest)
    assert [backoff.next() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.failures == 8
    backoff.reset()
    assert (backoff.failures, backoff.next()) == (0, 1)


def test_jitter_is_drawn_from_the_whole_range() -> None:
    backoff = Backoff(1, 60, draw=random.Random(4).uniform)
    for _ in range(6):
        backoff.next()
    waits = [backoff.next() for _ in range(2000)]
    assert 0 <= min(waits) < 3 and 57 < max(waits) <= 60
    assert 28 < sum(waits) / len(waits) < 32


def test_backoff_survives_weeks_of_failures() -> None:
    backoff = Backoff(0.5, 60, draw=longest)
    for _ in range(100_000):
        last = backoff.next()
    assert last == 60


def test_a_backoff_of_nothing_does_not_wait() -> None:
    backoff = Backoff(0, 0)
    assert [backoff.next() for _ in range(5)] == [0] * 5


def test_the_window_trips_at_its_limit_and_forgets_what_is_old() -> None:
    window = Window(3, 10)
    assert [window.add(now) for now in (0, 1)] == [False, False]
    assert window.add(2) is True
    assert window.count(10) == 2, "the event at 0 is ten seconds old"
    assert window.count(11.5) == 1
    assert window.add(100) is False


def test_a_cleared_window_begins_anew() -> None:
    window = Window(1, 10)
    assert window.add(0) is True
    window.clear()
    assert window.count(0) == 0


def test_the_bucket_lets_count_sends_pass_per_span() -> None:
    bucket = Bucket(2, 10)
    for now in (0, 1):
        assert bucket.wait(now) == 0
        bucket.spend(now)
    assert bucket.wait(1) == 9
    assert bucket.wait(10) == 0
    bucket.spend(10)
    assert bucket.wait(10) == 1


def test_sends_booked_beyond_the_count_wait_for_their_own_place() -> None:
    bucket = Bucket(2, 10)
    for now in (0, 1, 2, 3):
        bucket.spend(now)
    assert bucket.wait(4) == 8, "two of the last ten seconds' sends must have gone: those at 0 to 2"


def test_the_bucket_obeys_the_platforms_silence_and_then_opens() -> None:
    bucket = Bucket(5, 1)
    bucket.close(0, 30)
    bucket.close(1, 2)
    assert bucket.wait(1) == 29
    assert bucket.wait(30) == 0


def test_a_bucket_may_be_forgotten_once_it_holds_no_memory() -> None:
    bucket = Bucket(5, 1)
    assert bucket.idle(0)
    bucket.spend(0)
    assert not bucket.idle(0.5)
    assert bucket.idle(2)
    bucket.close(2, 5)
    assert not bucket.idle(3)


def test_a_send_is_booked_in_all_buckets_or_in_none():
    buckets = [Bucket(3, 10), Bucket(1, 1)]
    assert enter(buckets, 0) == 0 and enter(buckets, 0.25) == 0.75
    assert enter(buckets, 1) == 0 and enter(buckets, 2) == 0, "what had to wait was not booked"
    assert enter(buckets, 3) == 7 and enter([], 3) == 0
