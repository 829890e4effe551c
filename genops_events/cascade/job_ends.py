"""How a paid job has ended: asked of the job itself, whatever Airflow says of the task, and said in words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from genops_events.cascade.paid_jobs import NOT_FOUND, UNANSWERED, JobT, end_of
from genops_events.cascade.stage_run import conclude_failed
from genops_events.gcp.errors import CloudRefused
from genops_events.record.document import BY_THE_CLOCK
from genops_events.waiting.jobs import code_name
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from google.genai.types import BatchJob, TuningJob

    from genops_events.cascade.paid_jobs import PaidJobs
    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.document import JobCancellation
    from genops_events.record.verdicts import Verdict


log = logging.getLogger(__name__)


def conclude(
    jobs: PaidJobs[JobT],
    run: StageRun,
    name: str,
    seen: JobEnd,
    *,
    ended: Callable[[JobT, JobEnd], Verdict],
    failed: Callable[[JobEnd, str], Verdict],
) -> Verdict | None:
    """Return the verdict on a job that has ended, as it says itself now; None where it goes on.

    Args:
        jobs: of the stage.
        run: its work.
        name: of the job.
        seen: what the trigger saw. A job that took too long is cancelled, and has `CANCELLED_WITHIN` to end of that.
        ended: gives the verdict on a job that has ended so.
        failed: gives the verdict where the job itself says nothing, with the reason.
    """
    if seen is JobEnd.VANISHED:
        return failed(seen, vanished(jobs, name))
    job = jobs.get(run.config, name)
    if (end := end_of(job)) is not None:
        return ended(job, end)
    if seen is not JobEnd.TIMED_OUT:
        log.warning("%s was seen to have ended as %s, and has not: waiting on", name, seen)
        return None
    return failed(seen, too_long(jobs, run, name)) if jobs.cancel_late(run) else None


def as_the_job_says(
    jobs: PaidJobs[Any],
    run: StageRun,
    reason: str,
    conclude: Callable[[StageRun, str, JobEnd], Verdict | None],
    *,
    without_job: Callable[[StageRun, str], Verdict] = conclude_failed,
) -> Verdict | None:
    """Conclude by what the candidate's job says now; `reason` is why the stage failed where there is no job.

    Args:
        jobs: of the stage.
        run: its work.
        reason: a sentence.
        conclude: gives the verdict on the job of this name, which has ended so, or vanished.
        without_job: gives the verdict, with this reason, where there is no job.

    Returns:
        None where there is no verdict to give: the job is under way, or may just have been submitted. One that somebody
        wants cancelled is cancelled once more.

    Raises:
        CloudUnavailable, CloudRefused: the job cannot be asked. Nothing is recorded.
    """
    submission = jobs.submitted(run)
    if submission is None:
        attempted_at = jobs.attempted_at(run.store, run.candidate)
        if attempted_at is not None and datetime.now(UTC) - attempted_at < UNANSWERED:
            return None  # there may be a job that no listing shows yet
        return without_job(run, reason)
    try:
        end = end_of(jobs.get(run.config, submission.job))
    except CloudRefused as error:
        if error.status != NOT_FOUND or datetime.now(UTC) - submission.written_at < UNANSWERED:
            raise
        end = JobEnd.VANISHED
    if end is not None:
        return conclude(run, submission.job, end)
    if jobs.cancellation_of(run.store, run.candidate) is not None:
        jobs.cancel(run.config, run.store, run.candidate)
    return None


def has_ended(jobs: PaidJobs[Any], run: StageRun) -> bool:
    """Return whether the candidate's job is in a state that it cannot leave; False where there is none."""
    submission = jobs.submitted(run)
    return submission is not None and end_of(jobs.get(run.config, submission.job)) is not None


# In words.


def cancelled_before(jobs: PaidJobs[Any], cancellation: JobCancellation) -> str:
    """Say that a candidate was cancelled before its job was submitted."""
    return f"Cancelled by {cancellation.by} before a {jobs.noun} was submitted. {cancellation.reason}"


def vanished(jobs: PaidJobs[Any], name: str) -> str:
    """Say that Vertex AI does not know the job of this name any more."""
    return f"Vertex AI does not know {jobs.noun} {name} any more: it was deleted, or is in another project or region."


def too_long(jobs: PaidJobs[Any], run: StageRun, name: str | None) -> str:
    """Say that the job of this name took too long: it was cancelled."""
    return f"{jobs.noun.capitalize()} {name} took longer than {jobs.limit_of(run)} and was cancelled."


def ended_badly(
    jobs: PaidJobs[Any], run: StageRun, job: TuningJob | BatchJob, end: JobEnd, cancellation: JobCancellation | None
) -> tuple[JobEnd, str]:
    """Return how, and say why, a job has ended that did not succeed: one that the clock cancelled has timed out."""
    if end is JobEnd.CANCELLED and cancellation is not None and cancellation.by == BY_THE_CLOCK:
        return JobEnd.TIMED_OUT, too_long(jobs, run, job.name)
    named = f"{jobs.noun.capitalize()} {job.name}"
    if end is JobEnd.CANCELLED:
        who = "in Vertex AI, not by genops" if cancellation is None else f"by {cancellation.by}. {cancellation.reason}"
        return end, f"{named} was cancelled {who}".rstrip(". ") + "."
    code = job.error.code if job.error is not None else None
    said = job.error.message if job.error is not None else None
    said = said or _WITHOUT_ERROR.get(end, "It gave no reason.")
    return end, f"{named} ended as {str(end).replace('_', ' ')}. {f'{code_name(code)}: ' if code else ''}{said}"


# Vertex AI has an error for failed and cancelled jobs alone: TuningJob.error and BatchPredictionJob.error of its discovery document, revision 20261106.
_WITHOUT_ERROR = {
    JobEnd.EXPIRED: "It did not finish within the time that Vertex AI gives a job.",
    JobEnd.PARTIALLY_SUCCEEDED: "Vertex AI finished a part of it, and does not say why no more.",
}
