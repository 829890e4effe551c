from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from genops_events.waiting.jobs import JobView, describe_state, expected_end

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "detail", "words"),
    [
        ("JOB_STATE_PENDING", "TUNING_JOB_STATE_WAITING_FOR_QUOTA", "waiting for quota"),
        ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_TUNING", "tuning"),
        ("JOB_STATE_RUNNING", "", "running"),
        ("JOB_STATE_RUNNING", None, "running"),
        ("JOB_STATE_PAUSED", "TUNING_JOB_STATE_TUNING", "paused"),
        ("JOB_STATE_CANCELLING", "TUNING_JOB_STATE_TUNING", "cancelling"),
    ],
)
def test_a_state_in_words_is_the_finer_one_only_of_a_job_at_work(state: str, detail: str | None, words: str) -> None:
    assert describe_state(state, detail) == words


@pytest.mark.parametrize(
    ("state", "steps", "minutes"),
    [
        ("JOB_STATE_RUNNING", 24, 30),
        ("JOB_STATE_RUNNING", 96, None),
        ("JOB_STATE_RUNNING", 0, None),
        ("JOB_STATE_RUNNING", None, None),
        ("JOB_STATE_PAUSED", 24, None),
        ("JOB_STATE_CANCELLING", 24, None),
    ],
)
def test_the_end_is_expected_of_a_job_at_work_by_the_steps_that_it_has_done(
    state: str, steps: int | None, minutes: float | None
) -> None:
    view = JobView("job", state, started_at=NOW - timedelta(minutes=10), steps=steps, steps_total=96)
    expected = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert expected_end(view, now=NOW) == expected


@pytest.mark.parametrize(("epochs", "minutes"), [(1, 30), (4, None), (0, None), (None, None)])
def test_the_end_is_expected_by_epochs_where_no_steps_are_told(epochs: int | None, minutes: float | None) -> None:
    begun = NOW - timedelta(minutes=10)
    view = JobView("job", "JOB_STATE_RUNNING", started_at=begun, epochs=epochs, epochs_total=4, steps_total=96)
    expected = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert expected_end(view, now=NOW) == expected
