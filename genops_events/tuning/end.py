"""Turn the end of a tuning job into tuning's verdict, by the job's present state and not by the state that the trigger saw."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from genops_events.cascade import job_ends
from genops_events.cascade.spending import estimated
from genops_events.cascade.stage_end import StageEnd
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import PermanentError
from genops_events.record import paths as record_paths
from genops_events.record.document import BY_AIRFLOW, BY_THE_CLOCK
from genops_events.record.stages import Outcome
from genops_events.record.tuning import Validation
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning.jobs import TUNING_JOBS
from genops_events.tuning.results import billable_tokens_of, epochs_of, examples_of, served, steps_of
from genops_events.waiting import queue
from genops_events.waiting.jobs import LOOK, code_name, help_for
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.record.document import JobCancellation

_SHORTER = "Raise `tuning.timeout_hours`, or tune on less."
_FEWER = "Tune on fewer examples or epochs, or upload the file again."
_ANEW = "Upload the file again to tune anew."
_PRUNE = "`genops prune` deletes its model; upload the file again to tune anew."
_LEFT = "It left a model, which `genops prune` deletes."
_PARTLY = f"A partly tuned model is not served. {_ANEW}"


def conclude(run: StageRun, name: str, seen: JobEnd) -> Verdict | None:
    """Return the verdict on a tuning job that has ended, as `job_ends.conclude` does."""

    def failed(end: JobEnd, reason: str) -> Verdict:
        return _failed(run, end, reason, LOOK if end is JobEnd.VANISHED else _SHORTER, job=name)

    return job_ends.conclude(TUNING_JOBS, run, name, seen, ended=partial(ended, run), failed=failed)


def conclude_by_job(run: StageRun, reason: str) -> Verdict | None:
    """Conclude by the present state of the candidate's tuning job, as `job_ends.conclude_by_job` does."""
    return job_ends.conclude_by_job(TUNING_JOBS, run, reason, conclude)


def ended(run: StageRun, job: TuningJob, end: JobEnd) -> Verdict:
    """Conclude by a job that is in a final state."""
    cancellation = TUNING_JOBS.cancellation_of(run.store, run.candidate)
    figures = _figures(run, job)
    if end is not JobEnd.SUCCEEDED:
        end, reason = job_ends.ended_badly(TUNING_JOBS, run, job, end, cancellation)
        if end is JobEnd.TIMED_OUT:
            return _failed(run, end, reason, _SHORTER, **figures)
        if end is JobEnd.CANCELLED:
            return _failed(run, end, reason, _ANEW, **figures)
        code = job.error.code if job.error is not None else None
        hint = _PARTLY if end is JobEnd.PARTIALLY_SUCCEEDED else help_for(code)
        if end is JobEnd.EXPIRED and code is None:
            hint = _FEWER
        if left := _model_of(job):
            # The model is in the registry, for instance if its endpoint could not be made.
            hint = f"{hint} {_LEFT}"
        return _failed(run, end, reason, hint, error_code=code_name(code) if code else None, **figures, **left)
    if "cost_usd" not in figures and "estimated_usd" in figures:
        # The job reports no cost, as no distillation does. Unknown is not zero: the estimate takes its place.
        figures["cost_usd"] = figures["estimated_usd"]
    figures.setdefault("cost_usd", None)  # not known
    if cancellation is not None and _came_before(cancellation, job):
        reason = f"Tuning was cancelled by {cancellation.by}. {cancellation.reason} Tuning job {job.name} had succeeded all the same."
        return _failed(run, JobEnd.CANCELLED, reason, _PRUNE, **figures, **_model_of(job))
    try:
        model = served(job, run.dataset.tuning)
    except PermanentError as error:
        return _failed(run, end, error.message, error.hint, **figures, **_model_of(job))
    validation = run.store.read(record_paths.validation_path(run.candidate), Validation)
    tuned_on = "its training file" if validation is None else validation.tuned_on
    return run.conclude(
        TuningVerdict,
        Outcome.SUCCEEDED,
        f"Tuned {run.dataset.source_model} on {tuned_on}.{_assumed(figures)}",
        model=model.model,
        endpoint=run.config.places.served_endpoint(run.dataset, model.endpoint),
        checkpoint=model.checkpoint,
        end=str(end),
        **figures,
    )


def _failed(run: StageRun, end: JobEnd, reason: str, hint: str, **figures: Any) -> Verdict:
    return run.conclude(TuningVerdict, Outcome.FAILED, reason, end=str(end), help=hint, **figures)


def _assumed(figures: Mapping[str, Any]) -> str:
    """Return a sentence that says that the cost is an estimate; empty where it is by the job's own count."""
    if "billable_tokens" in figures:
        return ""
    return " The job does not say what it is billed for: what was reserved for it is taken for its cost."


def _came_before(cancellation: JobCancellation, job: TuningJob) -> bool:
    """Return whether a person cancelled the job while it was still running: then its model is not adopted.

    A cancellation by Airflow or by the time limit is no reason to drop a model that is paid for.
    """
    by_a_person = cancellation.by not in {BY_AIRFLOW, BY_THE_CLOCK}
    return by_a_person and job.end_time is not None and cancellation.written_at < job.end_time


def _model_of(job: TuningJob) -> dict[str, Any]:
    """Return the model that a job has made, for a verdict that does not serve it: `genops prune` finds it there."""
    tuned = job.tuned_model
    if tuned is None or not tuned.model:
        return {}
    return {"model": tuned.model, "endpoint": tuned.endpoint or None}


def _figures(run: StageRun, job: TuningJob) -> dict[str, Any]:
    """Return the job's own figures, and its cost by the billed tokens."""
    epochs = epochs_of(job) or run.dataset.tuning.epochs  # as submitted: genops.yaml may have changed since
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
        # The count is for one pass over the training file; each epoch is billed.
        figures["cost_usd"] = run.config.rates_for(run.dataset).tuning_cost(tokens, epochs)
    return {name: value for name, value in figures.items() if value is not None}


def _clean_up(run: StageRun, verdict: Verdict) -> None:
    """Remove the candidate from the queue; after a failure, cancel its jobs."""
    queue.leave(run.store, run.candidate)
    if verdict.outcome is Outcome.FAILED:
        TUNING_JOBS.cancel(run.config, run.store, run.candidate)


TUNING_END = StageEnd(clean_up=_clean_up, failed=conclude_by_job)
