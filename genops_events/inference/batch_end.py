"""Ask a candidate's batch job before a verdict says that inference failed: its answers may be there, and paid for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.errors import PermanentError
from genops_events.gcp.errors import CloudRefused
from genops_events.inference import batch_jobs
from genops_events.inference import batch_work as batch_answers
from genops_events.inference.batch_cancellation import cancel_batches
from genops_events.inference.work import Answering
from genops_events.record import inference as places
from genops_events.record.inference import BatchAttempt, BatchSubmission, InferencePlan
from genops_events.record.paths import answers_path
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import InferenceVerdict
from genops_events.tuning.submission import UNANSWERED
from genops_events.waiting.polling import ENDS, JobEnd

if TYPE_CHECKING:
    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.verdicts import Verdict

_NOT_FOUND = 404


def as_the_batch_says(run: StageRun, reason: str) -> Verdict | None:
    """Conclude by what the candidate's batch job says now; `reason` is why inference failed where there is no job.

    Returns:
        None where there is no verdict to give: the job is under way, or may just have been submitted. One that somebody
        wants cancelled is cancelled once more.

    Raises:
        CloudUnavailable, CloudRefused: the job cannot be asked. Nothing is recorded.
    """
    submission, attempt = _submitted(run)
    if submission is None:
        if attempt is not None and datetime.now(UTC) - attempt.written_at < UNANSWERED:
            return None  # there may be a job that no listing shows yet
        cost_usd = None if _may_have_paid(run) else Decimal(0)
        return run.conclude(InferenceVerdict, Outcome.FAILED, reason, cost_usd=cost_usd)
    try:
        state = batch_jobs.get(run.config, submission.job).state
    except CloudRefused as error:
        if error.status != _NOT_FOUND or datetime.now(UTC) - submission.written_at < UNANSWERED:
            raise
        return batch_answers.conclude(Answering(run), submission.job, JobEnd.VANISHED)
    end = None if state is None else ENDS.get(state.value)
    if end is None:
        if batch_answers.wish_to_cancel(run) is not None:
            cancel_batches(run.config, run.store, run.candidate)
        return None
    try:
        return batch_answers.conclude(Answering(run), submission.job, end)
    except PermanentError as error:
        told = (
            f"{reason} Batch job {submission.job} has ended as {end}, and its answers cannot be read: {error.message}"
        )
        return run.conclude(
            InferenceVerdict,
            Outcome.FAILED,
            told,
            cost_usd=None,
            job=submission.job,
            end=str(end),
            way="batch",
            help=f"{error.hint} Then `genops retry {run.candidate}` reads them again.".lstrip(),
        )


def batch_has_ended(run: StageRun) -> bool:
    """Return whether the candidate's batch job is in a state that it cannot leave; False where there is none."""
    submission, _ = _submitted(run)
    if submission is None:
        return False
    state = batch_jobs.get(run.config, submission.job).state
    return state is not None and state.value in ENDS


def _submitted(run: StageRun) -> tuple[BatchSubmission | None, BatchAttempt | None]:
    """Return the batch job, and when it was about to be submitted. No call to Vertex AI where none ever was."""
    attempt = run.store.read(places.attempt_path(run.candidate), BatchAttempt)
    recorded = run.store.read(places.submission_path(run.candidate), BatchSubmission)
    if recorded is not None or attempt is None:
        return recorded, attempt
    return batch_answers.known_job(run), attempt


def _may_have_paid(run: StageRun) -> bool:
    """Return whether an answer is kept, or online calls were about to begin that have a context cache made first."""
    answers = answers_path(run.candidate).removesuffix(".jsonl")  # and their parts, while it is under way
    if run.store.names(answers):
        return True
    dataset = run.config.datasets.get(run.arrival.dataset)
    if dataset is None or dataset.inference.cache is None:
        return False
    plan = run.store.read(places.plan_path(run.candidate), InferencePlan)
    return plan is not None and plan.way == "online"
