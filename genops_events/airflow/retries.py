"""Decide in one place which failures of a task are worth another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

_PERMANENT = RetryRule(
    exception="genops_events.errors.PermanentError",
    action=RetryAction.FAIL,
    reason="Trying again gives the same result; the message says what must change first",
)
_BEING_EDITED = RetryRule(
    exception="genops_events.errors.ConfigError",
    action=RetryAction.RETRY,
    retry_delay=timedelta(minutes=10),
    reason="Somebody is editing genops.yaml; a candidate that is paid for waits an hour for that",
)
_UNANSWERED = RetryRule(
    exception="genops_events.airflow.tuning.SubmissionUnanswered",
    action=RetryAction.RETRY,
    retry_delay=timedelta(minutes=2),
    reason="A job may have been created all the same: it is looked for once it would be listed",
)

INTAKE_RETRIES = ExceptionRetryPolicy(rules=[_PERMANENT])
"""Everything but a permanent error is tried again: also errors that nobody has thought of."""

STAGE_RETRIES = ExceptionRetryPolicy(rules=[_UNANSWERED, _BEING_EDITED, _PERMANENT])
"""As intake, but patient where giving up would waste a job that is paid for. The first rule that fits counts."""

STAGE_DEFAULTS: dict[str, Any] = {
    "retries": 6,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": STAGE_RETRIES,
    "weight_rule": "absolute",
}
"""How every stage task is retried: about eight minutes of trouble at Google Cloud pass unnoticed."""

SUBMISSION_PRIORITY = 10
"""Weight of the tasks before the wait for a tuning job, over 1 of all others: a job that runs early ends early."""

INTAKE_PRIORITY = 100
"""Weight of intake, over all others: an arrival waits for no candidate that is under way."""
