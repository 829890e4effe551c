"""Budget: what one run of the dataset's prompts will cost with this model, held against the limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events import record_paths
from genops_events.airflow.spending import StageLimit, counted, pay_for
from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.evaluation_data import Prompt
from genops_events.gcp import generation, inputs, prompt_sizes
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.generation import TokenCount
from genops_events.gcp.ledger_store import committed
from genops_events.prompt_limits import PromptLimits, PromptOver
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import BudgetVerdict, Verdict


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
        copy = record_paths.prompts_path(run.candidate, run.standing.round)
        prompts = inputs.pinned_prompts(run.store.bucket, dataset.inference.prompts, copy)
        count, cost = priced(run, prompts)
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
        over = _prompts_over(run, prompts)
        approved_by = pay_for(run, "inference", cost, limit=inference_limit(run), over=over)
        reason = f"Answering {len(prompts)} prompts costs at most {cost} USD, within {limits.inference_usd} USD."
        if approved_by is not None:
            reason = (
                f"Answering {len(prompts)} prompts costs at most {cost} USD, over a limit, as {approved_by} approved."
            )
            figures |= {"approved_by": approved_by, "prompts_over": counted(over)}
        return run.conclude(BudgetVerdict, Outcome.APPROVED, reason, **figures)


def priced(run: StageRun, prompts: Sequence[Prompt]) -> tuple[TokenCount, Decimal]:
    """Return what the prompts are billed by, and the most that answering them costs: every answer at its longest."""
    dataset = run.dataset
    count = generation.count_tokens(
        run.config,
        model=dataset.billed_model,
        prompts=[prompt.prompt for prompt in prompts],
        system_instruction=dataset.system_instruction,
    )
    longest = len(prompts) * dataset.inference.max_output_tokens
    return count, run.config.rates(dataset.billed_model).most_for(count.tokens, longest)


def inference_limit(run: StageRun) -> StageLimit:
    """Return the limit on one run over the dataset's prompts."""
    return StageLimit("budget.inference_usd", run.dataset.budget.inference_usd)


def _prompts_over(run: StageRun, prompts: Sequence[Prompt]) -> list[PromptOver]:
    """Return the prompts over a limit on one prompt, and list every one of them in the record."""
    dataset = run.dataset
    over = prompt_sizes.prompts_over(
        run.config,
        model=dataset.billed_model,
        prompts=prompts,
        system_instruction=dataset.system_instruction,
        limits=PromptLimits(
            context_window_tokens=run.config.call_limits(dataset.billed_model).context_window_tokens,
            tokens=dataset.budget.prompt_tokens,
            characters=dataset.budget.prompt_characters,
        ),
    )
    if over:
        path = record_paths.prompts_over_path(run.candidate)
        lines = "".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in over)
        with google_call(f"write gs://{run.store.bucket.name}/{path}"):
            # No precondition: it is about the prompt file as it is now, which is what the stage decides by.
            run.store.bucket.blob(path).upload_from_string(
                lines, content_type="application/jsonl", timeout=CALL_TIMEOUT_SECONDS
            )
    return over
