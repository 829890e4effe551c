"""The work of budget: what one run of the dataset's prompts will cost with this model, held against the limits."""

from __future__ import annotations

import json
from decimal import Decimal

from genops_events.budget.sizes import Sizes, measure
from genops_events.cascade.spending import StageLimit, counted, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import StepAside
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.ledger_store import committed
from genops_events.gemini.prompt_limits import PromptLimits, PromptOver
from genops_events.gemini.results import copy_prompts, rows_of
from genops_events.money.unpriced import unpriced
from genops_events.record import paths as record_paths
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import BudgetVerdict, Verdict


def check_budget(run: StageRun) -> Verdict:
    """Return the verdict: approved, with the money reserved.

    Raises:
        StepAside: the candidate has failed meanwhile, so nothing is reserved for it; or a limit is in the way, and it is
            held until somebody approves it.
    """
    evaluation = run.store.verdict(run.candidate, Stage.EVALUATION)
    if evaluation is not None and evaluation.outcome is Outcome.FAILED:
        raise StepAside("the candidate has failed, so there is nothing to pay for")
    run.take_on()
    dataset = run.dataset
    sizes, cost = priced(
        run,
        record_paths.prompts_path(run.candidate, run.rounds.released),
        batch=dataset.inference.mode == "batch",
        limits=PromptLimits(
            context_window_tokens=run.config.call_limits(dataset.billed_model).context_window_tokens,
            tokens=dataset.budget.prompt_tokens,
            characters=dataset.budget.prompt_characters,
        ),
    )
    limits = dataset.budget
    before = committed(run.store, dataset=run.arrival.dataset, at=run.month)
    figures = {
        "prompts": sizes.rows,
        "input_tokens": sizes.input_tokens,
        "billable_characters": sizes.billable_characters,
        "inference_usd": cost,
        "limit_usd": limits.inference_usd,
        "month_committed_usd": before,
        "month_limit_usd": limits.monthly_usd,
    }
    over = _listed(run, sizes.over)
    approved_by = pay_for(run, "inference", cost, limit=inference_limit(run), over=over)
    reason = f"Answering {sizes.rows} prompts costs at most {cost} USD, within {limits.inference_usd} USD."
    if approved_by is not None:
        reason = f"Answering {sizes.rows} prompts costs at most {cost} USD, over a limit, as {approved_by} approved."
        figures |= {"approved_by": approved_by, "prompts_over": counted(over)}
    reason = " ".join((reason, *unpriced(dataset.inference)))
    return run.conclude(BudgetVerdict, Outcome.APPROVED, reason, **figures)


def priced(
    run: StageRun,
    copy: str,
    *,
    batch: bool,
    limits: PromptLimits | None = None,
    caches: int = 1,
    is_cache_refused: bool = False,
) -> tuple[Sizes, Decimal]:
    """Return what is in the prompt file as it was copied, and the most that answering it costs: every answer at its longest.

    Rows that cannot be asked cost nothing, and hold nobody.

    Args:
        run: the stage's work.
        copy: name of the candidate's copy; made now where there is none.
        batch: whether it is sure that a batch job makes the answers. What may be asked online is priced as such.
        limits: of one prompt; None where nobody asks who is over one.
        caches: context caches that are made, where the dataset has one.
        is_cache_refused: whether the cache's contents are sent before each prompt.
    """
    file = run.dataset.inference.prompts
    copy_prompts(run.store.bucket, file, copy)
    rows = rows_of(run.store.bucket, copy, readable=run.config.addresses)
    sizes = measure(run.config, run.dataset, rows, file=run.config.uri(file), limits=limits)
    return sizes, sizes.cost_usd(run.config, run.dataset, batch=batch, caches=caches, is_cache_refused=is_cache_refused)


def inference_limit(run: StageRun) -> StageLimit:
    """Return the limit on one run over the dataset's prompts."""
    return StageLimit("budget.inference_usd", run.dataset.budget.inference_usd)


def _listed(run: StageRun, over: list[PromptOver]) -> list[PromptOver]:
    """Return the prompts over a limit on one prompt, once every one of them is listed in the record."""
    if over:
        path = record_paths.prompts_over_path(run.candidate)
        lines = "".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in over)
        with google_call(f"write gs://{run.store.bucket.name}/{path}"):
            # No precondition: it is about the copy of this round, which is what the stage decides by.
            run.store.bucket.blob(path).upload_from_string(
                lines, content_type="application/jsonl", timeout=CALL_TIMEOUT_SECONDS
            )
    return over
