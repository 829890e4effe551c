from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.genai.types import JobState
from hypothesis import given
from hypothesis import strategies as st

from genops_events.polling import ABSENT, LONGEST_BACK_OFF_SECONDS, Ended, JobEnd, Wait, back_off_seconds, on_state

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

ENDS = {
    "JOB_STATE_SUCCEEDED": JobEnd.SUCCEEDED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": JobEnd.FAILED,
    "JOB_STATE_FAILED": JobEnd.FAILED,
    "JOB_STATE_CANCELLED": JobEnd.CANCELLED,
    "JOB_STATE_EXPIRED": JobEnd.EXPIRED,
}


def decide(state: str, *, now: datetime = NOW, absences: int = 0) -> Wait | Ended:
    return on_state(state, now=now, deadline=LATER, poll_seconds=30, absences=absences)


@pytest.mark.parametrize("state", [one.value for one in JobState])
def test_every_state_that_the_client_knows_either_ends_the_wait_or_is_waited_out(state):
    expected = Ended(ENDS[state]) if state in ENDS else Wait(30)
    assert decide(state) == expected


def test_a_state_that_nobody_has_heard_of_is_waited_out_until_the_deadline():
    assert decide("JOB_STATE_DREAMING") == Wait(30)
    assert decide("JOB_STATE_DREAMING", now=LATER) == Ended(JobEnd.TIMED_OUT)


def test_a_job_that_ended_in_time_is_not_called_late_by_whoever_looks_late():
    assert decide("JOB_STATE_SUCCEEDED", now=LATER + timedelta(days=1)) == Ended(JobEnd.SUCCEEDED)


def test_a_job_has_vanished_only_when_it_is_absent_again_and_again():
    first = decide(ABSENT)
    assert first == Wait(30, absences=1)
    second = decide(ABSENT, absences=1)
    assert second == Wait(30, absences=2)
    assert decide(ABSENT, absences=2) == Ended(JobEnd.VANISHED)


def test_one_look_that_finds_the_job_forgets_the_absences():
    assert decide("JOB_STATE_RUNNING", absences=2) == Wait(30, absences=0)


@given(st.integers(1, 10_000), st.floats(0.1, 60), st.floats(0, 1))
def test_back_off_grows_with_failures_and_never_past_its_bound(failures, poll_seconds, jitter):
    pause = back_off_seconds(failures, poll_seconds=poll_seconds, jitter=jitter)
    assert 0 < pause <= LONGEST_BACK_OFF_SECONDS
    assert pause <= back_off_seconds(failures + 1, poll_seconds=poll_seconds, jitter=jitter)
