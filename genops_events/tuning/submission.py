"""Submit a candidate's tuning job once, however often, and wherever, the task that does so dies.

What a crash leaves behind, step by step, and who goes on:

| died after | what is there | the retry |
|---|---|---|
| the intent | intent | looks for a job by its label, finds none, submits |
| the reservation | and an entry in the ledger, keyed by candidate | the same; reserving again changes nothing |
| the attempt was noted | and `tuning-attempt.json` | waits until a job would be listed, looks for it; submits if there is none |
| the call was sent, or answered | and a job with the candidate's label | waits as above, finds the job by its label, adopts it |
| the job was recorded | and `tuning-job.json` | adopts the recorded job |
| the deferral | and a trigger | nothing to do: another triggerer takes the trigger over |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from genops_events.errors import TransientError
from genops_events.gcp.errors import CloudUnavailable
from genops_events.record import paths as record_paths
from genops_events.record.promotion import Champion
from genops_events.record.stages import Outcome
from genops_events.record.tuning import Attempt, Cancellation, Submission
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.cancellation import cancel_jobs

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.tuning import Validation


UNANSWERED = timedelta(minutes=2)
"""How long after an attempt nobody submits again: the call's time-out of a minute, and time for the job to be listed."""

QUOTA_PAUSE = timedelta(minutes=5)
"""How long the next attempt waits where the project has no room for another tuning job."""

_TOO_MANY = 429


class SubmitLater(TransientError):
    """A moment at which nothing must be submitted: the task waits without a worker, and keeps its place.

    Args:
        message: why.
        until: when to go on, aware, UTC.
    """

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message, f"The task goes on at {until:%H:%M:%S} UTC.")
        self.args = (message, until)
        self.until = until


def known_job(run: StageRun) -> Submission | None:
    """Return the candidate's tuning job, recorded or found by label; None where none was submitted.

    Such a job was paid for before: neither a lower budget nor a higher price can refuse it any more.
    """
    recorded = run.store.read(record_paths.submission_path(run.candidate), Submission)
    if recorded is not None:
        return recorded
    job = tuning_jobs.find(run.config, run.candidate)
    return None if job is None else _recorded(run, job)


def submit(run: StageRun, validation: Validation) -> Submission | None:
    """Submit the candidate's tuning job and record it. Once a name is recorded, no other job is ever submitted.

    Return None, and submit nothing, where somebody has cancelled the candidate meanwhile. Whoever cancels writes the wish
    and then looks for an attempt; here it is the other way round, so that one of the two sees the other.

    Raises:
        SubmitLater: somebody may have submitted it just now, or the project has no room for it.
    """
    assert validation.training_uri is not None
    champion = _champion(run)
    _note_attempt(run)
    if wish_to_cancel(run) is not None:
        return None
    try:
        job = tuning_jobs.submit(
            run.config,
            run.dataset,
            candidate=run.candidate,
            training_uri=validation.training_uri,
            validation_uri=validation.validation_uri,
            champion_model=None if champion is None else champion.model,
            champion_checkpoint=None if champion is None else champion.checkpoint,
        )
    except CloudUnavailable as error:
        until = datetime.now(UTC) + (QUOTA_PAUSE if error.status == _TOO_MANY else UNANSWERED)
        raise SubmitLater(f"{error.message} If there is a job all the same, it is adopted.", until) from error
    submission = _recorded(run, job)
    # Whoever asked to cancel between our look and the call found no job to cancel.
    if wish_to_cancel(run) is not None:
        cancel_jobs(run.config, run.candidate, known=submission.job)
    return submission


def wish_to_cancel(run: StageRun) -> Cancellation | None:
    """Return who wants the candidate's job not to go on; None where nobody does."""
    return run.store.read(record_paths.cancellation_path(run.candidate), Cancellation)


def cancelled(run: StageRun) -> Verdict:
    """Conclude that the candidate was cancelled before a tuning job was submitted."""
    wish = wish_to_cancel(run)
    assert wish is not None
    reason = f"Cancelled by {wish.by} before a tuning job was submitted. {wish.reason}"
    return run.conclude(TuningVerdict, Outcome.REJECTED, reason)


def _note_attempt(run: StageRun) -> None:
    now = datetime.now(UTC)
    mine = Attempt(candidate=run.candidate, written_at=now)

    def change(found: Attempt | None) -> Attempt:
        if found is not None and now - found.written_at < UNANSWERED:
            until = found.written_at + UNANSWERED
            raise SubmitLater("A tuning job was being submitted a moment ago, and no answer is recorded.", until)
        return mine

    run.store.update(record_paths.attempt_path(run.candidate), Attempt, change)


def _recorded(run: StageRun, job: TuningJob) -> Submission:
    """Record `job` as the candidate's, unless another one is already; return the recorded one."""
    assert job.name is not None
    mine = Submission(candidate=run.candidate, written_at=datetime.now(UTC), job=job.name)
    recorded = run.store.create_or_read(record_paths.submission_path(run.candidate), mine)
    if recorded.job != job.name:
        # Another process was a moment faster: one job is enough.
        cancel_jobs(run.config, run.candidate, but=recorded.job, known=job.name)
    return recorded


def _champion(run: StageRun) -> Champion | None:
    """Return the champion to tune further, where the dataset wants that and has one."""
    return run.store.champion(run.arrival.dataset) if run.dataset.tuning.start_from == "champion" else None
