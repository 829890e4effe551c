"""Between Airflow's task and the work that knows no Airflow: what a Dag run is about, and how nothing to do shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events.errors import StepAside


def partition_key_of(context: Context) -> str | None:
    """Return the partition key of the task's Dag run; None where it has none, for instance since a person started it."""
    key = context.get("partition_key") or getattr(context["dag_run"], "partition_key", None)
    return str(key) if key else None


@contextmanager
def stepping_aside() -> Iterator[None]:
    """Let the task end as skipped, with the reason, where its work finds nothing to do here now.

    Raises:
        AirflowSkipException: in place of StepAside.
    """
    try:
        yield
    except StepAside as aside:
        raise AirflowSkipException(aside.reason) from aside
