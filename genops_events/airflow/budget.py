"""Budget: what one run of the dataset's prompts will cost with this model, held against the limits."""

from __future__ import annotations

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events.airflow.spending import StageLimit, pay_for
from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.gcp import generation, inputs
from genops_events.gcp.ledger_store import committed
from genops_events.record import BudgetVerdict, Verdict
from genops_events.stages import Outcome, Stage


class CheckBudget(StageOperator):
    """Count the tokens of the prompts, price them, and reserve the money; a refusal really stops the candidate."""

    stage = Stage.BUDGET

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict: approved, with the money reserved.

        Raises:
            AirflowSkipException: the candidate has failed meanwhile, so nothing is reserved for it; or a limit is in the
                way, and it is held until somebody approves it.
        """
        evaluation = run.store.verdict(run.candidate, Stage.EVALUATION)
        if evaluation is not None and evaluation.outcome is Outcome.FAILED:
            raise AirflowSkipException("the candidate has failed, so there is nothing to pay for")
        run.take_on()
        dataset = run.dataset
        prompts = inputs.prompts(run.store.bucket, dataset.inference.prompts)
        count = generation.count_tokens(
            run.config,
            model=dataset.billed_model,
            prompts=[prompt.prompt for prompt in prompts],
            system_instruction=dataset.system_instruction,
        )
        # Every answer at its longest: an estimate that can only be too high.
        longest = len(prompts) * dataset.inference.max_output_tokens
        cost = run.config.rates(dataset.billed_model).generation_cost(count.tokens, longest)
        limits = dataset.budget
        before = committed(run.store, dataset=run.arrival.dataset, at=run.month)
        figures = {
            "prompts": len(prompts),
            "input_tokens": count.tokens,
            "billable_characters": count.billable_characters,
            "inference_usd": cost,
            "limit_usd": limits.inference_usd,
            "month_committed_usd": before,
            "month_limit_usd": limits.monthly_usd,
        }
        pay_for(run, "inference", cost, limit=StageLimit("budget.inference_usd", limits.inference_usd))
        reason = f"Answering {len(prompts)} prompts costs at most {cost} USD, within {limits.inference_usd} USD."
        return run.conclude(BudgetVerdict, Outcome.APPROVED, reason, **figures)
