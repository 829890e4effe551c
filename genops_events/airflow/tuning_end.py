"""Turn the end of a tuning job into tuning's verdict: as the job itself says now, whatever the trigger saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genops_events.airflow.spending import estimated
from genops_events.errors import PermanentError
from genops_events.gcp.cancellation import cancel_jobs
from genops_events.gcp.tuning_results import billable_tokens_of, epochs_of, examples_of, served, steps_of
from genops_events.jobs import LOOK, code_name, help_for
from genops_events.polling import ENDS, JobEnd
from genops_events.stages import Outcome
from genops_events.verdicts import TuningVerdict, Verdict

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.airflow.stage import StageRun
    from genops_events.record import Cancellation

PARTLY = "What there is of a model is not served. Upload the file again to tune anew."


def vanished(run: StageRun, name: str) -> Verdict:
    """Conclude that Vertex AI does not know the job any more."""
    reason = f"Vertex AI does not know tuning job {name} any more: it was deleted, or is in another project or region."
    return _failed(run, JobEnd.VANISHED, reason, LOOK, job=name)


def timed_out(run: StageRun, name: str) -> Verdict:
    """Cancel the job that outlives its deadline, and conclude that it failed."""
    cancel_jobs(run.config, run.candidate)
    hours = run.dataset.tuning.timeout_hours
    reason = f"Tuning job {name} took longer than `tuning.timeout_hours` ({hours:g}) and was cancelled."
    return _failed(run, JobEnd.TIMED_OUT, reason, "Raise `tuning.timeout_hours`, or tune on less.", job=name)


def ended(run: StageRun, job: TuningJob, *, tuned_on: str, wish: Cancellation | None) -> Verdict:
    """Conclude by what a job that has ended says.

    Args:
        run: the stage's work.
        job: in a state that it cannot leave.
        tuned_on: how much of the file it learned from, in words.
        wish: who asked to cancel it, if anybody did.
    """
    assert job.state is not None
    end = ENDS[job.state.value]
    figures = _figures(run, job)
    if end is JobEnd.SUCCEEDED and "cost_usd" not in figures and "estimated_usd" in figures:
        # What it cost is not told, as it never is of a distillation. That is not nothing.
        figures["cost_usd"] = figures["estimated_usd"]
    if end is JobEnd.SUCCEEDED:
        try:
            model = served(job, run.dataset.tuning)
        except PermanentError as error:
            return _failed(run, end, error.message, error.hint, **figures)
        return run.conclude(
            TuningVerdict,
            Outcome.SUCCEEDED,
            f"Tuned {run.dataset.source_model} on {tuned_on}.{_assumed(end, figures)}",
            model=model.model,
            endpoint=model.endpoint,
            checkpoint=model.checkpoint,
            end=str(end),
            **figures,
        )
    if end is JobEnd.CANCELLED:
        who = "in Vertex AI, not by genops" if wish is None else f"by {wish.by}. {wish.reason}"
        reason = f"Tuning job {job.name} was cancelled {who}".rstrip(". ") + "."
        return _failed(run, end, reason, "Upload the file again to tune anew.", **figures)
    code = job.error.code if job.error is not None else None
    said = job.error.message if job.error is not None and job.error.message else "It gave no reason."
    words = str(end).replace("_", " ")
    name = f"{code_name(code)}: " if code else ""
    reason = f"Tuning job {job.name} ended as {words}. {name}{said}"
    hint = PARTLY if end is JobEnd.PARTIALLY_SUCCEEDED else help_for(code)
    return _failed(run, end, reason, hint, error_code=code_name(code) if code else None, **figures)


def _failed(run: StageRun, end: JobEnd, reason: str, hint: str, **figures: Any) -> Verdict:
    return run.conclude(TuningVerdict, Outcome.FAILED, reason, end=str(end), help=hint, **figures)


def _assumed(end: JobEnd, figures: Mapping[str, Any]) -> str:
    """Say where the cost is not by the job's own count; empty where it is."""
    if end is not JobEnd.SUCCEEDED or "billable_tokens" in figures:
        return ""
    return " The job does not say what it is billed for: what was reserved for it is taken for its cost."


def _figures(run: StageRun, job: TuningJob) -> dict[str, Any]:
    """Return what the job says about itself, and what it cost by the tokens that it was billed for."""
    epochs = epochs_of(job) or run.dataset.tuning.epochs  # as submitted: genops.yaml may have changed meanwhile
    tokens = billable_tokens_of(job)
    figures = {
        "job": job.name,
        "source_model": run.dataset.source_model,
        "estimated_usd": estimated(run, "tuning"),
        "examples": examples_of(job),
        "epochs": epochs,
        "steps": steps_of(job),
        "billable_tokens": tokens,
    }
    if tokens is not None:
        # The count is that of the training file; each pass over it is billed.
        figures["cost_usd"] = run.config.rates(run.dataset.billed_model).tuning_cost(tokens, epochs)
    return {name: value for name, value in figures.items() if value is not None}
