"""Decide in one place which failures of a task are worth another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

GCP_RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception="genops_events.errors.PermanentError",
            action=RetryAction.FAIL,
            reason="Trying again gives the same result; the message says what must change first",
        ),
    ],
)
"""Everything but a permanent error is tried again: also errors that nobody has thought of."""

STAGE_DEFAULTS: dict[str, Any] = {
    "retries": 6,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": GCP_RETRIES,
    "weight_rule": "absolute",
}
"""How every stage task is retried: about eight minutes of trouble at Google Cloud pass unnoticed."""

SUBMISSION_PRIORITY = 10
"""Weight of the tasks before the wait for a tuning job, over 1 of all others: a job that runs early ends early."""

INTAKE_PRIORITY = 100
"""Weight of intake, over all others: an arrival waits for no candidate that is under way."""
