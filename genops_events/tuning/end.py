"""Turn the end of a tuning job into tuning's verdict: as the job itself says now, whatever the trigger saw."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from genops_events.cascade.spending import estimated
from genops_events.cascade.stage_end import StageEnd
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import PermanentError
from genops_events.gcp.errors import CloudRefused
from genops_events.record import paths as record_paths
from genops_events.record.document import BY_AIRFLOW, BY_THE_CLOCK
from genops_events.record.stages import Outcome
from genops_events.record.tuning import Attempt, Validation
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.cancellation import cancel_jobs, cancel_tuning, has_ended
from genops_events.tuning.results import billable_tokens_of, epochs_of, examples_of, served, steps_of
from genops_events.tuning.submission import UNANSWERED, known_job, wish_to_cancel
from genops_events.waiting import queue as tuning_queue
from genops_events.waiting.jobs import LOOK, code_name, help_for
from genops_events.waiting.polling import ENDS, JobEnd

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.record.tuning import Cancellation

NOT_FOUND = 404
_SHORTER = "Raise `tuning.timeout_hours`, or tune on less."
_TAKE_AWAY = "`genops prune` takes its model away; upload the file again to tune anew."
PARTLY = "What there is of a model is not served. Upload the file again to tune anew."


def as_the_job_says(run: StageRun, reason: str) -> Verdict | None:
    """Conclude by what the candidate's job says now; `reason` is why tuning failed where there is no job.

    Returns:
        None where there is no verdict to give: the job is under way, or may just have been submitted. One that somebody
        wants cancelled is cancelled once more.

    Raises:
        CloudUnavailable, CloudRefused: the job cannot be asked. Nothing is recorded.
    """
    submission = known_job(run)
    if submission is None:
        attempt = run.store.read(record_paths.attempt_path(run.candidate), Attempt)
        if attempt is not None and datetime.now(UTC) - attempt.written_at < UNANSWERED:
            return None  # there may be a job that no listing shows yet
        return run.conclude(TuningVerdict, Outcome.FAILED, reason)
    try:
        job = tuning_jobs.get(run.config, submission.job)
    except CloudRefused as error:
        if error.status != NOT_FOUND or datetime.now(UTC) - submission.written_at < UNANSWERED:
            raise
        return vanished(run, submission.job)
    wish = wish_to_cancel(run)
    if has_ended(job):
        validation = run.store.read(record_paths.validation_path(run.candidate), Validation)
        tuned_on = "its training file" if validation is None else validation.tuned_on
        return ended(run, job, tuned_on=tuned_on, wish=wish)
    if wish is not None:
        cancel_jobs(run.config, run.candidate, known=submission.job)
    return None


def job_has_ended(run: StageRun) -> bool:
    """Return whether the candidate's job is in a state that it cannot leave; False where there is none."""
    submission = known_job(run)
    return submission is not None and has_ended(tuning_jobs.get(run.config, submission.job))


def vanished(run: StageRun, name: str) -> Verdict:
    """Conclude that Vertex AI does not know the job any more."""
    reason = f"Vertex AI does not know tuning job {name} any more: it was deleted, or is in another project or region."
    return _failed(run, JobEnd.VANISHED, reason, LOOK, job=name)


def cancel_late(run: StageRun) -> None:
    """Cancel the job that outlives its deadline; how it ends, it says itself: it may just succeed."""
    hours = run.dataset.tuning.timeout_hours
    reason = f"It took longer than `tuning.timeout_hours` ({hours:g})."
    cancel_tuning(run.config, run.store, run.candidate, by=BY_THE_CLOCK, reason=reason)


def timed_out(run: StageRun, name: str) -> Verdict:
    """Conclude that a job took too long: it was cancelled, and has not even ended of that."""
    cancel_jobs(run.config, run.candidate)
    return _failed(run, JobEnd.TIMED_OUT, _too_long(run, name), _SHORTER, job=name)


def _too_long(run: StageRun, name: str) -> str:
    hours = run.dataset.tuning.timeout_hours
    return f"Tuning job {name} took longer than `tuning.timeout_hours` ({hours:g}) and was cancelled."


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
    figures.setdefault("cost_usd", None)  # nobody knows
    if end is JobEnd.SUCCEEDED:
        if wish is not None and _came_before(wish, job):
            reason = (
                f"Tuning was cancelled by {wish.by}. {wish.reason} Tuning job {job.name} had succeeded all the same."
            )
            return _failed(run, JobEnd.CANCELLED, reason, _TAKE_AWAY, **figures, **_model_of(job))
        try:
            model = served(job, run.dataset.tuning)
        except PermanentError as error:
            return _failed(run, end, error.message, error.hint, **figures, **_model_of(job))
        return run.conclude(
            TuningVerdict,
            Outcome.SUCCEEDED,
            f"Tuned {run.dataset.source_model} on {tuned_on}.{_assumed(end, figures)}",
            model=model.model,
            endpoint=run.config.places.served_endpoint(run.dataset, model.endpoint),
            checkpoint=model.checkpoint,
            end=str(end),
            **figures,
        )
    if end is JobEnd.CANCELLED and wish is not None and wish.by == BY_THE_CLOCK:
        return _failed(run, JobEnd.TIMED_OUT, _too_long(run, job.name or ""), _SHORTER, **figures)
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
    told = {"cost_usd": None, **figures}  # there is a job, and unless it says so, nobody knows what it cost
    return run.conclude(TuningVerdict, Outcome.FAILED, reason, end=str(end), help=hint, **told)


def _assumed(end: JobEnd, figures: Mapping[str, Any]) -> str:
    """Say where the cost is not by the job's own count; empty where it is."""
    if end is not JobEnd.SUCCEEDED or "billable_tokens" in figures:
        return ""
    return " The job does not say what it is billed for: what was reserved for it is taken for its cost."


def _came_before(wish: Cancellation, job: TuningJob) -> bool:
    """Return whether a person wanted the job not to go on while it still did: then nobody wants its model.

    What Airflow made of a task, and what the clock says, is no reason to leave a model that is paid for.
    """
    by_a_person = wish.by not in {BY_AIRFLOW, BY_THE_CLOCK}
    return by_a_person and job.end_time is not None and wish.written_at < job.end_time


def _model_of(job: TuningJob) -> dict[str, Any]:
    """Return the model of a job that succeeded, for a verdict that does not serve it: so `genops prune` knows it."""
    tuned = job.tuned_model
    if tuned is None or not tuned.model or not tuned.endpoint:
        return {}
    return {"model": tuned.model, "endpoint": tuned.endpoint}


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
        figures["cost_usd"] = run.config.rates_for(run.dataset).tuning_cost(tokens, epochs)
    return {name: value for name, value in figures.items() if value is not None}


def _clean_up(run: StageRun, verdict: Verdict) -> None:
    """Take the candidate out of the queue; after a failure, cancel its jobs."""
    tuning_queue.leave(run.store, run.candidate)
    if verdict.outcome is Outcome.FAILED:
        cancel_jobs(run.config, run.candidate)


TUNING_END = StageEnd(clean_up=_clean_up, failed=as_the_job_says)
