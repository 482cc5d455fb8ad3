"""TokenCache: one fetch for all, ahead of the end, and never a worse answer than it has."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import AuthRejected, LinkLost
from hermes_green.link.tokens import TokenCache, life_of

HIDDEN: list[str] = []


class Source:
    """A platform's token endpoint; ``gate`` holds its answers back, ``error`` is raised instead."""

    def __init__(self, life: float = 7200) -> None:
        self.calls = 0
        self.life = life
        self.error: Exception | None = None
        self.gate = Event()
        self.gate.set()

    def __call__(self) -> tuple[str, float]:
        self.calls += 1
        number = self.calls
        self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"token-{number}", self.life


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def together(cache: TokenCache, count: int = 10) -> list[Any]:
    jobs = [gevent.spawn(cache.get) for _ in range(count)]
    gevent.sleep(0)
    return jobs


def test_many_who_ask_at_once_share_one_fetch(clock: ManualClock) -> None:
    source = Source()
    source.gate.clear()
    jobs = together(TokenCache(source, clock, HIDDEN.append))
    source.gate.set()
    gevent.joinall(jobs, timeout=60)
    assert {job.value for job in jobs} == {"token-1"} and source.calls == 1


def test_every_token_is_told_to_what_hides_it(clock: ManualClock) -> None:
    HIDDEN.clear()
    cache = TokenCache(Source(), clock, HIDDEN.append)
    cache.drop(cache.get())
    cache.get()
    assert HIDDEN == ["token-1", "token-2"]


def test_many_who_ask_at_once_share_one_error(clock: ManualClock) -> None:
    source = Source()
    source.error = AuthRejected("no")
    source.gate.clear()
    cache = TokenCache(source, clock, HIDDEN.append)
    jobs = together(cache)
    source.gate.set()
    gevent.joinall(jobs, timeout=60)
    assert all(job.exception is source.error for job in jobs) and source.calls == 1
    source.error = None
    assert cache.get() == "token-2", "an error is not kept"


def test_a_killed_fetch_is_taken_over(clock: ManualClock) -> None:
    source = Source()
    source.gate.clear()
    jobs = together(TokenCache(source, clock, HIDDEN.append), 3)
    jobs[0].kill()
    source.gate.set()
    gevent.joinall(jobs[1:], timeout=60)
    assert [job.value for job in jobs[1:]] == ["token-2", "token-2"]


def test_a_token_is_used_until_a_minute_before_its_end(clock: ManualClock) -> None:
    source = Source(life=7200)
    cache = TokenCache(source, clock, HIDDEN.append)
    cache.get()
    clock.advance(7139)
    assert cache.get() == "token-1"
    clock.advance(2)
    assert cache.get() == "token-2"


def test_a_short_lived_token_is_renewed_at_nine_tenths(clock: ManualClock) -> None:
    source = Source(life=10)
    cache = TokenCache(source, clock, HIDDEN.append)
    cache.get()
    clock.advance(8.9)
    assert cache.get() == "token-1"
    clock.advance(0.2)
    assert cache.get() == "token-2"


def test_the_old_token_serves_while_the_new_one_is_on_its_way(clock: ManualClock) -> None:
    source = Source(life=100)
    cache = TokenCache(source, clock, HIDDEN.append)
    cache.get()
    clock.advance(95)
    source.gate.clear()
    jobs = together(cache, 3)
    gevent.joinall(jobs[1:], timeout=60)
    assert [job.value for job in jobs[1:]] == ["token-1", "token-1"]
    source.gate.set()
    assert jobs[0].get(timeout=60) == "token-2" and cache.get() == "token-2"


def test_the_old_token_serves_while_the_platform_is_away(clock: ManualClock) -> None:
    source = Source(life=100)
    cache = TokenCache(source, clock, HIDDEN.append)
    cache.get()
    clock.advance(91)
    source.error = LinkLost("away")
    assert cache.get() == "token-1" and cache.get() == "token-1"
    assert source.calls == 2, "the platform is not asked at every call"
    clock.advance(10)
    with pytest.raises(LinkLost):
        cache.get()


def test_a_refused_renewal_is_told_at_once(clock: ManualClock) -> None:
    source = Source(life=100)
    cache = TokenCache(source, clock, HIDDEN.append)
    cache.get()
    clock.advance(91)
    source.error = AuthRejected("no")
    with pytest.raises(AuthRejected):
        cache.get()


def test_a_dropped_token_is_fetched_anew_once(clock: ManualClock) -> None:
    source = Source()
    cache = TokenCache(source, clock, HIDDEN.append)
    old = cache.get()
    cache.drop(old)
    assert cache.get() == "token-2"
    cache.drop(old)
    assert cache.get() == "token-2", "somebody else had replaced it already"


@pytest.mark.parametrize("told", [None, "soon", "-5", -5, float("nan"), "inf", 10**400])
def test_a_life_that_makes_no_sense_is_none(told: Any) -> None:
    assert life_of(told) == 0.0
    assert (life_of("7200"), life_of(7200)) == (7200.0, 7200.0)


def test_a_token_that_was_called_invalid_meanwhile_is_not_handed_out_because_its_successor_cannot_be_had(
    clock: ManualClock,
) -> None:
    source = Source()
    cache = TokenCache(source, clock, HIDDEN.append)
    old = cache.get()
    clock.advance(7200 - 30)  # it lives, and is to be renewed
    source.gate.clear()
    renewing = gevent.spawn(cache.get)
    gevent.sleep(0)
    cache.drop(old)
    waiting = gevent.spawn(cache.get)
    gevent.sleep(0)
    source.error = LinkLost("away")
    source.gate.set()
    gevent.joinall([renewing, waiting], timeout=60)
    for each in (renewing, waiting):
        assert isinstance(each.exception, LinkLost), each.value
