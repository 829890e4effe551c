"""The store's clock, as its answers tell it: never the machine's own."""

from __future__ import annotations

from genops_events.gemini.permits import StoreClock


def test_what_it_shows_lies_between_what_the_answers_two_ends_say() -> None:
    clock = StoreClock(told=1000.0, asked_at=10.0, answered_at=10.4)
    assert (clock.earliest(12.0), clock.latest(12.0)) == (1001.6, 1002.0)
    assert clock.monotonic(1000.0) == 10.2


def test_the_closest_answer_counts_and_ages() -> None:
    close = StoreClock(told=1000.0, asked_at=10.0, answered_at=10.01)
    wide = StoreClock(told=1005.5, asked_at=15.0, answered_at=16.0)  # of a process that was stopped meanwhile
    assert not wide.goes_before(close)
    assert close.goes_before(StoreClock(told=995.0, asked_at=5.0, answered_at=5.5))
    much_later = StoreClock(told=1200.01, asked_at=210.0, answered_at=210.05)
    assert much_later.goes_before(close), "a monotonic clock may have drifted by then"


def test_an_answer_that_contradicts_counts_for_the_machine_was_suspended() -> None:
    before = StoreClock(told=1000.0, asked_at=10.0, answered_at=10.01)
    after = StoreClock(told=1900.0, asked_at=15.0, answered_at=15.5)
    assert after.goes_before(before)
