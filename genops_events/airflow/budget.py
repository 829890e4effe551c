"""Budget: what one run of the dataset's prompts will cost with this model, held against the limits."""

from __future__ import annotations

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator
from genops_events.budget.work import check_budget
from genops_events.cascade.stage_run import StageRun
from genops_events.record.stages import Stage
from genops_events.record.verdicts import Verdict


class CheckBudget(StageOperator):
    """Count the tokens of the prompts, price them, and reserve the money; over a limit, hold the candidate."""

    stage = Stage.BUDGET

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict; raises as `check_budget` does."""
        return check_budget(run)
