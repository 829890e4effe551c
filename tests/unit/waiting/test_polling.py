"""Waiting for Vertex AI jobs: what to do next follows from states and time alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.genai.types import JobState
from hypothesis import given
from hypothesis import strategies as st

from genops_events.waiting.jobs import JobView
from genops_events.waiting.polling import (
    ABSENT,
    LONGEST_BACK_OFF_SECONDS,
    UNSEEN,
    WIDEST,
    Ended,
    JobEnd,
    Pause,
    Round,
    Wait,
    key_of,
    on_state,
    seconds_after_failures,
    with_jitter,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATER = NOW + timedelta(hours=24)
ENDS = {
    "JOB_STATE_SUCCEEDED": JobEnd.SUCCEEDED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": JobEnd.PARTIALLY_SUCCEEDED,
    "JOB_STATE_FAILED": JobEnd.FAILED,
    "JOB_STATE_CANCELLED": JobEnd.CANCELLED,
    "JOB_STATE_EXPIRED": JobEnd.EXPIRED,
}


def waiting(number: int = 1, *, began: datetime = NOW, absences: int = 0) -> Wait:
    return Wait(f"projects/p/locations/l/tuningJobs/{number}", began, began + timedelta(hours=24), 30, absences)


def view(number: int, *, created_at: datetime | None = NOW) -> JobView:
    # A listing names the project by its number, whatever the caller called it by.
    return JobView(f"projects/123/locations/l/tuningJobs/{number}", "JOB_STATE_RUNNING", created_at=created_at)


@pytest.mark.parametrize("state", [one.value for one in JobState])
def test_every_state_that_the_client_knows_either_ends_the_wait_or_is_waited_out(state):
    expected = Ended(ENDS[state]) if state in ENDS else Pause(30)
    assert on_state(waiting(), state, now=NOW) == expected


def test_a_state_that_nobody_has_heard_of_is_waited_out_until_the_deadline():
    assert on_state(waiting(), "JOB_STATE_DREAMING", now=NOW) == Pause(30)
    assert on_state(waiting(), "JOB_STATE_DREAMING", now=LATER) == Ended(JobEnd.TIMED_OUT)


def test_a_job_that_cannot_be_seen_is_waited_out_until_the_deadline_and_is_not_absent():
    assert on_state(waiting(absences=2), UNSEEN, now=NOW) == Pause(30, absences=2)
    assert on_state(waiting(), UNSEEN, now=LATER) == Ended(JobEnd.TIMED_OUT)


def test_a_job_that_ended_in_time_is_not_called_late_by_whoever_looks_late():
    assert on_state(waiting(), "JOB_STATE_SUCCEEDED", now=LATER + timedelta(days=1)) == Ended(JobEnd.SUCCEEDED)


def test_a_job_has_vanished_only_when_it_is_absent_again_and_again():
    assert on_state(waiting(), ABSENT, now=NOW) == Pause(30, absences=1)
    assert on_state(waiting(absences=1), ABSENT, now=NOW) == Pause(30, absences=2)
    assert on_state(waiting(absences=2), ABSENT, now=NOW) == Ended(JobEnd.VANISHED)


def test_one_look_that_finds_the_job_forgets_the_absences():
    assert on_state(waiting(absences=2), "JOB_STATE_RUNNING", now=NOW) == Pause(30, absences=0)


def test_an_old_job_is_looked_at_less_often_and_at_its_deadline_to_the_second():
    young, older, oldest = (
        on_state(waiting(began=NOW - timedelta(hours=hours)), "JOB_STATE_RUNNING", now=NOW) for hours in (0, 1, 20)
    )
    assert (young, older, oldest) == (Pause(30), Pause(60), Pause(30 * WIDEST))
    nearly = waiting(began=NOW - timedelta(hours=24) + timedelta(seconds=7))
    assert on_state(nearly, "JOB_STATE_RUNNING", now=NOW) == Pause(7)


@given(st.integers(1, 10_000), st.floats(0.1, 60), st.floats(0, 1))
def test_failed_looks_are_further_and_further_apart_up_to_five_minutes(failures, poll_seconds, drawn):
    pause = seconds_after_failures(failures, poll_seconds=poll_seconds, drawn=drawn)
    assert poll_seconds <= pause <= LONGEST_BACK_OFF_SECONDS
    assert pause <= seconds_after_failures(failures + 1, poll_seconds=poll_seconds, drawn=drawn)


def test_back_off_is_never_shorter_than_what_the_service_asked_for():
    assert seconds_after_failures(1, poll_seconds=1, drawn=1, asked_for=45.0) == 45.0
    assert seconds_after_failures(5, poll_seconds=30, drawn=1, asked_for=45.0) > 45.0


@given(st.floats(0.1, 1000), st.floats(0, 1))
def test_jitter_lengthens_a_pause_by_a_tenth_at_most(seconds, share):
    assert seconds <= with_jitter(seconds, share=share) <= 1.1 * seconds * 1.001


# A round: how few calls answer for how many jobs.


def answered(waits: list[Wait], listing: list[JobView], *, page_size: int = 100) -> tuple[int, list[str]]:
    """Return how many pages a round takes, and the jobs that it asks for one by one."""
    round_ = Round(waits)
    pages = 0
    while round_.wants_page:
        page = listing[pages * page_size : (pages + 1) * page_size]
        pages += 1
        round_.take(page, more=len(listing) > pages * page_size)
    return pages, [wait.job for wait in round_.one_by_one]


def test_nothing_that_is_due_takes_no_call():
    assert answered([], [view(1)]) == (0, [])


def test_a_thousand_jobs_take_ten_calls():
    waits = [waiting(number) for number in range(1000)]
    assert answered(waits, [view(number) for number in reversed(range(1000))]) == (10, [])


def test_paging_stops_as_soon_as_every_waiter_is_answered():
    listing = [view(number) for number in reversed(range(1000))]
    assert answered([waiting(999), waiting(950)], listing) == (1, [])


def test_what_the_listing_does_not_show_is_asked_for_alone():
    pages, alone = answered([waiting(1), waiting(2)], [view(2)])
    assert (pages, alone) == (1, ["projects/p/locations/l/tuningJobs/1"])


def test_pages_older_than_the_job_are_not_turned():
    old = [view(number, created_at=NOW - timedelta(days=1)) for number in range(1000, 2000)]
    assert answered([waiting(1), waiting(2), waiting(3)], old) == (
        1,
        [f"projects/p/locations/l/tuningJobs/{number}" for number in (1, 2, 3)],
    )


@given(st.sets(st.integers(0, 999), min_size=1), st.integers(1, 100))
def test_a_round_answers_for_everybody_within_two_calls_each(numbers, page_size):
    waits = [waiting(number) for number in numbers]
    listing = [view(number) for number in reversed(range(0, 1000, 2))]  # odd ones are not listed
    pages, alone = answered(waits, listing, page_size=page_size)
    shown = {key_of(one.name) for one in listing[: pages * page_size]}
    assert {key_of(job) for job in alone} == {wait.key for wait in waits} - shown
    assert pages + len(alone) <= 2 * len(waits)
