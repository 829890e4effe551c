"""The button that leads from a task in Airflow to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ReportLink(BaseOperatorLink):
    """Open the evaluation's report; Cloud Storage asks for a login that may read the bucket."""

    @property
    def name(self) -> str:
        """What is on the button."""
        return "Evaluation report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the report's address in a browser, or nothing where the task has not come so far.

        Airflow calls this in the task's own process when the task has ended, on the operator that has run.
        """
        return str(getattr(operator, "report_url", "") or "")


class ComparisonLink(ReportLink):
    """Open the comparison's report."""

    @property
    def name(self) -> str:
        """What is on the button."""
        return "Comparison report"
