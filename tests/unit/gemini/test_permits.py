"""Permits fall due by the clock of the store, as its answers tell it: never by the machine's own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from genops_events.gemini import permits
from genops_events.gemini.permits import Permits, StoreClock
from genops_events.gemini.quota_shares import Slot


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
    another = asyncio.create_task(given.take())
    for _ in range(5):  # it would have one by now
        await asyncio.sleep(0)
    assert (given.used, given.waiting) == (1, 1)
    another.cancel()
