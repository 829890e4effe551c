"""Permits fall due by the clock of the store, as its answers tell it: never by the machine's own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from genops_events.gemini import permits
from genops_events.gemini.permits import Permits, StoreClock
from genops_events.gemini.quota_shares import Slot


async def another_waits(given: Permits) -> None:
    """Look that there is no permit for one more call."""
    another = asyncio.create_task(given.take())
    for _ in range(5):  # it would have one by now
        await asyncio.sleep(0)
    assert given.waiting == 1
    another.cancel()


def test_what_it_shows_lies_between_what_the_answers_two_ends_say() -> None:
    clock = StoreClock(reading=1000.0, asked_at=10.0, answered_at=10.4)
    assert (clock.earliest(12.0), clock.latest(12.0)) == (1001.6, 1002.0)
    assert clock.monotonic(1000.0) == 10.2


def test_the_closest_answer_counts_and_ages() -> None:
    close = StoreClock(reading=1000.0, asked_at=10.0, answered_at=10.01)
    wide = StoreClock(reading=1005.5, asked_at=15.0, answered_at=16.0)  # of a process that was stopped meanwhile
    assert not wide.replaces(close)
    assert close.replaces(StoreClock(reading=995.0, asked_at=5.0, answered_at=5.5))
    much_later = StoreClock(reading=1200.01, asked_at=210.0, answered_at=210.05)
    assert much_later.replaces(close), "a monotonic clock may have drifted by then"


def test_an_answer_that_contradicts_counts_for_the_machine_was_suspended() -> None:
    before = StoreClock(reading=1000.0, asked_at=10.0, answered_at=10.01)
    after = StoreClock(reading=1900.0, asked_at=15.0, answered_at=15.5)
    assert after.replaces(before)


async def test_permits_whose_moment_has_passed_when_they_are_given_are_not_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.4
    monkeypatch.setattr(permits, "time", SimpleNamespace(monotonic=lambda: now))
    given = Permits()
    given.add(100.0, [Slot(0.1, 5), Slot(0.5, 1)])
    now = 100.5
    await given.take()
    await another_waits(given)
    assert given.used == 1


async def test_a_piece_may_be_used_at_any_moment_of_it_and_not_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.2
    monkeypatch.setattr(permits, "time", SimpleNamespace(monotonic=lambda: now))
    given = Permits()
    given.add_piece(100.0, 2)
    await given.take(2)
    now = 100.25
    given.add_piece(100.0, 5)
    await another_waits(given)
    assert given.used == 2


async def test_a_piece_is_used_before_the_permits_that_fall_due_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(permits, "time", SimpleNamespace(monotonic=lambda: now))
    given = Permits()
    given.add(100.0, [Slot(4.0, 1)])
    given.add_piece(100.0, 1)
    await given.take()
    assert given.used == 1


async def test_a_call_is_short_of_permits_while_it_waits_and_none_has_fallen_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, said = 100.0, []
    monkeypatch.setattr(permits, "time", SimpleNamespace(monotonic=lambda: now))
    given = Permits(lambda: said.append(now))
    assert not given.is_short, "nobody waits"
    waiting = asyncio.create_task(given.take(2))
    await asyncio.sleep(0)
    assert said == [100.0]
    assert given.is_short
    given.add(100.0, [Slot(0.05, 1), Slot(4.0, 1)])
    assert given.is_short, "of the others' rest it could have one now"
    now = 100.05
    assert not given.is_short
    waiting.cancel()


async def test_who_waits_with_permits_ahead_asks_for_twice_what_it_has_and_who_is_idle_for_what_it_used() -> None:
    given = Permits()
    far = asyncio.get_running_loop().time() + 1000.0
    given.add(far, [Slot(0.0, 100)])
    assert given.next_demand(6000, waiting=False) == 1, "what nobody waits for is no need"
    waiting = asyncio.create_task(given.take())
    await asyncio.sleep(0)
    assert given.next_demand(6000, waiting=True) == 200
    waiting.cancel()
