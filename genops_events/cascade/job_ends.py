"""How a paid job has ended, by the job itself and not by Airflow's state of the task; and sentences about it."""

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
    """Return the verdict on a job that has ended, by its present state; None where it is still running.

    Args:
        jobs: of the stage.
        run: of the stage.
        name: of the job.
        seen: the end that the trigger saw. A job that took too long is cancelled, and has `CANCELLED_WITHIN` to end.
        ended: returns the verdict on a job with this end.
        failed: returns the verdict, with this reason, where the job has no end of its own.
    """
    if seen is JobEnd.VANISHED:
        return failed(seen, vanished(jobs, name))
    job = jobs.get(run.config, name)
    if (end := end_of(job)) is not None:
        return ended(job, end)
    if seen is not JobEnd.TIMED_OUT:
        log.warning("%s was seen as ended (%s), but is still running: the wait continues", name, seen)
        return None
    return failed(seen, too_long(jobs, run, name)) if jobs.cancel_late(run) else None


def conclude_by_job(
    jobs: PaidJobs[Any],
    run: StageRun,
    reason: str,
    conclude: Callable[[StageRun, str, JobEnd], Verdict | None],
    *,
    without_job: Callable[[StageRun, str], Verdict] = conclude_failed,
) -> Verdict | None:
    """Conclude by the present state of the candidate's job, or by `reason` where there is no job.

    Args:
        jobs: of the stage.
        run: of the stage.
        reason: why the stage failed, a sentence.
        conclude: returns the verdict on the job of this name, which has this end, or has vanished.
        without_job: returns the verdict, with this reason, where there is no job.

    Returns:
        The verdict; None where there is none yet: the job is under way, or may just have been submitted. If the job was to
        be cancelled, it is cancelled once more.

    Raises:
        CloudUnavailable, CloudRefused: the job cannot be read. Nothing is recorded.
    """
    attempted_at = jobs.attempted_at(run.store, run.candidate)
    # Before the listing: one from before that time decides nothing.
    is_unanswered = attempted_at is not None and datetime.now(UTC) - attempted_at < UNANSWERED
    submission = jobs.submitted(run)
    if submission is None:
        return None if is_unanswered else without_job(run, reason)
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
    """Return whether the candidate's job is in a final state; False where there is no job."""
    submission = jobs.submitted(run)
    return submission is not None and end_of(jobs.get(run.config, submission.job)) is not None


# Sentences.


def cancelled_before(jobs: PaidJobs[Any], cancellation: JobCancellation) -> str:
    """Return the reason of a candidate that was cancelled before its job was submitted."""
    return f"Cancelled by {cancellation.by} before a {jobs.noun} was submitted. {cancellation.reason}"


def vanished(jobs: PaidJobs[Any], name: str) -> str:
    """Return the reason of a job that Vertex AI does not know any more."""
    return f"Vertex AI does not know {jobs.noun} {name} any more: it was deleted, or is in another project or region."


def too_long(jobs: PaidJobs[Any], run: StageRun, name: str | None) -> str:
    """Return the reason of a job that took too long and was cancelled."""
    return f"{jobs.noun.capitalize()} {name} took longer than {jobs.limit_of(run)} and was cancelled."


def ended_badly(
    jobs: PaidJobs[Any], run: StageRun, job: TuningJob | BatchJob, end: JobEnd, cancellation: JobCancellation | None
) -> tuple[JobEnd, str]:
    """Return end and reason of a job that did not succeed; one that was cancelled at its time limit has timed out."""
    if end is JobEnd.CANCELLED and cancellation is not None and cancellation.by == BY_THE_CLOCK:
        return JobEnd.TIMED_OUT, too_long(jobs, run, job.name)
    named = f"{jobs.noun.capitalize()} {job.name}"
    if end is JobEnd.CANCELLED:
        who = "in Vertex AI, not by genops" if cancellation is None else f"by {cancellation.by}. {cancellation.reason}"
        return end, f"{named} was cancelled {who}".rstrip(". ") + "."
    code = job.error.code if job.error is not None else None
    message = job.error.message if job.error is not None else None
    message = message or _WITHOUT_ERROR.get(end, "It gave no reason.")
    return end, f"{named} ended as {str(end).replace('_', ' ')}. {f'{code_name(code)}: ' if code else ''}{message}"


# Only failed and cancelled jobs have an error: TuningJob.error and BatchPredictionJob.error of Vertex AI's discovery document, revision 20261106.
_WITHOUT_ERROR = {
    JobEnd.EXPIRED: "It did not finish within the time that Vertex AI gives a job.",
    JobEnd.PARTIALLY_SUCCEEDED: "Vertex AI finished a part of it, and does not say why no more.",
}
