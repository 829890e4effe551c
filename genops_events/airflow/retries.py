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
    reason="genops.yaml has an error, perhaps since a person is editing it; a paid candidate waits up to an hour for that",
)

_LEDGER_DAMAGED = RetryRule(
    exception="genops_events.money.ledger.LedgerDamaged",
    action=RetryAction.RETRY,
    retry_delay=timedelta(minutes=10),
    reason="The ledger was changed by hand and is damaged; a paid candidate waits up to an hour for a person to fix it",
)

_BUSY = RetryRule(
    exception="genops_events.gcp.errors.CloudBusy",
    action=RetryAction.RETRY,
    retry_delay=timedelta(minutes=10),
    reason="Google Cloud asked to be called much later; the task waits without a worker",
)

INTAKE_RETRIES = ExceptionRetryPolicy(rules=[_BUSY, _PERMANENT])
"""Everything but a permanent error is tried again: also errors that were not foreseen."""

STAGE_RETRIES = ExceptionRetryPolicy(rules=[_BUSY, _BEING_EDITED, _LEDGER_DAMAGED, _PERMANENT])
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

OWN_DAG_DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "retry_policy": INTAKE_RETRIES,
}
"""`default_args` for a Dag of your own that calls this library: a wrong form or a spent budget is not tried again."""
